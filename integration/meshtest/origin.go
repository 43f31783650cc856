package meshtest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// Endpoint is an HTTP server behind the gateway.
type Endpoint struct {
	*httptest.Server
	requests atomic.Int64
	probes   atomic.Int64
	health   atomic.Int64 // the status of /health; zero means 200
}

// Origin starts an endpoint on 127.0.0.1, HTTP/1.1 and HTTP/2 without TLS, and stops
// it when the test ends. It answers /health by itself.
func Origin(t testing.TB, handler http.HandlerFunc) *Endpoint {
	t.Helper()
	return OriginAt(t, "127.0.0.1:0", handler)
}

// OriginAt is Origin on an address of the caller's choice.
func OriginAt(t testing.TB, addr string, handler http.HandlerFunc) *Endpoint {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	e := &Endpoint{}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			e.probes.Add(1)
			w.WriteHeader(e.healthStatus())
			return
		}
		e.requests.Add(1)
		handler(w, r)
	}))
	e.Listener.Close()
	e.Listener = ln
	e.Config.Protocols = new(http.Protocols)
	e.Config.Protocols.SetHTTP1(true)
	e.Config.Protocols.SetUnencryptedHTTP2(true)
	e.Start()
	t.Cleanup(e.Close)
	return e
}

// Requests returns how many requests came, health checks aside.
func (e *Endpoint) Requests() int { return int(e.requests.Load()) }

// Probes returns how many health checks came.
func (e *Endpoint) Probes() int { return int(e.probes.Load()) }

// SetHealth makes status the answer to health checks from now on.
func (e *Endpoint) SetHealth(status int) { e.health.Store(int64(status)) }

func (e *Endpoint) healthStatus() int {
	if status := e.health.Load(); status != 0 {
		return int(status)
	}
	return http.StatusOK
}

// Says answers every request with this status and body.
func Says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}
