package integration_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// TestEngineEarlyAnswer holds that a client sees an answer that the endpoint gives
// without hearing it out, before its upload ends.
func TestEngineEarlyAnswer(t *testing.T) {
	atBoth(t, func(t *testing.T) string {
		e := meshtest.RawOrigin(t, func(c net.Conn) {
			r := bufio.NewReader(c)
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			_, _ = io.Copy(io.Discard, r)
		})
		return to("http://"+e.Addr, "retries: 0")
	}, func(t *testing.T, g *entrance) {
		for _, framing := range []string{"Content-Length: 100000000", "Transfer-Encoding: chunked"} {
			s, err := g.speak(t)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, _ = io.WriteString(s, "POST /x HTTP/1.1\r\nHost: a\r\n"+framing+"\r\n\r\n")
			answered, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for chunk := "400\r\n" + strings.Repeat("x", 1<<10) + "\r\n"; ; {
					select {
					case <-answered:
						return // with most of it unsaid
					default:
					}
					if _, err := io.WriteString(s, chunk); err != nil {
						return
					}
				}
			}()
			resp, text, err := s.reply(http.MethodPost)
			close(answered)
			_ = s.Close()
			<-stopped
			if err != nil || resp.StatusCode != http.StatusForbidden || text != "no" {
				t.Errorf("%s: %v %q, %v", framing, resp, text, err)
			}
		}
	})
}

// TestEngineUnaskedAnswers holds that what an endpoint says unasked is nobody's answer:
// the connection is not used again.
func TestEngineUnaskedAnswers(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for name, after := range map[string]func(c net.Conn){
		"an answer": func(c net.Conn) { _, _ = io.WriteString(c, poison) },
		"a timeout": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
		},
		"garbage":        func(c net.Conn) { _, _ = io.WriteString(c, "\x00\r\n") },
		"an end":         func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
		"a reset":        sever,
		"answer and end": func(c net.Conn) { _, _ = io.WriteString(c, poison); _ = c.(*net.TCPConn).CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			idle, spoken := make(chan struct{}), make(chan struct{})
			atBoth(t, func(t *testing.T) string {
				e := meshtest.RawOrigin(t, converse(func(c net.Conn, req *http.Request, body string) bool {
					if !echoes(c, req, body) {
						return false
					}
					if req.URL.Path != "/first" {
						return true
					}
					<-idle
					after(c)
					spoken <- struct{}{}
					return true
				}))
				return to("http://"+e.Addr, "retries: 0")
			}, func(t *testing.T, g *entrance) {
				g.want(t, "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", http.StatusOK, "hello")
				idle <- struct{}{} // the client has its answer
				await(t, "what is unasked", spoken)
				for _, method := range []string{"GET", "POST", "POST"} {
					g.want(t, method+" /next HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnext", http.StatusOK, "next")
				}
			})
		})
	}
}

// misdeeds are what an endpoint does in the place of an answer with the body, or with
// one.
var misdeeds = map[string]func(c net.Conn, answer string){
	"sound": func(c net.Conn, answer string) { _, _ = io.WriteString(c, answer) },
	"twice": func(c net.Conn, answer string) {
		_, _ = io.WriteString(c, answer+"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
	},
	"garbage": func(c net.Conn, answer string) { _, _ = io.WriteString(c, answer+"poison") },
	"longer":  func(c net.Conn, answer string) { _, _ = io.WriteString(c, answer+"\r\n\r\n") },
	"ends":    func(c net.Conn, answer string) { _, _ = io.WriteString(c, answer); _ = c.Close() },
	"silent":  func(c net.Conn, _ string) { _ = c.Close() },
	"reset":   func(c net.Conn, _ string) { sever(c) },
	"half":    func(c net.Conn, answer string) { _, _ = io.WriteString(c, answer[:len(answer)-3]); _ = c.Close() },
	"no HTTP": func(c net.Conn, _ string) { _, _ = io.WriteString(c, "poison\r\n\r\n") },
	"bad chunk": func(c net.Conn, _ string) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npoison\r\n0\r\n\r\n")
	},
	"two lengths": func(c net.Conn, _ string) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\npoison")
	},
	"hints": func(c net.Conn, answer string) { _, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"+answer) },
	"flood": func(c net.Conn, answer string) {
		_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000)+answer)
	},
	"endless": func(c net.Conn, _ string) { endless(c) },
}

