package http1_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
)

func TestTunnel(t *testing.T) {
	ways := map[string]struct {
		in  func(io.ReadWriteCloser, string) error
		out func(io.ReadWriteCloser) (string, error)
	}{
		"read and write": {
			func(b io.ReadWriteCloser, s string) error { _, err := io.WriteString(b, s); return err },
			func(b io.ReadWriteCloser) (string, error) { s, err := io.ReadAll(b); return string(s), err },
		},
		"copy": {
			func(b io.ReadWriteCloser, s string) error { _, err := io.Copy(b, strings.NewReader(s)); return err },
			func(b io.ReadWriteCloser) (string, error) {
				var s bytes.Buffer
				_, err := io.Copy(&s, b)
				return s.String(), err
			},
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, kind string) {
				o := newOrigin(t, kind, upgrade)
				b, _ := tunnelTo(t, o.transport())
				if err := way.in(b, "ping"); err != nil {
					t.Error(err)
				}
				if err := b.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Error(err)
				}
				if got, err := way.out(b); got != "early ping" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				b.Close()
				b.Close()
			})
		})
	}
}

func TestTheCallEndsATunnel(t *testing.T) {
	read := map[string]func(io.Reader) error{
		"read": func(b io.Reader) error { _, err := io.ReadAll(b); return err },
		"copy": func(b io.Reader) error { _, err := io.Copy(io.Discard, b); return err },
	}
	each(t, func(t *testing.T, kind string) {
		for name, read := range read {
			t.Run(name, func(t *testing.T) {
				o := newOrigin(t, kind, upgrade)
				rt := o.transport()
				b, call := tunnelTo(t, rt)
				go call.Cancel(&mesh.Fault{Kind: mesh.IdleTimeout})
				wantFault(t, read(b), mesh.IdleTimeout)
				_, err := io.WriteString(b, "x")
				wantFault(t, err, mesh.IdleTimeout)
				b.Close()
				b, call = tunnelTo(t, rt)
				call.SetDeadline(time.Now().Add(20*time.Millisecond), &mesh.Fault{Kind: mesh.ResponseTimeout})
				wantFault(t, read(b), mesh.ResponseTimeout)
				b.Close()
			})
		}
	})
}

func TestConnectionNamesWhatItMust(t *testing.T) {
	o := newOrigin(t, "raw", func(_ int, p *peer) {
		for {
			req := p.head()
			if req == nil {
				return
			}
			said := fmt.Sprint(req.Header["Connection"], req.Header["Te"], req.Header["User-Agent"])
			p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(said), said))
		}
	})
	rt := o.transport()
	for _, c := range []struct {
		edit func(http.Header)
		want string
	}{
		{func(http.Header) {}, "[] [] []"},
		{func(h http.Header) { h.Set("Te", "trailers") }, "[TE] [trailers] []"},
		{func(h http.Header) { h.Set("Upgrade", "a"); h.Set("Te", "trailers") }, "[Upgrade, TE] [trailers] []"},
		{func(h http.Header) { h.Set("Connection", "close") }, "[] [] []"},
	} {
		req := ask(t, "GET", "/", nil)
		c.edit(req.Header)
		resp, err := rt.RoundTrip(req)
		if got := text(t, resp, err); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// TestRoundTripOn: a connection that somebody else made is used, and kept.
func TestRoundTripOn(t *testing.T) {
	o := newOrigin(t, "tls", echo)
	rt := o.transport()
	c, err := o.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTripOn(c, ask(t, "GET", "/1", nil))
	if got := text(t, resp, err); got != "GET /1 shop.test " {
		t.Errorf("got %q", got)
	}
	resp, err = rt.RoundTrip(ask(t, "GET", "/2", nil))
	text(t, resp, err)
	if n := o.dials.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A request from outside a stack has a call of its own, which ends with its context.
func TestARequestWithoutACall(t *testing.T) {
	o := newOrigin(t, "raw", echo)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.test/", nil)
	resp, err := o.transport().RoundTrip(req)
	if got := text(t, resp, err); got != "GET / shop.test " {
		t.Errorf("got %q", got)
	}
}
