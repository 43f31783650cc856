package balance

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"outrider/internal/mesh"
)

// view is the balancer seen through one sort of breaker.
type view struct {
	b       *Balancer
	breaker Breaker
	index   int // of its circuit in each endpoint, or noBreaker
}

const (
	noBreaker = -1
	// maxPicks bounds how often a request picks again because others were quicker.
	maxPicks = 16
)

// RoundTrip sends req to an endpoint and fills in the last of the call's Attempts,
// which it appends where there is none. The error is the transport's or a Fault:
// NoEndpoints, BreakerOpen, Overflow, or why the wait for a place ended.
func (v *view) RoundTrip(req *http.Request) (*http.Response, error) {
	call := mesh.From(req)
	if call == nil {
		return nil, &mesh.Fault{Kind: mesh.Internal, Err: errors.New("balance: request without a call")}
	}
	if len(call.Attempts) == 0 {
		call.Attempts = append(call.Attempts, mesh.Attempt{})
	}
	attempt := &call.Attempts[len(call.Attempts)-1]
	if attempt.Start.IsZero() { // else the retry layer has just looked
		attempt.Start = time.Now()
	}
	x, err := v.begin(req, call)
	if err != nil {
		attempt.Duration, attempt.Err = time.Since(attempt.Start), err
		return nil, err
	}
	attempt.Endpoint, attempt.Scheme = x.to.info.Address, x.to.info.Scheme
	call.AtEnd(x)
	resp, err := x.send(req, call)
	attempt.Duration = v.b.epoch.Add(x.headed).Sub(attempt.Start)
	if err != nil {
		attempt.Err = err
		return nil, err
	}
	attempt.Status = resp.StatusCode
	return resp, nil
}

// begin picks an endpoint that takes the request now, or after a wait.
func (v *view) begin(req *http.Request, call *mesh.Call) (*exchange, error) {
	last := len(call.Attempts) - 1
	q := query{view: v, tried: call.Attempts[:last], now: call.Attempts[last].Start.Sub(v.b.epoch)}
	if v.b.key != nil {
		q.key, q.keyed = v.b.key.of(call, req)
	}
	for range maxPicks {
		m, full := v.b.pick(q)
		if m == nil {
			return nil, v.refusal(q.now)
		}
		entered := !full && m.place.enter()
		if full {
			var err error
			if entered, err = await(call, m); err != nil {
				return nil, err
			}
			q.now = v.b.now()
		}
		if !entered {
			continue // another request was quicker, or the endpoint left
		}
		// The breaker is asked last: who waited long learns what happened meanwhile, and
		// who still waits holds none of the trials of a half-open breaker.
		report, ok := m.circuit(v).allow()
		if ok {
			return v.b.exchange(m.endpoint, report, q.now), nil
		}
		m.release()
	}
	return nil, v.refusal(q.now)
}

// await waits for a place at m. It returns false where another endpoint should be
// picked, and the Fault with which the call or the attempt ended.
func await(call *mesh.Call, m *member) (bool, error) {
	var due <-chan time.Time
	at, late := call.Due()
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	entered := m.place.wait(call.Context(), due)
	err := ended(call)
	if err == nil && !at.IsZero() && !time.Now().Before(at) {
		err = late
	}
	if err != nil && entered { // both at once
		m.release()
	}
	return entered, err
}

// ended returns the Fault for the early end of the call, nil before.
func ended(call *mesh.Call) error {
	cause := call.Cause()
	if cause == nil {
		return nil
	}
	var f *mesh.Fault
	if errors.As(cause, &f) {
		return f
	}
	// The connection's or stream's own end has no cause of ours.
	return &mesh.Fault{Kind: mesh.ClientGone, Err: cause}
}

// refusal returns the Fault for a request that no endpoint takes.
func (v *view) refusal(now time.Duration) *mesh.Fault {
	s := v.b.current(now)
	n := len(s.near.members) + len(s.far.members)
	if n == 0 {
		return &mesh.Fault{Kind: mesh.NoEndpoints, Err: v.b.emptiness(s)}
	}
	recovery := never
	for _, g := range [...]*group{&s.near, &s.far} {
		for _, m := range g.members {
			c := m.circuit(v)
			if c.admits(now) {
				return &mesh.Fault{Kind: mesh.Overflow, Retryable: true,
					Err: fmt.Errorf("service %s: no place at %d endpoints", v.b.cfg.Service, n)}
			}
			recovery = min(recovery, c.recovers(now))
		}
	}
	return &mesh.Fault{Kind: mesh.BreakerOpen, RetryAfter: recovery,
		Err: fmt.Errorf("service %s: the breakers of %d endpoints are open", v.b.cfg.Service, n)}
}

// emptiness says why no endpoint is usable.
func (b *Balancer) emptiness(s *snapshot) error {
	if len(s.all) > 0 {
		what := "unhealthy or withdrawn"
		switch s.present {
		case 0:
			what = "withdrawn by their operator"
		case len(s.all):
			what = "unhealthy"
		}
		m := s.all[0]
		return fmt.Errorf("service %s: all %d endpoints are %s, such as %s: %s",
			b.cfg.Service, len(s.all), what, m.info.Address, m.said.HealthNote)
	}
	if b.cfg.Why != nil {
		if why := b.cfg.Why(); why != "" {
			return fmt.Errorf("service %s: no endpoints: %s", b.cfg.Service, why)
		}
	}
	return fmt.Errorf("service %s: no endpoints", b.cfg.Service)
}