// endless says a head that never ends.
func endless(c net.Conn) {
	_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
	for line := "X-Poison: " + strings.Repeat("poison", 100) + "\r\n"; err == nil; {
		_, err = io.WriteString(c, line)
	}
}

// TestEngineSharedConnections holds that whoever shares an endpoint's connections with
// the misdeeds of that endpoint, and of other clients, gets the answer to his own request
// or an honest failure.
func TestEngineSharedConnections(t *testing.T) {
	var names []string
	for name := range misdeeds {
		names = append(names, name)
	}
	atBoth(t, func(t *testing.T) string {
		e := meshtest.RawOrigin(t, converse(func(c net.Conn, req *http.Request, body string) bool {
			misdeed := misdeeds[req.Header.Get("X-Misdeed")]
			if misdeed == nil {
				t.Errorf("the endpoint got %s %s %q", req.Method, req.URL, req.Header)
				return false
			}
			misdeed(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			return true
		}))
		return to("http://"+e.Addr, "retries: 0, circuit_breaker: {failure_threshold: 100000}")
	}, func(t *testing.T, g *entrance) {
		crowd(16*25, func(i int) {
			if i%5 == 0 {
				badClient(t, g, i)
				return
			}
			name := names[i%len(names)]
			if i%2 == 0 {
				name = "sound"
			}
			own(t, g, i, name)
		})
	})
}

// own asks for its own body, of an endpoint that does what is told of.
func own(t *testing.T, g *entrance, i int, misdeed string) {
	body := fmt.Sprintf("%d:%s", i, strings.Repeat("x", i*37%9000))
	head := "POST /x HTTP/1.1\r\nHost: a\r\nX-Misdeed: " + misdeed + "\r\n"
	message := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	if i%3 == 0 {
		message = fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, len(body), body)
	}
	s, err := g.speak(t)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	_, _ = io.WriteString(s, message)
	var resp *http.Response
	text := ""
	for err == nil && (resp == nil || resp.StatusCode < http.StatusOK) {
		resp, text, err = s.reply(http.MethodPost)
	}
	switch {
	case strings.Contains(text, "poison") && misdeed != "bad chunk": // of that, the first five bytes were promised
		t.Errorf("%s: somebody else's answer: %.100q", misdeed, text)
	case err == nil && resp.StatusCode == http.StatusOK && text != body:
		t.Errorf("%s: %.100q, want %.100q", misdeed, text, body)
	case err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusBadGateway:
		t.Errorf("%s: %d %s", misdeed, resp.StatusCode, text)
	case misdeed == "sound" && (err != nil || text != body):
		t.Errorf("%s: %v %.100q, %v", misdeed, resp, text, err)
	case err != nil && !broken(err):
		t.Errorf("%s: %v", misdeed, err)
	}
}

// badClient sends half of a request or what is none, and goes away.
func badClient(t *testing.T, g *entrance, i int) {
	s, err := g.speak(t)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.reset()
	message := []string{
		"POST /x HTTP/1.1\r\nHost: a\r\nX-Misdeed: sound\r\nContent-Length: 10\r\n\r\npoiso",
		"POST /x HTTP/1.1\r\nHost: a\r\nX-Misdeed: sound\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\nzz",
		"POST /x HTTP/1.1\r\nHost: a\r\nX-Misdeed: sound\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\npoison",
		"POST /x HTTP/1.1\r\nHost: a\r\nX-Misdeed: sound\r\nContent-Length: 6\r\n\r\npoison",
		"GET /x HTTP/1.1\r\nHost: a\r\nX-Misdeed: silent\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nX-Misdeed: sound\r\n\r\npoison",
	}[i/5%5]
	_, _ = io.WriteString(s, message)
	if half := i/5%5 == 0; !half && i%2 == 0 {
		_, _ = s.r.Peek(1)
	}
}
