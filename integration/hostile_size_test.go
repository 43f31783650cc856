package integration_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// TestSizes holds each limit to the byte: what is as large as it may be passes, and
// one more is refused.
func TestSizes(t *testing.T) {
	lines := func(n int) string {
		var all strings.Builder
		for i := range n {
			fmt.Fprintf(&all, "X-%d: 1\r\n", i)
		}
		return all.String()
	}
	const limits = "limits: {uri_bytes: 64, header_count: 10, body_bytes: 5}"
	for _, tt := range []struct {
		name, target, rest string
		want               int
	}{
		{"target", "/" + strings.Repeat("a", 63), "\r\n", http.StatusOK},
		{"target, one more", "/" + strings.Repeat("a", 64), "\r\n", http.StatusRequestURITooLong},
		{"query", "/?" + strings.Repeat("a", 62), "\r\n", http.StatusOK},
		{"query, one more", "/?" + strings.Repeat("a", 63), "\r\n", http.StatusRequestURITooLong},
		{"fields", "/", lines(10) + "\r\n", http.StatusOK},
		{"fields, one more", "/", lines(11) + "\r\n", http.StatusRequestHeaderFieldsTooLarge},
		{"fields of one name, one more", "/", strings.Repeat("X-A: 1\r\n", 11) + "\r\n", http.StatusRequestHeaderFieldsTooLarge},
		{"body", "/", "Content-Length: 5\r\n\r\nhello", http.StatusOK},
		{"body, one more", "/", "Content-Length: 6\r\n\r\nhello!", http.StatusRequestEntityTooLarge},
		{"body that does not come", "/", "Content-Length: 1000000000000\r\n\r\n", http.StatusRequestEntityTooLarge},
		{"chunks", "/", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", http.StatusOK},
		{"chunks, one more", "/", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", http.StatusRequestEntityTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				if n > 5 || tt.want != http.StatusOK && err == nil {
					t.Errorf("the endpoint got %d bytes of the body, and then %v", n, err)
				}
			})
			g := meshtest.Gateway(t, to(e.URL, "retries: 0", limits))
			got := g.Raw("POST " + tt.target + " HTTP/1.1\r\nHost: a\r\n" + tt.rest)
			if got.StatusCode != tt.want {
				t.Errorf("%d %s, want %d", got.StatusCode, got.Text, tt.want)
			}
			if declared := !strings.Contains(tt.rest, "chunked"); declared && tt.want != http.StatusOK && e.Requests() > 0 {
				t.Error("the request reached the endpoint")
			}
		})
	}
}

// TestLargeHead holds the bound on a head's bytes, on either protocol.
func TestLargeHead(t *testing.T) {
	e := meshtest.Origin(t, meshtest.Says(http.StatusOK, ""))
	g := meshtest.Gateway(t, to(e.URL, "", "limits: {header_bytes: 8KiB}"))
	kilobyte := strings.Repeat("a", 1000)
	for _, tt := range []struct {
		fields int // of a kilobyte each
		want   string
	}{
		{7, "200"},
		{15, "431"},
	} {
		lines, fields := "", []string{}
		for i := range tt.fields {
			lines += fmt.Sprintf("x-%d: %s\r\n", i, kilobyte)
			fields = append(fields, fmt.Sprintf("x-%d", i), kilobyte)
		}
		if got := g.Raw("GET /x HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"); fmt.Sprint(got.StatusCode) != tt.want {
			t.Errorf("HTTP/1.1, %d kilobytes: %d, want %s", tt.fields, got.StatusCode, tt.want)
		}
		if got := stream(t, g, "", fields...); got.fields[":status"] != tt.want {
			t.Errorf("HTTP/2, %d kilobytes: %+v, want %s", tt.fields, got, tt.want)
		}
	}
	if n := e.Requests(); n != 2 {
		t.Errorf("%d requests reached the endpoint, want 2", n)
	}
}

