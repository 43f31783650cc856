package outbound

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// parrot answers every request, whose head comes in one piece, alike and allocates
// nothing for it.
func parrot(tb testing.TB, answer string) (address string) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		in, out := make([]byte, 4<<10), []byte(answer)
		for {
			n, err := c.Read(in)
			if err != nil {
				return
			}
			if bytes.HasSuffix(in[:n], []byte("\r\n\r\n")) {
				_, _ = c.Write(out)
			}
		}
	}()
	tb.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// exchanges sends requests to a parrot, over one connection.
func exchanges(tb testing.TB) (send func() error) {
	tb.Helper()
	address := parrot(tb, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: parrot\r\nContent-Length: 5\r\n\r\nhello")
	b, err := balance.New(balance.Config{Service: "orders", Dial: func(e mesh.Endpoint) balance.Transport {
		return newTransport(&dialer{endpoint: e}, HostPreserve)
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.Close)
	b.Update([]mesh.Endpoint{{Scheme: "http", Address: address, Host: "orders"}})
	rt := mesh.Stack(b.Through(nil), timeout(time.Minute, time.Minute), func(next http.RoundTripper) http.RoundTripper {
		return layer(usual, next, &recorder{})
	})

	base := context.Background()
	req, call := request("GET", "")
	for _, name := range []string{"Accept", "Accept-Encoding", "Forwarded", "User-Agent", "X-Request-Id"} {
		req.Header.Set(name, "*/*")
	}
	req = call.Bind(req)
	into := make([]byte, 32)
	once := func() error {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			return err
		}
		if n, err := resp.Body.Read(into); n != 5 || err != nil && err != io.EOF {
			tb.Errorf("got %q, %v", into[:n], err)
		}
		err = resp.Body.Close()
		call.End(mesh.Result{})
		return err
	}
	if err := once(); err != nil { // makes the connection, which needs a context
		tb.Fatal(err)
	}
	call = mesh.NewCall(base)
	req = call.Bind(req)
	call.End(mesh.Result{})
	return func() error {
		if !call.Renew(base) {
			tb.Fatal("somebody has made a context")
		}
		return once()
	}
}

// TestExchangeAllocations holds what a request to an endpoint and its answer cost, from
// the route to the socket and back.
func TestExchangeAllocations(t *testing.T) {
	const budget = 1 // the strings of the answer's head
	send := exchanges(t)
	n := testing.AllocsPerRun(1000, func() {
		if err := send(); err != nil {
			t.Error(err)
		}
	})
	if n > budget+dropped {
		t.Errorf("%v allocations, the budget is %v", n, budget)
	}
}

func BenchmarkExchange(b *testing.B) {
	send := exchanges(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := send(); err != nil {
			b.Fatal(err)
		}
	}
}
