package outbound_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/internal/mesh"
	"outrider/outbound"
)

// fickle is an https server that agrees on the protocol of the moment.
type fickle struct {
	*httptest.Server
	protocol atomic.Value // h2 or http/1.1
	changes  atomic.Bool  // with each connection
	met      atomic.Int64 // connections
}

func startFickle(t *testing.T) (*fickle, mesh.Endpoint) {
	t.Helper()
	f := &fickle{}
	f.protocol.Store("http/1.1")
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s", r.Proto, b)
	}))
	f.Config.ErrorLog = discard()
	f.EnableHTTP2 = true
	f.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		f.met.Add(1)
		cfg := f.TLS.Clone()
		cfg.GetConfigForClient = nil
		cfg.NextProtos = []string{f.protocol.Load().(string)}
		if f.changes.Load() {
			f.turn()
		}
		return cfg, nil
	}}
	f.StartTLS()
	t.Cleanup(f.Close)
	return f, endpoint("https", f.Listener.Addr().String())
}

// ready is a body that has come whole.
type ready struct {
	io.ReadCloser
	data string
}

func (r ready) Buffered() ([]byte, bool) { return []byte(r.data), true }

// turn changes the protocol.
func (f *fickle) turn() {
	if f.protocol.CompareAndSwap("h2", "http/1.1") {
		return
	}
	f.protocol.Store("h2")
}

var spoken = map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"}

// TestEndpointChangesItsProtocol: each connection is used by the protocol that its
// handshake agreed on, none is made in vain, and a body is sent whole.
func TestEndpointChangesItsProtocol(t *testing.T) {
	f, e := startFickle(t)
	// A kept connection that is closed just now may look alive.
	again := outbound.Retry{Attempts: 3, On: []string{"reset"}, Budget: always}
	rt := start(t, outbound.Config{TLS: roots(f.Server), Retry: again}, e).RoundTripper(outbound.Override{})
	for i := range 6 {
		want := spoken[f.protocol.Load().(string)] + " hello"
		for range 3 {
			client := body("hello")
			if i >= 2 { // by either protocol first
				client = ready{client, "hello"}
			}
			x := send(t, rt, "PUT", "/", client)
			if got := x.text(); got != want {
				t.Errorf("turn %d: got %q, want %q", i, got, want)
			}
			x.end()
		}
		if got := f.met.Load(); got != int64(i+1) {
			t.Errorf("turn %d: %d connections, want one each turn", i, got)
		}
		f.turn()
		f.CloseClientConnections()
	}
}

// TestEndpointOfTwoMinds: many requests at once to an endpoint that says something else
// each time it is asked.
func TestEndpointOfTwoMinds(t *testing.T) {
	f, e := startFickle(t)
	f.changes.Store(true)
	rt := start(t, outbound.Config{TLS: roots(f.Server)}, e).RoundTripper(outbound.Override{})
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			x := send(t, rt, "POST", "/", body("hello"))
			defer x.end()
			if x.err != nil {
				t.Error(x.err)
				return
			}
			if b, err := io.ReadAll(x.resp.Body); err != nil || len(b) != len("HTTP/1.1 hello") {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
	wg.Wait()
}

// TestUpgradeOffersHTTP1 whatever the endpoint would rather speak, and leaves the other
// requests theirs.
func TestUpgradeOffersHTTP1(t *testing.T) {
	srv, e := serve(t, "https", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	rt := start(t, outbound.Config{TLS: roots(srv)}, e).RoundTripper(outbound.Override{})
	for _, c := range []struct {
		edit func(*http.Request)
		want string
	}{{upgrade, "HTTP/1.1"}, {func(*http.Request) {}, "HTTP/2.0"}, {upgrade, "HTTP/1.1"}} {
		x := send(t, rt, "GET", "/", nil, c.edit)
		if got := x.text(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		x.end()
	}
}