// TestSlowClients holds that who sends slowly, or nothing more, is not waited for.
func TestSlowClients(t *testing.T) {
	got := make(chan error, 1)
	e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if r.ContentLength > 0 {
			got <- err
		}
	})
	g := meshtest.Gateway(t, to(e.URL, "timeout: 200ms, retries: 0", "limits: {read_header_timeout: 200ms, idle_timeout: 200ms}"))
	t.Run("a body that stops", func(t *testing.T) {
		w := g.Dial()
		w.Send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
		if answer := w.Reply(http.MethodPost); answer.StatusCode != http.StatusRequestTimeout || answer.JSON(t)["code"] != "request_timeout" {
			t.Errorf("%d %s", answer.StatusCode, answer.Text)
		}
		if rest := w.Rest(); rest != "" {
			t.Errorf("more than an answer came: %q", rest)
		}
		if err := await(t, "the end of the body at the endpoint", got); err == nil {
			t.Error("the endpoint takes half a body for a whole one")
		}
	})
	t.Run("a head that stops", func(t *testing.T) {
		w := g.Dial()
		w.Send("GET /x HTTP/1.1\r\nHost: a\r\nX-A")
		if rest := w.Rest(); strings.Contains(rest, "200") {
			t.Errorf("half a head was answered with %q", rest)
		}
	})
	t.Run("nothing at all", func(t *testing.T) { _ = g.Dial().Rest() })
	t.Run("nothing more", func(t *testing.T) {
		w := g.Dial()
		w.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		if answer := w.Reply(http.MethodGet); answer.StatusCode != http.StatusOK {
			t.Errorf("%d", answer.StatusCode)
		}
		if rest := w.Rest(); rest != "" {
			t.Errorf("more than an answer came: %q", rest)
		}
	})
	t.Run("a body that is cut", func(t *testing.T) {
		w := g.Dial()
		w.Send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		w.Close()
		eventually(t, "the log says that the client is gone", func() bool {
			for _, line := range g.Access.Lines(t) {
				if line["code"] == "client_gone" {
					return true
				}
			}
			return false
		})
	})
}

// TestHostileAnswers holds that an endpoint's nonsense goes no further than the
// gateway: the client gets a fault, or an end that it cannot take for a good one.
func TestHostileAnswers(t *testing.T) {
	for _, tt := range []struct{ name, answer, code string }{ // no code: cut short while it is read
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", "bad_response"},
		{"a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", "bad_response"},
		{"an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "bad_response"},
		{"a status that is none", "HTTP/1.1 20 OK\r\n\r\n", "bad_response"},
		{"another protocol", "SSH-2.0-OpenSSH\r\n", "bad_response"},
		{"nothing", "", "reset"},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-", "reset"},
		{"endless 1xx", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), "bad_response"},
		{"an upgrade nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "upgrade_failed"},
		{"a body that is too short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", ""},
		{"chunks that stop", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ""},
		{"chunks that are none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := meshtest.RawOrigin(t, meshtest.Bytes(tt.answer))
			w := meshtest.Gateway(t, to("http://"+e.Addr, "retries: 0")).Dial()
			w.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
			if tt.code == "" {
				cutShortly(t, w)
				return
			}
			head := w.Head(http.MethodGet)
			for head.StatusCode < http.StatusOK { // Early Hints are passed on, until they are too many
				head = w.Head(http.MethodGet)
			}
			text, err := io.ReadAll(head.Body)
			if err != nil {
				t.Fatal(err)
			}
			if head.StatusCode != http.StatusBadGateway || !strings.Contains(string(text), `"code":"`+tt.code+`"`) {
				t.Errorf("got %d %s, want 502 %s", head.StatusCode, text, tt.code)
			}
		})
	}
}

// cutShortly holds that the answer breaks off, in its head or in its body.
func cutShortly(t *testing.T, w *meshtest.Wire) {
	t.Helper()
	resp, err := http.ReadResponse(w.Reader, nil)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the answer ended with %v, want an unexpected end", err)
	}
}
