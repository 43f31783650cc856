package balance_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

func TestEjectionIgnoresTheClient(t *testing.T) {
	w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 1}, "a", "b")
	w.answer = func(string, *http.Request) (*http.Response, error) {
		return nil, &mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true}
	}
	for range 10 {
		_, err := send(w.rt)
		wantFault(t, err, mesh.ResponseTimeout)
	}
	w.want(t)
}

// The head is the verdict: whatever ends the call after it changes nothing.
func TestVerdictStandsAfterTheHead(t *testing.T) {
	for name, cause := range map[string]*mesh.Fault{
		"client's own timeout": {Kind: mesh.ResponseTimeout, ByClient: true},
		"ours":                 {Kind: mesh.ResponseTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, balance.Config{Dial: newFleet().dial}, endpoints("a", "b"))
			rt := b.Through(&balance.Breaker{FailureThreshold: 1})
			call := hold(t, rt)
			call.Cancel(cause)
			call.End(mesh.Result{Err: cause})
			st := at(t, b, call.Attempts[0].Endpoint)
			if st.Successes != 1 || st.Failures != 0 || st.Breakers[0].State != balance.Closed || !st.EjectedUntil.IsZero() {
				t.Errorf("status = %+v; want one success and nothing else", st)
			}
		})
	}
}

// How long a client's body takes is no latency of the endpoint's; how long a client
// has waited in vain is.
func TestLatencyIsNotTheClients(t *testing.T) {
	for name, tc := range map[string]struct {
		fault *mesh.Fault
		want  time.Duration
	}{
		"slow body":      {&mesh.Fault{Kind: mesh.RequestTimeout, ByClient: true}, 0},
		"body too large": {&mesh.Fault{Kind: mesh.BodyTooLarge}, 0},
		"bad body":       {&mesh.Fault{Kind: mesh.Malformed}, 0},
		"own timeout":    {&mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true}, 10 * time.Second},
		"gone":           {&mesh.Fault{Kind: mesh.ClientGone}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.answer = func(string, *http.Request) (*http.Response, error) {
					pass(10 * time.Second)
					return nil, tc.fault
				}
				b := open(t, balance.Config{Dial: f.dial}, endpoints("a"))
				_, err := send(b.Through(nil))
				wantFault(t, err, tc.fault.Kind)
				if got := at(t, b, "a").Latency; got != tc.want {
					t.Errorf("latency = %s; want %s", got, tc.want)
				}
			})
		})
	}
}
