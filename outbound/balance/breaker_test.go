package balance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

var guide = balance.Breaker{FailureThreshold: 5, RecoveryTimeout: 30 * time.Second, SuccessThreshold: 3}

// recovered is when a breaker that opened now lets trials through.
const recovered = 30*time.Second + 1

// circuit is one endpoint behind a breaker, whose every answer the test decides.
type circuit struct {
	*fleet
	b       *balance.Balancer
	rt      http.RoundTripper
	changes []string
	err     error // nil: 200
}

func newCircuit(t *testing.T, set ...string) *circuit {
	c := &circuit{fleet: newFleet()}
	c.answer = func(string, *http.Request) (*http.Response, error) {
		if c.err != nil {
			return nil, c.err
		}
		return status(200), nil
	}
	c.b = open(t, balance.Config{Dial: c.dial, PanicThreshold: 100, Events: balance.Events{
		Breaker: func(e mesh.Endpoint, from, to balance.State) {
			c.changes = append(c.changes, fmt.Sprintf("%s: %s to %s", e.Address, from, to))
		},
	}}, endpoints(set...))
	c.rt = c.b.Through(&guide)
	return c
}

// fail and succeed send n requests that do.
func (c *circuit) fail(t *testing.T, n int) {
	t.Helper()
	c.err = errRefused
	for range n {
		_, err := send(c.rt)
		wantFault(t, err, mesh.Refused)
	}
	c.err = nil
}

func (c *circuit) succeed(t *testing.T, n int) {
	t.Helper()
	for range n {
		if _, err := send(c.rt); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *circuit) want(t *testing.T, s balance.State) {
	t.Helper()
	if got := at(t, c.b, "a").Breakers[0].State; got != s {
		t.Fatalf("state = %s; want %s", got, s)
	}
}

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a")
		c.fail(t, 4)
		c.want(t, balance.Closed)
		c.fail(t, 1)
		c.want(t, balance.Open)

		pass(10 * time.Second)
		_, err := send(c.rt)
		f := wantFault(t, err, mesh.BreakerOpen)
		if f.Retryable || f.RetryAfter != 20*time.Second {
			t.Errorf("retryable %v after %s; want false after 20s", f.Retryable, f.RetryAfter)
		}
		if got, want := at(t, c.b, "a").Breakers[0].Until, time.Now().Add(20*time.Second); !got.Equal(want) {
			t.Errorf("until = %s; want %s", got, want)
		}
		if got := c.get(c.served, "a"); got != 5 {
			t.Errorf("the endpoint got %d requests; want the 5 before it opened", got)
		}

		pass(recovered - 10*time.Second)
		c.want(t, balance.HalfOpen)
		c.succeed(t, 2)
		c.want(t, balance.HalfOpen)
		c.succeed(t, 1)
		c.want(t, balance.Closed)
		want := []string{"a: closed to open", "a: open to half-open", "a: half-open to closed"}
		if !slices.Equal(c.changes, want) {
			t.Errorf("changes = %q; want %q", c.changes, want)
		}
	})
}

func TestBreakerCountsFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a")
		for range 3 {
			c.fail(t, 4)
			c.succeed(t, 1)
		}
		c.want(t, balance.Closed)
		c.fail(t, 4)
		c.answer = func(string, *http.Request) (*http.Response, error) { return status(503), nil }
		c.succeed(t, 1) // a response, if not a good one
		c.want(t, balance.Open)
	})
}

func TestBreakerFailedTrialOpensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a")
		c.fail(t, 5)
		pass(recovered)
		c.succeed(t, 2)
		c.fail(t, 1)
		c.want(t, balance.Open)
		_, err := send(c.rt)
		if f := wantFault(t, err, mesh.BreakerOpen); f.RetryAfter != 30*time.Second {
			t.Errorf("RetryAfter = %s; want the whole 30s again", f.RetryAfter)
		}
		pass(recovered)
		c.succeed(t, 3)
		c.want(t, balance.Closed)
	})
}

// What the client brings about counts for nothing, closed or half-open.
func TestBreakerIgnoresTheClient(t *testing.T) {
	for _, fault := range []*mesh.Fault{
		{Kind: mesh.ClientGone},
		{Kind: mesh.ResponseTimeout, ByClient: true},
		{Kind: mesh.RequestTimeout, ByClient: true},
		{Kind: mesh.BadResponse, ByClient: true},
	} {
		t.Run(fault.Kind.Code(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCircuit(t, "a")
				byClient := func(n int) {
					t.Helper()
					c.err = fault
					for range n {
						_, err := send(c.rt)
						wantFault(t, err, fault.Kind)
					}
					c.err = nil
				}
				c.fail(t, 4)
				byClient(10)
				c.want(t, balance.Closed)
				c.fail(t, 1) // still in a row
				c.want(t, balance.Open)
				pass(recovered)
				byClient(10) // more than there are trials: each gave its own back
				c.want(t, balance.HalfOpen)
				c.succeed(t, 3)
				c.want(t, balance.Closed)
			})
		})
	}
}

