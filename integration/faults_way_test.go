package integration_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/integration/meshtest"
	"outrider/internal/mesh"
)

// faultsOfTheWay are endpoints that cannot be reached.
func faultsOfTheWay() map[mesh.Kind]provocation {
	at := func(url, settings string) func(*testing.T) string {
		return func(*testing.T) string { return to(url, "retries: 0, "+settings) }
	}
	raw := func(scheme, settings string, speak func(net.Conn)) func(*testing.T) string {
		return func(t *testing.T) string {
			return to(scheme+"://"+meshtest.RawOrigin(t, speak).Addr, "retries: 0, "+settings)
		}
	}
	return map[mesh.Kind]provocation{
		// .invalid never resolves: RFC 6761, section 6.4
		mesh.NoEndpoints:    {config: at("http://orders.invalid", "")},
		mesh.Refused:        {config: func(t *testing.T) string { return to("http://"+freeAddress(t), "retries: 0") }},
		mesh.Unreachable:    {config: at("http://127.255.255.255:80", "")}, // a broadcast address: TCP has no way there
		mesh.ConnectTimeout: {config: raw("https", "connect_timeout: 50ms", hold)},
		mesh.TLSFailed:      {config: raw("https", "", func(c net.Conn) { _, _ = io.WriteString(c, "I speak no TLS.\r\n"); hold(c) })},
		mesh.TLSCertificate: {config: func(t *testing.T) string {
			s := httptest.NewUnstartedServer(meshtest.Says(http.StatusOK, ""))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return to(s.URL, "retries: 0")
		}},
		mesh.Reset: {config: raw("http", "", func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) })},
	}
}

// hold says nothing until the other end leaves.
func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// faultsOfTheAnswer are endpoints that do not answer as they should.
func faultsOfTheAnswer() map[mesh.Kind]provocation {
	slow := func(settings string) func(*testing.T) string {
		return func(t *testing.T) string {
			return to(meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }).URL, "retries: 0, "+settings)
		}
	}
	says := func(text string) func(*testing.T) string {
		return func(t *testing.T) string {
			return to("http://"+meshtest.RawOrigin(t, meshtest.Bytes(text)).Addr, "retries: 0")
		}
	}
	return map[mesh.Kind]provocation{
		mesh.ResponseTimeout:    {config: slow("timeout: 50ms")},
		mesh.RequestTimeout:     {config: reads, ask: sendsHalf},
		mesh.PerTryTimeout:      {config: slow("per_try_timeout: 50ms")},
		mesh.IdleTimeout:        {config: standsStill, ask: cutShortWhileReading},
		mesh.BadResponse:        {config: says("I speak no HTTP.\r\n\r\n")},
		mesh.ResponseTooLarge:   {config: says("HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 300<<10))},
		mesh.UnsupportedUpgrade: {config: says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")},
	}
}

// standsStill is a stream of events that ends after the first.
func standsStill(t *testing.T) string {
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return to(e.URL, "idle_timeout: 50ms")
}

// cutShortWhileReading meets a fault after the head: there is no answer to it but the
// end of the connection, which must not look like the end of the stream.
func cutShortWhileReading(t *testing.T, g *meshtest.Running) (none meshtest.Reply, answered bool) {
	w := g.Dial()
	w.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	text, err := io.ReadAll(w.Head(http.MethodGet).Body)
	if string(text) != "data: 1\n\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q and %v, want the first event and an unexpected end", text, err)
	}
	return none, false
}

// reads is an endpoint that answers when the body has come.
func reads(t *testing.T) string {
	e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	return to(e.URL, "timeout: 200ms")
}

// sendsHalf begins a body and never ends it.
func sendsHalf(t *testing.T, g *meshtest.Running) (meshtest.Reply, bool) {
	t.Helper()
	w := g.Dial()
	w.Send("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	return w.Reply(http.MethodGet), true
}

// comesAndGoes sends a request and leaves while it is served. Nobody is there to be
// answered: the fault is for log and metric.
func comesAndGoes(t *testing.T, g *meshtest.Running) (none meshtest.Reply, answered bool) {
	t.Helper()
	arrived := make(chan struct{}, 1)
	e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	if err := g.Reload(to(e.URL, "")); err != nil {
		t.Fatal(err)
	}
	w := g.Dial()
	w.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	await(t, "the request at the endpoint", arrived)
	w.Close()
	return none, false
}

// fullHouse is an endpoint whose one place is taken.
func fullHouse() provocation {
	arrived := make(chan struct{}, 1)
	return provocation{
		config: func(t *testing.T) string {
			e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-r.Context().Done()
			})
			return to(e.URL, "retries: 0, max_connections: 1, max_pending: 0")
		},
		before: func(t *testing.T, g *meshtest.Running) {
			ctx, leave := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+"/held", nil)
			if err != nil {
				t.Fatal(err)
			}
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err == nil {
					resp.Body.Close()
				}
			}()
			t.Cleanup(func() { leave(); <-gone })
			await(t, "the first request at the endpoint", arrived)
		},
	}
}
