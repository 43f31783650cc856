package http1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outrider/internal/http1"
	"outrider/internal/mesh"
)

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// says answers the first request of each connection with s, and closes it.
func says(s string) func(int, *peer) {
	return func(_ int, p *peer) {
		defer p.Close()
		if req, _ := p.request(); req != nil {
			p.say(s)
		}
	}
}

func TestFaultsOfTheHead(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		for _, c := range []struct {
			name, method, said string
			want               mesh.Kind
			retryable          bool
		}{
			{"nothing", "GET", "", mesh.Reset, true},
			{"nothing, not idempotent", "POST", "", mesh.Reset, false},
			{"half a head", "GET", "HTTP/1.1 200 OK\r\nA: ", mesh.Reset, true},
			{"garbage", "GET", "hello\r\n\r\n", mesh.BadResponse, true},
			{"garbage, not idempotent", "POST", "hello\r\n\r\n", mesh.BadResponse, false},
			{"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", mesh.BadResponse, true},
			{"length and coding", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", mesh.BadResponse, true},
			{"bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", mesh.BadResponse, true},
			{"204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", mesh.BadResponse, true},
			{"endless 1xx", "GET", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), mesh.BadResponse, true},
			{"large head", "GET", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 300<<10), mesh.ResponseTooLarge, true},
			{"many fields", "GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: a\r\n", 5000) + "\r\n", mesh.ResponseTooLarge, true},
			{"101 unasked", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", mesh.UnsupportedUpgrade, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				o := newOrigin(t, kind, says(c.said))
				resp, err := o.transport().RoundTrip(ask(t, c.method, "/", nil))
				if resp != nil {
					t.Fatalf("got %v", resp)
				}
				f := wantFault(t, err, c.want)
				if f.Retryable != c.retryable || f.Endpoint != o.ln.Addr().String() {
					t.Errorf("retryable %v at %q, want %v", f.Retryable, f.Endpoint, c.retryable)
				}
				if n := o.dials.Load(); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
			})
		}
	})
}

