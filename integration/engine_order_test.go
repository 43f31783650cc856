package integration_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// TestEnginePipelining holds that requests which come one behind the other, with bodies
// of all sorts and in pieces of all sizes, are answered in their order, each with its own.
func TestEnginePipelining(t *testing.T) {
	atBoth(t, func(t *testing.T) string {
		return to("http://"+meshtest.RawOrigin(t, converse(echoes)).Addr, "retries: 0")
	}, func(t *testing.T, g *entrance) {
		crowd(32, func(i int) { pipelined(t, g, 1+i*i*7) })
	})
}

// pipelined sends many requests in pieces of that many bytes.
func pipelined(t *testing.T, g *entrance, piece int) {
	const many = 60
	s, err := g.speak(t)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	var all strings.Builder
	bodyOf := func(i int) string { return fmt.Sprintf("%d in %d%s", i, piece, strings.Repeat(".", i*i)) }
	for i := range many {
		switch body := bodyOf(i); i % 4 {
		case 0:
			fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
		case 1:
			fmt.Fprintf(&all, "PUT /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", i, body[:3], len(body)-3, body[3:])
		case 2:
			fmt.Fprintf(&all, "HEAD /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
		default:
			fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", i)
		}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for rest := all.String(); rest != ""; {
			n := min(piece, len(rest))
			if _, err := io.WriteString(s, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	for i := range many {
		method, want := http.MethodPost, ""
		if i%4 == 2 {
			method = http.MethodHead
		} else if i%4 < 2 {
			want = bodyOf(i)
		}
		resp, text, err := s.reply(method)
		if err != nil || resp.StatusCode != http.StatusOK || text != want {
			t.Errorf("pieces of %d, answer %d: %v %.60q, %v; want %.60q", piece, i, resp, text, err, want)
			break
		}
	}
	_ = s.Close()
	<-sent
}

// TestEngineDrips holds that who says a head or a body a byte at a time is not waited for
// longer than who says nothing, client or endpoint.
func TestEngineDrips(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	atBoth(t, func(t *testing.T) string {
		e := meshtest.RawOrigin(t, converse(func(c net.Conn, req *http.Request, body string) bool {
			switch req.URL.Path {
			case "/head":
				drips(c, "HTTP/1.1 200 OK\r\nX-Test: "+long)
			case "/body":
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
				drips(c, long)
			case "/chunks":
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				drips(c, strings.Repeat("1\r\nx\r\n", 1<<20))
			case "/hints":
				drips(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 30)+"HTTP/1.1 200 OK\r\nX-Test: "+long)
			}
			return false
		}))
		return to("http://"+e.Addr, "timeout: 400ms, retries: 0", "limits: {read_header_timeout: 400ms, idle_timeout: 400ms}")
	}, func(t *testing.T, g *entrance) {
		slow := []struct {
			target, rest string // of the request, the rest of which drips
			status       int    // of the answer; zero: it breaks off
			code         string
		}{
			{"/x", "X-Test: " + long, http.StatusRequestTimeout, "request_timeout"},
			{"/x", "Content-Length: 100000\r\n\r\n" + long, http.StatusRequestTimeout, "request_timeout"},
			{"/x", "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 1<<20), http.StatusRequestTimeout, "request_timeout"},
			{"/head", "\r\n", http.StatusGatewayTimeout, "response_timeout"},
			{"/hints", "\r\n", http.StatusGatewayTimeout, "response_timeout"},
			{"/body", "\r\n", 0, ""},
			{"/chunks", "\r\n", 0, ""},
		}
		crowd(len(slow), func(i int) {
			tt := slow[i]
			s, err := g.speak(t)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			start := "POST " + tt.target + " HTTP/1.1\r\nHost: a\r\n"
			done := make(chan struct{})
			go func() {
				defer close(done)
				if tt.rest == "\r\n" {
					_, _ = io.WriteString(s, start+tt.rest)
					return
				}
				_, _ = io.WriteString(s, start)
				drips(s, tt.rest)
			}()
			var resp *http.Response
			text := ""
			for err == nil && (resp == nil || resp.StatusCode < http.StatusOK) {
				resp, text, err = s.reply(http.MethodPost)
			}
			switch {
			case tt.status == 0 && !broken(err):
				t.Errorf("%s: %v %.100q, %v; want it to break off", tt.target, resp, text, err)
			case err == nil && resp.StatusCode == http.StatusGatewayTimeout && strings.Contains(tt.rest, "\r\n\r\n"):
				// A byte was on its way to the endpoint when the time was up.
			case tt.status != 0 && (err != nil || resp.StatusCode != tt.status || !strings.Contains(text, `"code":"`+tt.code+`"`)):
				t.Errorf("%s %.20q: %v %.200q, %v; want %d %s", tt.target, tt.rest, resp, text, err, tt.status, tt.code)
			}
			s.reset()
			<-done
		})
	})
}
