package http1_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"outrider/internal/http1"
	"outrider/internal/mesh"
)

// parrot answers every request, which is shorter than its buffer, with the same.
func parrot(said string) func(int, *peer) {
	answer := []byte(said) // made once: what the endpoint allocates is counted, too
	return func(_ int, p *peer) {
		buf := make([]byte, 64<<10)
		n := 0
		for {
			m, err := p.Conn.Read(buf[n:])
			if err != nil {
				return
			}
			if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) || bytes.HasSuffix(buf[:n], []byte("body!")) {
				n = 0
				if _, err := p.Write(answer); err != nil {
					return
				}
			}
		}
	}
}

const usual = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: origin\r\nContent-Length: 5\r\n\r\nhello"

// lent is a base whose end is told by Cancel, as a server's is.
func lent(b testing.TB) *mesh.Call {
	call := mesh.NewCall(context.Background())
	if !call.Renew(context.Background()) {
		b.Fatal("a fresh call cannot be renewed")
	}
	return call
}

// TestRoundTripAllocates: the text of the answer's head, and nothing else. Where the
// connection cannot be read below net.Conn, a look whether it is fit for use costs more.
func TestRoundTripAllocates(t *testing.T) {
	for _, c := range []struct {
		name, kind, method string
		want               float64
	}{
		{"GET", "raw", "GET", 1},
		{"POST", "raw", "POST", 1},
		{"GET, plain", "plain", "GET", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrigin(t, c.kind, parrot(usual))
			rt := o.transport()
			req := ask(t, c.method, "/", nil)
			call := lent(t)
			req = call.Bind(req)
			if c.method == "POST" {
				req.Body, req.ContentLength = whole("a body!"), 7
			}
			room := make([]byte, 4<<10)
			got := testing.AllocsPerRun(200, func() {
				if !call.Renew(context.Background()) {
					call = lent(t)
					req = call.Bind(req)
				}
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := resp.Body.Read(room); n != 5 || err != io.EOF {
					t.Errorf("%d, %v", n, err)
				}
				resp.Body.Close()
			})
			if got > c.want {
				t.Errorf("%v allocations, want at most %v", got, c.want)
			}
		})
	}
}

// BenchmarkRoundTrip: one request after another over one connection. What the endpoint
// takes is in it.
func BenchmarkRoundTrip(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			o := newOrigin(b, kind, parrot(usual))
			benchmark(b, o.transport())
		})
	}
	b.Run("echo alone", func(b *testing.B) { // what a bare connection takes for the same
		o := newOrigin(b, "raw", parrot(usual))
		c, err := o.dial(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		ping(b, c)
	})
}

func ping(b *testing.B, c net.Conn) {
	request, room := []byte("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"), make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(room); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmark(b *testing.B, rt *http1.Transport) {
	call := lent(b)
	req := call.Bind(ask(b, "GET", "/", nil))
	room := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if !call.Renew(context.Background()) {
			call = lent(b)
			req = call.Bind(req)
		}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := resp.Body.Read(room); err != io.EOF {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}
