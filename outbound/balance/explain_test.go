package balance_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// explain asks where a GET with a key would go.
func explain(t *testing.T, b *balance.Balancer, settings *balance.Breaker) balance.Explanation {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://s/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Key", "k")
	return b.Explain(settings, req, mesh.NewCall(t.Context()))
}

// why returns what is said of each endpoint, "takes" where nothing is.
func why(x balance.Explanation) map[string]string {
	all := map[string]string{}
	for _, c := range x.Candidates {
		all[c.Endpoint.ID] = c.Why
		if c.Takes && c.Why == "" {
			all[c.Endpoint.ID] = "takes"
		}
	}
	return all
}

func TestExplainSaysWhyAnEndpointGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, ill := newFleet(), map[string]bool{}
		fleet.answer = func(address string, _ *http.Request) (*http.Response, error) {
			if ill[address] {
				return nil, errRefused
			}
			return status(200), nil
		}
		b := open(t, balance.Config{Dial: fleet.dial, Policy: balance.RoundRobin,
			Outlier: balance.Outlier{ConsecutiveFailures: 2, BaseEjection: time.Minute, MaxEjectedPercent: 50},
			Rand:    func() uint64 { return 0 }},
			sicken(withdraw(endpoints("a", "b", "c", "d"), "a"), "b"))
		breaker := &balance.Breaker{FailureThreshold: 2, RecoveryTimeout: 10 * time.Second}
		if x := explain(t, b, breaker); x.Fault != nil || x.Present != 3 || x.Healthy != 2 {
			t.Errorf("fault %v, %d of %d healthy", x.Fault, x.Healthy, x.Present)
		}
		ill["c"] = true
		rt := b.Through(breaker)
		for range 4 {
			_, _ = send(rt)
		}
		got := why(explain(t, b, breaker))
		for id, want := range map[string]string{
			"a": "withdrawn by its operator: maintenance",
			"b": "unhealthy: critical",
			"c": "ejected for another 1m0s after 2 failures in a row",
			"d": "takes",
		} {
			if got[id] != want {
				t.Errorf("%s: %q, want %q", id, got[id], want)
			}
		}
		ill["d"] = true
		for range 2 {
			_, _ = send(rt)
		}
		x := explain(t, b, breaker)
		if x.Fault == nil || x.Fault.Kind != mesh.BreakerOpen || !strings.HasPrefix(why(x)["d"], "its breaker is open for another 10s after 2 failures") {
			t.Errorf("fault %v, d: %q", x.Fault, why(x)["d"])
		}
		if x := explain(t, b, nil); x.Fault != nil {
			t.Errorf("without a breaker: %v", x.Fault)
		}
		pass(11 * time.Second)
		if got := why(explain(t, b, breaker))["d"]; got != "its breaker is half-open: a request would be a trial" {
			t.Errorf("d: %q", got)
		}
	})
}

// Whoever asks changes nothing: what was said to be next is.
func TestExplainNamesTheNext(t *testing.T) {
	for _, policy := range []string{balance.P2C, balance.RoundRobin, balance.Weighted, balance.LeastConnections, balance.RingHash} {
		t.Run(policy, func(t *testing.T) {
			fleet := newFleet()
			b := open(t, balance.Config{Dial: fleet.dial, Policy: policy, HashOn: "header:X-Key"}, endpoints("a", "b"))
			rt := b.Through(nil)
			sure := 0
			for range 20 {
				next := explain(t, b, nil).Next
				if again := explain(t, b, nil).Next; policy != balance.P2C && again != next { // whose costs decay
					t.Fatalf("next was %q and is %q", next, again)
				}
				got, err := sendKeyed(rt, "k")
				if err != nil {
					t.Fatal(err)
				}
				if next == "" {
					continue
				}
				if sure++; next != got {
					t.Fatalf("%s was to be next, and %s was picked", next, got)
				}
			}
			if chance := policy == balance.P2C || policy == balance.LeastConnections; sure == 0 && !chance {
				t.Error("it never knew who is next")
			}
		})
	}
}

func TestExplainOfFullEndpoints(t *testing.T) {
	b := open(t, balance.Config{Dial: newFleet().dial, MaxConnections: 1}, endpoints("a"))
	call := hold(t, b.Through(nil))
	if x := explain(t, b, nil); x.Fault == nil || x.Fault.Kind != mesh.Overflow || why(x)["a"] != "all 1 places are taken and 0 requests wait" {
		t.Errorf("fault %v, a: %q", x.Fault, why(x)["a"])
	}
	call.End(mesh.Result{})
	if x := explain(t, b, nil); x.Fault != nil {
		t.Errorf("fault %v", x.Fault)
	}
}

func TestExplainOfNobody(t *testing.T) {
	b := open(t, balance.Config{Dial: newFleet().dial, Why: func() string { return "no such host" }}, nil)
	if x := explain(t, b, nil); x.Fault == nil || x.Fault.Kind != mesh.NoEndpoints || !strings.Contains(x.Fault.Error(), "no such host") {
		t.Errorf("fault %v", x.Fault)
	}
}
