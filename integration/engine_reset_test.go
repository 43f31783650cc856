package integration_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// TestEngineResetInRequest holds what becomes of clients that are reset, or end their
// half, after any number of bytes of a request: the endpoint never takes a part for a
// whole, and others who are served beside them get their own answers.
func TestEngineResetInRequest(t *testing.T) {
	for name, message := range map[string]string{
		"length": "POST /half HTTP/1.1\r\nHost: a\r\nX-Test: some value\r\nContent-Length: 12\r\n\r\nhello, world",
		"chunks": "POST /half HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nhello, \r\n5\r\nworld\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			atBoth(t, func(t *testing.T) string {
				e := meshtest.RawOrigin(t, converse(func(c net.Conn, req *http.Request, body string) bool {
					if req.URL.Path == "/half" && body != "hello, world" {
						t.Errorf("the endpoint was given the body %q", body)
					}
					return echoes(c, req, body)
				}))
				return to("http://"+e.Addr, "retries: 0")
			}, func(t *testing.T, g *entrance) {
				crowd(2*len(message), func(i int) {
					n := i / 2
					s, err := g.speak(t)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(s, message[:n])
					if i%2 == 0 {
						s.reset()
					} else {
						halfClosed(t, s, n)
					}
					served(t, g, i)
				})
			})
		})
	}
}

// halfClosed ends our half of s, and holds that what comes is no success.
func halfClosed(t *testing.T, s *speaker, n int) {
	defer s.Close()
	half, _ := s.Conn.(interface{ CloseWrite() error })
	if half.CloseWrite() != nil {
		return
	}
	resp, text, err := s.reply(http.MethodPost)
	switch {
	case err != nil && !broken(err):
		t.Errorf("a half of %d bytes: %v", n, err)
	case err == nil && resp.StatusCode < 400:
		t.Errorf("a half of %d bytes was answered with %d %s", n, resp.StatusCode, text)
	}
}

// served holds that a client with a body of its own gets that back.
func served(t *testing.T, g *entrance, i int) {
	body := fmt.Sprintf("the body of %d", i)
	resp, text, err := g.ask(t, fmt.Sprintf("POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if err != nil || resp.StatusCode != http.StatusOK || text != body {
		t.Errorf("client %d got %v %q, %v", i, resp, text, err)
	}
}

// TestEngineResetInResponse holds what a client sees of an endpoint that is reset, or
// closes, after any number of bytes of its response: a fault before the head is whole, a
// broken body after, and a success when all has come.
func TestEngineResetInResponse(t *testing.T) {
	for name, answer := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nX-Test: some value\r\nContent-Length: 12\r\n\r\nhello, world",
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n7\r\nhello, \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n",
		"hints":  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			atBoth(t, func(t *testing.T) string {
				e := meshtest.RawOrigin(t, converse(func(c net.Conn, req *http.Request, _ string) bool {
					n, _ := strconv.Atoi(req.URL.Query().Get("bytes"))
					_, _ = io.WriteString(c, answer[:n])
					if req.URL.Path == "/reset" {
						sever(c)
					}
					return false
				}))
				return to("http://"+e.Addr, "retries: 0, circuit_breaker: {failure_threshold: 100000}")
			}, func(t *testing.T, g *entrance) {
				crowd(2*(len(answer)+1), func(i int) {
					how := []string{"reset", "close"}[i%2]
					cutAnswer(t, g, fmt.Sprintf("/%s?bytes=%d", how, i/2), answer[:i/2], i/2 == len(answer))
				})
			})
		})
	}
}

// cutAnswer asks an endpoint that says so much and goes away.
func cutAnswer(t *testing.T, g *entrance, target, said string, whole bool) {
	s, err := g.speak(t)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	_, _ = io.WriteString(s, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
	_, after, _ := strings.Cut(said, "HTTP/1.1 200 OK")
	_, body, headed := strings.Cut(after, "\r\n\r\n")
	var resp *http.Response
	for resp == nil || resp.StatusCode < http.StatusOK {
		if resp, err = http.ReadResponse(s.r, nil); err != nil {
			if !headed || body != "" || !broken(err) { // a head waits for the body's first bytes
				t.Errorf("%s: no answer: %v", target, err)
			}
			return
		}
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	switch {
	case whole && (err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(text), "hello")):
		t.Errorf("%s: a whole answer arrives as %d %q, %v", target, resp.StatusCode, text, err)
	case !whole && headed && (resp.StatusCode != http.StatusOK || err == nil):
		t.Errorf("%s: a part of a body arrives as %d %q, %v", target, resp.StatusCode, text, err)
	case !headed && (resp.StatusCode != http.StatusBadGateway || err != nil || !strings.Contains(string(text), `"code":"reset"`)):
		t.Errorf("%s: a part of a head arrives as %d %q, %v", target, resp.StatusCode, text, err)
	}
}

// TestEngineClientLeaves holds that the attempt ends when its client goes away while the
// endpoint works, so that the endpoint sees its connection end.
func TestEngineClientLeaves(t *testing.T) {
	arrived, left := make(chan struct{}, 100), make(chan struct{}, 100)
	atBoth(t, func(t *testing.T) string {
		e := meshtest.RawOrigin(t, func(c net.Conn) {
			r := bufio.NewReader(c)
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			arrived <- struct{}{}
			_, _ = io.Copy(io.Discard, r) // it never answers
			left <- struct{}{}
		})
		return to("http://"+e.Addr, "timeout: 1h, retries: 0")
	}, func(t *testing.T, g *entrance) {
		var leave []func()
		for _, message := range []string{
			"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
			"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		} {
			for _, how := range []func(*speaker){
				(*speaker).reset,
				func(s *speaker) { _ = s.Close() },
				func(s *speaker) { _ = s.tcp.CloseWrite() },
			} {
				s, err := g.speak(t)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				_, _ = io.WriteString(s, message)
				await(t, "the request", arrived)
				leave = append(leave, func() { how(s) })
			}
		}
		for _, depart := range leave {
			depart()
		}
		for range leave {
			await(t, "the end of an attempt", left)
		}
		eventually(t, "each is logged as gone", func() bool {
			return strings.Count(g.Access.String(), `"code":"client_gone"`) == len(leave)
		})
	})
}
