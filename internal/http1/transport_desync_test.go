package http1_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/internal/http1"
	"outrider/internal/mesh"
)

// TestNoAnswerGoesToAnotherRequest: whatever an endpoint says beyond one answer, the
// next request never gets it.
func TestNoAnswerGoesToAnotherRequest(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for _, c := range []struct{ name, head, body string }{
		{"answers twice", hello, evil},
		{"a byte more", hello, "x"},
		{"after a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", evil},
		{"after no body", "HTTP/1.1 204 No Content\r\n\r\n", evil},
		{"a 1xx after it", hello, "HTTP/1.1 103 Early Hints\r\n\r\n"},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " late ", late), func(t *testing.T) {
				each(t, func(t *testing.T, kind string) {
					if late && kind == "plain" {
						return // nobody can look there
					}
					said := make(chan struct{})
					o := newOrigin(t, kind, func(n int, p *peer) {
						if n > 0 {
							echo(n, p)
							return
						}
						_, _ = p.request()
						if late {
							p.say(c.head)
							<-said
							p.say(c.body)
						} else {
							p.say(c.head + c.body)
						}
						said <- struct{}{}
						_, _ = io.Copy(io.Discard, p)
					})
					rt := o.transport()
					resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
					if got := text(t, resp, err); got != "hello" && got != "" {
						t.Errorf("got %q", got)
					}
					if late {
						said <- struct{}{}
					}
					<-said
					resp, err = rt.RoundTrip(ask(t, "GET", "/next", nil))
					if got := text(t, resp, err); got != "GET /next shop.test " {
						t.Errorf("the next request got %q", got)
					}
				})
			})
		}
	}
}

// TestUnreadBodies: an answer that nobody reads to its end costs the connection, but
// where the rest is there already.
func TestUnreadBodies(t *testing.T) {
	for _, c := range []struct {
		name, said string
		dials      int64
	}{
		{"short, there", hello, 1},
		{"chunked, there", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1},
		{"long", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000), 2},
		{"not there", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", 2},
		{"bad", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 2},
		{"until close", "HTTP/1.1 200 OK\r\n\r\nhello", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, kind string) {
				o := newOrigin(t, kind, func(n int, p *peer) {
					for range 2 {
						if req, _ := p.request(); req == nil {
							return
						}
						p.say(c.said)
					}
					_, _ = io.Copy(io.Discard, p)
				})
				rt := o.transport()
				for range 2 {
					resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					resp.Body.Close() // once more does no harm
					if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
						t.Error("a closed body was read")
					}
				}
				if n := o.dials.Load(); n != c.dials {
					t.Errorf("%d connections, want %d", n, c.dials)
				}
			})
		})
	}
}

// TestALateCloseTouchesNobodyElse: the response of the next request on the connection
// is not ended by whoever closes an earlier one again.
func TestALateCloseTouchesNobodyElse(t *testing.T) {
	o := newOrigin(t, "raw", echo)
	rt := o.transport()
	first, err := rt.RoundTrip(ask(t, "GET", "/1", nil))
	if err != nil {
		t.Fatal(err)
	}
	body := first.Body
	body.Close()
	second, err := rt.RoundTrip(ask(t, "GET", "/2", nil))
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a closed body said %v", err)
	}
	if got := text(t, second, nil); got != "GET /2 shop.test " {
		t.Errorf("got %q", got)
	}
}

// dies answers one request and, on the first connection, takes the second and closes.
func dies(n int, p *peer) {
	defer p.Close()
	if n > 0 {
		echo(n, p)
		return
	}
	_, _ = p.request()
	p.say(hello)
	_, _ = http.ReadRequest(p.Reader)
}