func TestFaultsOfTheBody(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		for _, c := range []struct {
			name, said, part string
			want             mesh.Kind
		}{
			{"cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "hel", mesh.Reset},
			{"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "hel", mesh.Reset},
			{"cut before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", "hel", mesh.Reset},
			{"cut in the trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\nA: b\r\n", "hel", mesh.Reset},
			{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nzz\r\n", "hel", mesh.BadResponse},
			{"chunk extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n", "", mesh.BadResponse},
		} {
			t.Run(c.name, func(t *testing.T) {
				o := newOrigin(t, kind, says(c.said))
				resp, err := o.transport().RoundTrip(ask(t, "GET", "/", nil))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				if string(got) != c.part {
					t.Errorf("got %q, want %q", got, c.part)
				}
				f := wantFault(t, err, c.want)
				if errors.Is(err, io.EOF) {
					t.Error("what was cut can be taken for an end")
				}
				if _, again := resp.Body.Read(make([]byte, 1)); !errors.Is(again, f) {
					t.Errorf("the next read ended with %v", again)
				}
				resp.Body.Close()
			})
		}
	})
}

func TestARefusedClientCertificateIsATLSFault(t *testing.T) {
	o := newOrigin(t, "tls", says(hello))
	o.demandCertificate()
	_, err := o.transport().RoundTrip(ask(t, "GET", "/", nil))
	wantFault(t, err, mesh.TLSFailed)
}

// silent reads requests and says nothing.
func silent(_ int, p *peer) { _, _ = io.Copy(io.Discard, p) }

func TestTheCallEndsTheWait(t *testing.T) {
	begin := map[string]func(int, *peer){
		"head": silent,
		"body": func(_ int, p *peer) {
			_, _ = p.request()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
			_, _ = io.Copy(io.Discard, p)
		},
	}
	end := []struct {
		name string
		do   func(*mesh.Call)
		want mesh.Kind
	}{
		{"deadline", func(c *mesh.Call) {
			c.SetDeadline(time.Now().Add(20*time.Millisecond), &mesh.Fault{Kind: mesh.ResponseTimeout})
		}, mesh.ResponseTimeout},
		{"the attempt's", func(c *mesh.Call) {
			c.Try(time.Now().Add(20*time.Millisecond), &mesh.Fault{Kind: mesh.PerTryTimeout})
		}, mesh.PerTryTimeout},
		{"cancelled", func(c *mesh.Call) { go c.Cancel(&mesh.Fault{Kind: mesh.Draining}) }, mesh.Draining},
		{"client gone", func(c *mesh.Call) { go c.Cancel(io.EOF) }, mesh.ClientGone},
		{"before", func(c *mesh.Call) { c.Cancel(&mesh.Fault{Kind: mesh.Draining}) }, mesh.Draining},
	}
	each(t, func(t *testing.T, kind string) {
		for at, serve := range begin {
			for _, c := range end {
				t.Run(at+" "+c.name, func(t *testing.T) {
					o := newOrigin(t, kind, serve)
					req := ask(t, "GET", "/", nil)
					if at == "head" {
						c.do(mesh.From(req))
					}
					resp, err := o.transport().RoundTrip(req)
					if at == "body" {
						if err != nil {
							t.Fatal(err)
						}
						c.do(mesh.From(req))
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					if f := wantFault(t, err, c.want); f.Endpoint == "" {
						t.Error("the Fault names no endpoint")
					}
				})
			}
		}
	})
}

// A call that has ended without having touched a connection leaves it for the next.
func TestACancelledCallCostsNoConnection(t *testing.T) {
	o := newOrigin(t, "raw", echo)
	rt := o.transport()
	resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
	text(t, resp, err)
	req := ask(t, "GET", "/", nil)
	mesh.From(req).Cancel(io.EOF)
	if _, err := rt.RoundTrip(req); err == nil {
		t.Error("a cancelled call was answered")
	}
	resp, err = rt.RoundTrip(ask(t, "GET", "/", nil))
	text(t, resp, err)
	if n := o.dials.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestFaultsOfTheDial(t *testing.T) {
	refused := &mesh.Fault{Kind: mesh.Refused, Retryable: true, Endpoint: "there"}
	dial := func(ctx context.Context) (net.Conn, error) { return nil, refused }
	rt := http1.NewTransport(http1.TransportConfig{Address: "here", Dial: dial})
	_, err := rt.RoundTrip(ask(t, "POST", "/", nil))
	if err != error(refused) { //nolint:errorlint // as it is
		t.Errorf("got %v, want the dial's own Fault", err)
	}
	hang := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, &mesh.Fault{Kind: mesh.ConnectTimeout, Err: ctx.Err()}
	}
	rt = http1.NewTransport(http1.TransportConfig{Address: "here", Dial: hang})
	for _, c := range []struct {
		do   func(*mesh.Call)
		want mesh.Kind
	}{
		{func(c *mesh.Call) { c.Cancel(io.EOF) }, mesh.ClientGone},
		{func(c *mesh.Call) {
			c.Try(time.Now().Add(time.Millisecond), &mesh.Fault{Kind: mesh.PerTryTimeout})
		}, mesh.PerTryTimeout},
		{func(c *mesh.Call) {
			c.SetDeadline(time.Now().Add(time.Millisecond), &mesh.Fault{Kind: mesh.ResponseTimeout})
		}, mesh.ResponseTimeout},
	} {
		req := ask(t, "GET", "/", nil)
		c.do(mesh.From(req))
		_, err := rt.RoundTrip(req)
		wantFault(t, err, c.want)
	}
}

// What no head can be made of is our own mistake, and costs no connection.
func TestWhatCannotBeSent(t *testing.T) {
	o := newOrigin(t, "raw", echo)
	rt := o.transport()
	for name, edit := range map[string]func(*http.Request){
		"value":  func(r *http.Request) { r.Header.Set("A", "b\r\nC: d") },
		"method": func(r *http.Request) { r.Method = "G T" },
		"host":   func(r *http.Request) { r.Host = "a b" },
		"length": func(r *http.Request) { r.Body, r.ContentLength = whole("abc"), 4 },
	} {
		req := ask(t, "GET", "/", nil)
		edit(req)
		_, err := rt.RoundTrip(req)
		if f := wantFault(t, err, mesh.Internal); f.Retryable {
			t.Errorf("%s: retryable", name)
		}
		resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
		if got := text(t, resp, err); got != "GET / shop.test " {
			t.Errorf("%s: then got %q", name, got)
		}
	}
	if n := o.dials.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestResetAtEveryOffset: wherever an answer is cut off, by an end or a reset, the
// request fails or has all of it; and the next request is none the worse.
func TestResetAtEveryOffset(t *testing.T) {
	for _, said := range []string{
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
	} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprint("reset ", reset), func(t *testing.T) { cutEverywhere(t, said, reset) })
		}
	}
}

func cutEverywhere(t *testing.T, said string, reset bool) {
	each(t, func(t *testing.T, kind string) {
		var cut atomic.Int64
		o := newOrigin(t, kind, func(_ int, p *peer) {
			defer p.Close()
			if req, _ := p.request(); req == nil {
				return
			}
			p.say(said) // a whole one, so that the next finds a kept connection
			if req, _ := p.request(); req == nil {
				return
			}
			p.say(said[:cut.Load()])
			if reset && kind == "raw" {
				_ = p.Conn.(*net.TCPConn).SetLinger(0)
			}
		})
		rt := o.transport()
		for i := range len(said) {
			cut.Store(int64(i))
			resp, err := rt.RoundTrip(ask(t, "GET", "/", nil))
			if got := text(t, resp, err); got != "hello" {
				t.Fatalf("got %q", got)
			}
			resp, err = rt.RoundTrip(ask(t, "POST", "/", nil)) // which is not sent twice
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			wantFault(t, err, mesh.Reset)
		}
	})
}

// A call that ends between an answer's end and its Close may have left its mark on the
// connection: that is not used again.
func TestAnInterruptedConnectionIsNotUsedAgain(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		o := newOrigin(t, kind, echo)
		rt := o.transport()
		req := ask(t, "GET", "/", nil)
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Error(err)
		}
		mesh.From(req).Cancel(io.EOF)
		resp.Body.Close()
		resp, err = rt.RoundTrip(ask(t, "POST", "/", nil))
		text(t, resp, err)
		if n := o.dials.Load(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}
