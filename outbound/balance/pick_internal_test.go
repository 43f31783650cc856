package balance

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"outrider/internal/mesh"
)

var policies = []string{P2C, RoundRobin, Weighted, LeastConnections, RingHash}

type silent struct{}

var empty = &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}

func (silent) RoundTrip(*http.Request) (*http.Response, error) { return empty, nil }
func (silent) CloseIdleConnections()                           {}

func numbered(n int) []mesh.Endpoint {
	set := make([]mesh.Endpoint, n)
	for i := range set {
		address := fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255)
		set[i] = mesh.Endpoint{ID: address, Scheme: "http", Address: address, Weight: 1 + i%5}
	}
	return set
}

// settings of everything that a pick may have to heed.
func settings(policy string) Config {
	return Config{Policy: policy, MaxConnections: 10, MaxPending: 10, PanicThreshold: 50,
		HashOn: "header:X-Key", SlowStart: time.Hour, Zone: "east", ZoneFirst: true,
		Dial: func(mesh.Endpoint) Transport { return silent{} }}
}

func picking(t testing.TB, policy string, n int) (*Balancer, query) {
	b, err := New(settings(policy))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	set := numbered(n)
	b.Update(set)
	v := b.Through(&Breaker{}).(*view)
	// Half of them have a history, so that costs are computed.
	for i, m := range b.snapshot.Load().all {
		if i%2 == 0 {
			m.cost.observe(0, time.Millisecond, succeeded)
		}
	}
	return b, query{view: v, now: time.Second, tried: []mesh.Attempt{{Endpoint: set[0].Address}}}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, policy := range policies {
		for _, n := range []int{2, 10, 100} {
			b, q := picking(t, policy, n)
			// A newcomer in slow start, and two zones of which ours is short of health.
			set := numbered(n + 1)
			for i := range set {
				if i%2 == 0 {
					set[i].Zone, set[i].Unhealthy = "east", i%4 == 0 && i > 0 && i < n
				}
			}
			b.Update(set)
			q.keyed = true
			if s := b.snapshot.Load(); !s.slowed || n > 2 && (s.share == 1 || len(s.far.members) == 0) {
				t.Fatalf("snapshot = %+v; want zones and slow start, else this tests little", s)
			}
			if got := testing.AllocsPerRun(100, func() {
				if m, _ := b.pick(q); m == nil {
					t.Fatal("no pick")
				}
			}); got != 0 {
				t.Errorf("%s of %d: %v allocations a pick; want 0", policy, n, got)
			}
		}
	}
}

// The exchange, its function for the call's end, and the breaker's for its outcome; one
// more is the test's own Unwind.
func TestRoundTripAllocatesLittle(t *testing.T) {
	b, q := picking(t, P2C, 10)
	call := mesh.NewCall(t.Context())
	call.Attempts = make([]mesh.Attempt, 1)
	plain, err := http.NewRequest(http.MethodGet, "http://orders/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req := call.Bind(plain)
	for _, m := range b.snapshot.Load().all {
		m.via()
	}
	if got := testing.AllocsPerRun(100, func() {
		resp, err := q.view.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		call.Unwind(0, mesh.Result{})
	}); got > 4 {
		t.Errorf("%v allocations a request; want at most 4", got)
	}
}