// TestAKeptConnectionThatDies: what may be repeated is, once, on a new connection.
func TestAKeptConnectionThatDies(t *testing.T) {
	again := func(r *http.Request) {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
	}
	for _, c := range []struct {
		name, method string
		edit         func(*http.Request)
		want         string // else it fails
	}{
		{"GET", "GET", nil, "GET / shop.test "},
		{"POST", "POST", nil, ""},
		{"PUT, all there", "PUT", func(r *http.Request) { r.Body, r.ContentLength = whole("body"), 4 }, "PUT / shop.test body"},
		{"PUT, to be had again", "PUT", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body")), 4
			again(r)
		}, "PUT / shop.test body"},
		{"PUT, gone", "PUT", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body")), 4 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, kind string) {
				o := newOrigin(t, kind, dies)
				rt := o.transport()
				resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
				text(t, resp, err)
				req := ask(t, c.method, "/", nil)
				if c.edit != nil {
					c.edit(req)
				}
				resp, err = rt.RoundTrip(req)
				if c.want == "" {
					wantFault(t, err, mesh.Reset)
				} else if got := text(t, resp, err); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestAClosedIdleConnectionIsPassedBy: nothing is sent into it, so that even what may
// not be sent twice succeeds, however many there are.
func TestAClosedIdleConnectionIsPassedBy(t *testing.T) {
	for _, kind := range []string{"raw", "tls"} {
		t.Run(kind, func(t *testing.T) {
			const many = 5
			var arrived, closed sync.WaitGroup
			arrived.Add(many)
			closed.Add(many)
			o := newOrigin(t, kind, func(n int, p *peer) {
				if n >= many {
					echo(n, p)
					return
				}
				_, _ = p.request()
				arrived.Done()
				arrived.Wait()
				p.say(hello)
				p.Close()
				closed.Done()
			})
			rt := o.transport()
			var wg sync.WaitGroup
			for range many {
				wg.Go(func() {
					resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
					text(t, resp, err)
				})
			}
			wg.Wait()
			closed.Wait()
			req := ask(t, "POST", "/", strings.NewReader("body"))
			resp, err := rt.RoundTrip(req)
			if got := text(t, resp, err); got != "POST / shop.test body" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestHalfOpen: an endpoint that has ended its half is not asked again.
func TestHalfOpen(t *testing.T) {
	half := make(chan struct{}, 1)
	o := newOrigin(t, "raw", func(n int, p *peer) {
		if n > 0 {
			echo(n, p)
			return
		}
		_, _ = p.request()
		p.say(hello)
		_ = p.Conn.(*net.TCPConn).CloseWrite()
		half <- struct{}{}
		_, _ = io.Copy(io.Discard, p)
	})
	rt := o.transport()
	resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
	text(t, resp, err)
	<-half
	resp, err = rt.RoundTrip(ask(t, "POST", "/", nil))
	if got := text(t, resp, err); got != "POST / shop.test " {
		t.Errorf("got %q", got)
	}
}

func TestThePoolIsBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*http1.TransportConfig)
		dials int64
	}{
		{"by number", func(c *http1.TransportConfig) { c.MaxIdle = -1 }, 3},
		{"by age", func(c *http1.TransportConfig) { c.MaxAge = 1 }, 3},
		{"by idleness", func(c *http1.TransportConfig) { c.IdleTimeout = 1 }, 3},
		{"not", func(c *http1.TransportConfig) { c.IdleTimeout = -1 }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrigin(t, "raw", echo)
			rt := o.transport(c.edit)
			for range 3 {
				resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
				text(t, resp, err)
			}
			if n := o.dials.Load(); n != c.dials {
				t.Errorf("%d connections, want %d", n, c.dials)
			}
		})
	}
}

// TestIdleConnectionsAreClosed, by their timer, and nothing of them is left.
func TestIdleConnectionsAreClosed(t *testing.T) {
	closed := make(chan struct{})
	o := newOrigin(t, "raw", func(n int, p *peer) { echo(n, p); close(closed) })
	rt := o.transport(func(c *http1.TransportConfig) { c.IdleTimeout = 20 * time.Millisecond })
	resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
	text(t, resp, err)
	<-closed
}

func TestClose(t *testing.T) {
	o := newOrigin(t, "raw", echo)
	rt := o.transport()
	resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	rt.Close()
	text(t, resp, err) // the connection in use is used to the end, and no further
	resp, err = rt.RoundTrip(ask(t, "GET", "/", nil))
	text(t, resp, err)
	if n := o.dials.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestNothingLeaks: a transport that has met every misfortune holds no file more than
// before.
func TestNothingLeaks(t *testing.T) {
	o := newOrigin(t, "raw", func(n int, p *peer) {
		defer p.Close()
		for range n % 3 {
			if req, _ := p.request(); req == nil {
				return
			}
			p.say(hello + strings.Repeat("x", n%2))
		}
	})
	before := files(t)
	rt := o.transport()
	for i := range 300 {
		resp, err := rt.RoundTrip(ask(t, "POST", "/", strings.NewReader("body")))
		if err == nil {
			if i%2 == 0 {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			resp.Body.Close()
		}
	}
	rt.Close()
	o.close()
	if after := files(t); after > before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

func files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
