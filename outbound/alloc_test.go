package outbound

import (
	"context"
	"net/http"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// layers are a service's layers, on an endpoint that costs nothing and a Call that
// serves one request after another.
func layers(tb testing.TB, method string, breaker *balance.Breaker, perAttempt time.Duration) (send func() error) {
	tb.Helper()
	ok := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	b, err := balance.New(balance.Config{Service: "orders", MaxConnections: 10, Dial: func(mesh.Endpoint) balance.Transport {
		return still{mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return ok, nil })}
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.Close)
	b.Update([]mesh.Endpoint{{Scheme: "http", Address: "a"}, {Scheme: "http", Address: "b"}})
	rt := mesh.Stack(b.Through(breaker), timeout(time.Minute, time.Minute), func(next http.RoundTripper) http.RoundTripper {
		return layer(usual, next, &recorder{})
	}, perTry(perAttempt))

	base := context.Background()
	req, call := request(method, "")
	for _, name := range []string{"Accept", "Accept-Encoding", "Forwarded", "User-Agent", "X-Request-Id"} {
		req.Header.Set(name, "*/*")
	}
	req = call.Bind(req)
	return func() error {
		_, err := rt.RoundTrip(req)
		call.End(mesh.Result{})
		if !call.Renew(base) {
			tb.Fatal("somebody has made a context")
		}
		return err
	}
}

// still is a transport without connections.
type still struct{ http.RoundTripper }

func (still) CloseIdleConnections() {}

// TestAllocations holds what a request that meets no wait costs between the route and
// the endpoint's transport.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		name    string
		method  string
		breaker *balance.Breaker
		perTry  time.Duration
		budget  float64
	}{
		{"usual", "GET", nil, 0, 0},
		{"POST", "POST", nil, 0, 0},
		{"per-try timeout", "GET", nil, time.Second, 0},
		{"breaker", "GET", &balance.Breaker{}, 0, 1}, // its report
	} {
		t.Run(c.name, func(t *testing.T) {
			send := layers(t, c.method, c.breaker, c.perTry)
			n := testing.AllocsPerRun(1000, func() {
				if err := send(); err != nil {
					t.Error(err)
				}
			})
			if n > c.budget+dropped {
				t.Errorf("%v allocations, the budget is %v", n, c.budget)
			}
		})
	}
}

func BenchmarkLayers(b *testing.B) {
	send := layers(b, "GET", nil, 0)
	b.ReportAllocs()
	for b.Loop() {
		if err := send(); err != nil {
			b.Fatal(err)
		}
	}
}