// Trials that hang are bounded; one that is given up makes way for another.
func TestBreakerTrialsInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a")
		c.fail(t, 5)
		pass(recovered)
		c.answer = func(_ string, req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		for range 3 {
			req, call := request(ctx)
			go func() {
				_, err := c.rt.RoundTrip(req)
				call.End(mesh.Result{})
				done <- err
			}()
		}
		synctest.Wait()
		_, err := send(c.rt)
		if f := wantFault(t, err, mesh.BreakerOpen); f.RetryAfter != time.Second {
			t.Errorf("RetryAfter = %s; want 1s while trials are under way", f.RetryAfter)
		}
		cancel()
		for range 3 {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v; want canceled", err)
			}
		}
		c.answer = nil
		c.succeed(t, 3)
		c.want(t, balance.Closed)
	})
}

// A response's head is the verdict: streams that stay open hold no trial.
func TestBreakerOpenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a")
		c.fail(t, 5)
		pass(recovered)
		var calls []*mesh.Call
		for range 5 {
			calls = append(calls, hold(t, c.rt))
		}
		c.want(t, balance.Closed)
		for _, call := range calls {
			call.End(mesh.Result{Err: errors.New("cut short")})
		}
		c.want(t, balance.Closed)
		if got := c.b.Status()[0].Successes; got != 5 {
			t.Errorf("successes = %d; want each exchange once, 5", got)
		}
	})
}

func TestBreakerSkipsOpenEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a", "b")
		c.answer = func(address string, _ *http.Request) (*http.Response, error) {
			if address == "a" {
				return status(500), nil
			}
			return status(200), nil
		}
		for c.get(c.served, "a") < 5 {
			_, err := send(c.rt, "b") // keeps away from b
			if err != nil {
				t.Fatal(err)
			}
		}
		c.want(t, balance.Open)
		for range 50 {
			// Not even where b has been tried, and the panic threshold of 100 is passed.
			if got, err := send(c.rt, "b"); err != nil || got != "b" {
				t.Fatalf("went to %q, %v; want b", got, err)
			}
		}
	})
}

func TestBreakerAllOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a", "b")
		c.err = errRefused
		for c.get(c.served, "a") < 5 {
			_, err := send(c.rt, "b")
			wantFault(t, err, mesh.Refused)
		}
		pass(10 * time.Second)
		for c.get(c.served, "b") < 5 {
			_, err := send(c.rt, "a")
			wantFault(t, err, mesh.Refused)
		}
		_, err := send(c.rt)
		if f := wantFault(t, err, mesh.BreakerOpen); f.RetryAfter != 20*time.Second {
			t.Errorf("RetryAfter = %s; want the soonest, 20s", f.RetryAfter)
		}
		ill := endpoints("a", "b")
		ill[0].Unhealthy, ill[1].Unhealthy = true, true
		c.b.Update(ill) // panic disregards health, never a breaker
		_, err = send(c.rt)
		wantFault(t, err, mesh.BreakerOpen)
	})
}

func TestBreakerViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(t, "a")
		same := c.b.Through(&balance.Breaker{FailureThreshold: 5, RecoveryTimeout: 30 * time.Second, SuccessThreshold: 3})
		defaults := c.b.Through(&balance.Breaker{})
		bare := c.b.Through(nil)
		c.fail(t, 5)
		other := c.b.Through(&balance.Breaker{FailureThreshold: 6}) // closes none
		for name, rt := range map[string]http.RoundTripper{"same": same, "defaults": defaults} {
			_, err := send(rt)
			if wantFault(t, err, mesh.BreakerOpen); t.Failed() {
				t.Errorf("%s does not share its breaker", name)
			}
		}
		for name, rt := range map[string]http.RoundTripper{"other": other, "bare": bare} {
			if _, err := send(rt); err != nil {
				t.Errorf("%s: %v; want no part in that breaker", name, err)
			}
		}
		if got := len(at(t, c.b, "a").Breakers); got != 2 {
			t.Errorf("%d breakers; want 2", got)
		}
		c.b.Update(endpoints("a", "new"))
		if got := len(at(t, c.b, "new").Breakers); got != 2 {
			t.Errorf("%d breakers at an endpoint that joined later; want 2", got)
		}
	})
}

func TestStateString(t *testing.T) {
	for s, want := range map[balance.State]string{
		balance.Closed: "closed", balance.HalfOpen: "half-open", balance.Open: "open",
	} {
		if s.String() != want {
			t.Errorf("state %d = %q; want %q", s, s, want)
		}
	}
}
