package balance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet stands in for the endpoints of a service.
type fleet struct {
	// answer is what the endpoint at an address does; nil is 200 for everything.
	answer func(address string, req *http.Request) (*http.Response, error)

	mu     sync.Mutex // protects all below
	dialed map[string]int
	closed map[string]int
	served map[string]int
}

func newFleet() *fleet {
	return &fleet{dialed: map[string]int{}, closed: map[string]int{}, served: map[string]int{}}
}

// dial is a balance.Config.Dial.
func (f *fleet) dial(e mesh.Endpoint) balance.Transport {
	f.count(f.dialed, e.Address)
	return &wire{fleet: f, address: e.Address}
}

func (f *fleet) count(in map[string]int, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in[address]++
}

func (f *fleet) get(in map[string]int, address string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return in[address]
}

// wire is the transport of one endpoint.
type wire struct {
	fleet   *fleet
	address string
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.fleet.count(w.fleet.served, w.address)
	if w.fleet.answer == nil {
		return status(200), nil
	}
	return w.fleet.answer(w.address, req)
}

func (w *wire) CloseIdleConnections() { w.fleet.count(w.fleet.closed, w.address) }

func status(code int) *http.Response {
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader("")), Header: http.Header{}}
}

var errRefused = &mesh.Fault{Kind: mesh.Refused, Retryable: true, Err: errors.New("connection refused")}

// endpoints returns endpoints of these names, which are their addresses as well.
func endpoints(names ...string) []mesh.Endpoint {
	set := make([]mesh.Endpoint, len(names))
	for i, name := range names {
		set[i] = mesh.Endpoint{ID: name, Scheme: "http", Address: name, Host: name}
	}
	return set
}

// many returns n endpoints.
func many(n int) []mesh.Endpoint {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("10.0.%d.%d:80", i/256, i%256)
	}
	return endpoints(names...)
}

// seeded returns reproducible random numbers, for one goroutine.
func seeded() func() uint64 { return rand.New(rand.NewPCG(1, 2)).Uint64 }

// open returns a Balancer over set, closed with the test.
func open(t testing.TB, cfg balance.Config, set []mesh.Endpoint) *balance.Balancer {
	t.Helper()
	cfg.Service = "orders"
	b, err := balance.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.Update(set)
	return b
}

// request returns a request with a call of its own, one attempt of which begins now
// after attempts at the tried addresses.
func request(ctx context.Context, tried ...string) (*http.Request, *mesh.Call) {
	call := mesh.NewCall(ctx)
	for _, address := range tried {
		call.Attempts = append(call.Attempts, mesh.Attempt{Endpoint: address})
	}
	call.Attempts = append(call.Attempts, mesh.Attempt{})
	req, err := http.NewRequest(http.MethodGet, "http://orders/path?q=1", nil)
	if err != nil {
		panic(err)
	}
	return call.Bind(req), call
}

// send sends a request from its head to its end, and returns where it went.
func send(rt http.RoundTripper, tried ...string) (string, error) { return sendKeyed(rt, "", tried...) }

// sendKeyed sends one with a key in its header X-Key.
func sendKeyed(rt http.RoundTripper, key string, tried ...string) (string, error) {
	req, call := request(context.Background(), tried...)
	if key != "" {
		req.Header.Set("X-Key", key)
	}
	resp, err := rt.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	call.End(mesh.Result{})
	return call.Attempts[len(tried)].Endpoint, err
}

// hold sends a request whose exchange lasts until its call is ended.
func hold(t *testing.T, rt http.RoundTripper) *mesh.Call {
	t.Helper()
	req, call := request(context.Background())
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return call
}

// wantFault checks that err is a Fault of kind, and returns it.
func wantFault(t *testing.T, err error, kind mesh.Kind) *mesh.Fault {
	t.Helper()
	var f *mesh.Fault
	if !errors.As(err, &f) || f.Kind != kind {
		t.Fatalf("error = %v; want a Fault of kind %s", err, kind)
	}
	return f
}

// at returns the status of one endpoint.
func at(t *testing.T, b *balance.Balancer, address string) balance.EndpointStatus {
	t.Helper()
	for _, st := range b.Status() {
		if st.Endpoint.Address == address {
			return st
		}
	}
	t.Fatalf("no endpoint %s", address)
	return balance.EndpointStatus{}
}

// pass lets d pass in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }
