package consul_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"outrider/discovery/consul"
	"outrider/internal/mesh"
)

var blank = bytes.Repeat([]byte(" "), 64<<10)

// endless is a body without end.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, blank)
	e.read += int64(n)
	return n, nil
}

func TestAnswerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, body := newAgent(), &endless{}
		a.with(func() {
			a.instead = func(*http.Request) *http.Response {
				resp := respond(200, "")
				resp.Body = io.NopCloser(body)
				return resp
			}
		})
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		w.stop(t)
		failed, _ := w.failures()
		if len(failed) != 1 || !strings.Contains(failed[0].Error(), "larger than 1048576 bytes") {
			t.Errorf("got %v", failed)
		}
		if body.read > consul.MaxAnswer+16 { // it looks for the end
			t.Errorf("%d bytes read, want no more than %d", body.read, consul.MaxAnswer)
		}
	})
}

func TestErrorTextIsBounded(t *testing.T) {
	for _, status := range []int{500, 429} {
		synctest.Test(t, func(t *testing.T) {
			a, body := newAgent(), &endless{}
			a.with(func() {
				a.instead = func(*http.Request) *http.Response {
					resp := respond(status, "")
					resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 1000)), body))
					return resp
				}
			})
			w := watch(t, a.client(t, consul.Config{}), consul.Query{})
			w.stop(t)
			failed, _ := w.failures()
			if len(failed) != 1 || len(failed[0].Error()) > 500 {
				t.Errorf("got %v, want a short error", failed)
			}
			if body.read > 8<<10 {
				t.Errorf("%d bytes read", body.read)
			}
		})
	}
}

// ask asks a real socket once, and returns what came of it.
func ask(t *testing.T, address string) (set []mesh.Endpoint, failed error) {
	t.Helper()
	c, err := consul.New(consul.Config{Address: address, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	r := c.Resolver(consul.Query{}, consul.Hear{
		Answered: func() { cancel(errEnough) },
		Failed:   func(err error) { failed = err; cancel(errEnough) },
	})
	_ = r.Watch(ctx, "orders", func(got []mesh.Endpoint) { set = got })
	return set, failed
}

// A redirect would hand the token to whoever it names.
func TestRedirectIsNotFollowed(t *testing.T) {
	var lured atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { lured.Add(1) }))
	defer thief.Close()
	server := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusMovedPermanently))
	defer server.Close()
	_, err := ask(t, server.Listener.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "301") {
		t.Errorf("got %v", err)
	}
	if lured.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// An agent answers the connection that is one too many so, and closes it.
func TestTooManyConnections(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nYour IP is issuing too many concurrent connections, please rate limit your calls\n")
		conn.Close()
	}))
	defer server.Close()
	_, err := ask(t, server.Listener.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "429") || !strings.Contains(err.Error(), "too many concurrent connections") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(nil)
	address := server.Listener.Addr().String()
	server.Close()
	_, err := ask(t, address)
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "/v1/health") {
		t.Errorf("got %v, want why, without the URL", err)
	}
}

func TestOverASocket(t *testing.T) {
	a := newAgent()
	a.put("orders", entry("a", "10.0.0.1", 80))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := a.RoundTrip(r)
		if err != nil {
			return
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer server.Close()
	set, err := ask(t, server.Listener.Addr().String())
	if err != nil || len(set) != 1 || set[0].Address != "10.0.0.1:80" {
		t.Errorf("got %v, %v", set, err)
	}
	if got := a.requests("orders")[0].token; got != "secret" {
		t.Errorf("token %q", got)
	}
}
