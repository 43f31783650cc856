package outbound

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// retrier is the retry layer.
type retrier struct {
	next    http.RoundTripper
	service mesh.Service
	policy  Retry
	ledger  *ledger
	events  Events
	rand    func() uint64
	spare   sync.Pool // of attempts
}

// RoundTrip makes the first attempt and, as far as the policy, the budget, the
// deadline and the body allow, further ones. It returns the last attempt's
// response; where that got none, the most telling Fault of all.
func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	call := mesh.From(req)
	up := newUpload(req)
	if up != nil {
		call.AtEnd(up) // the first, and so told after the attempts
	}
	now := time.Now()
	r.ledger.request(now)

	var worst *mesh.Fault
	for n := 0; ; n++ {
		a, err := r.begin(call, req, up)
		if err != nil { // the check below makes this unreachable but for the first, which cannot fail
			return nil, mesh.AsFault(err)
		}
		call.Attempts = append(call.Attempts, mesh.Attempt{Start: now})
		if call.Trace != nil { // each attempt is a span of its own, which the endpoint is told of
			call.Trace.Attempt(call, &a.req)
		}
		resp, err := r.next.RoundTrip(&a.req)
		if err != nil {
			a.stop()
			worst = moreTelling(worst, mesh.AsFault(err))
		}
		reason, wait := r.again(a, n, resp, err)
		if reason == "" || !r.may(call, up) || !r.afford(call, n, reason) {
			if err != nil {
				return nil, worst
			}
			return resp, nil
		}
		a.giveUp(resp, err)
		if cause := sleep(call, wait); cause != nil {
			return nil, mesh.EndOf(cause)
		}
		now = time.Now()
	}
}

// again returns why the outcome of attempt n, from 0, deserves another attempt and
// after which wait; an empty reason is none.
func (r *retrier) again(a *attempt, n int, resp *http.Response, err error) (reason string, wait time.Duration) {
	if n >= r.policy.Attempts || err == nil && resp.StatusCode < 400 {
		return "", 0
	}
	reason = r.policy.reason(a.req.Method, resp, err)
	if reason == "" && !mesh.Idempotent(a.req.Method) && slices.Contains(r.policy.On, outcomeOf(resp, err)) {
		a.call.Acts |= mesh.NotIdempotent
	}
	if reason == "" || over(a.call) != nil { // nobody waits for the answer
		return "", 0
	}
	now := time.Now()
	wait = r.jitter(r.policy.backoff(n))
	if resp != nil {
		asked := retryAfter(resp.Header, now)
		if asked > maxRetryAfter {
			return "", 0
		}
		wait = max(wait, asked)
	}
	if at := a.call.Deadline(); !at.IsZero() && !now.Add(wait).Before(at) {
		a.call.Acts |= mesh.NoTime
		return "", 0
	}
	return reason, wait
}

// may reports whether the body can be sent again.
func (r *retrier) may(call *mesh.Call, up *upload) bool {
	if up.repeatable() {
		return true
	}
	call.Acts |= mesh.NoReplay
	return false
}

// afford takes extra attempt n+1 from the budget. It comes last: only what will be
// made is paid for.
func (r *retrier) afford(call *mesh.Call, n int, reason string) bool {
	if !r.ledger.withdraw(r.policy.Budget, time.Now()) {
		call.Acts |= mesh.NoBudget
		if r.events.BudgetExhausted != nil {
			r.events.BudgetExhausted(r.service)
		}
		return false
	}
	if r.events.Retry != nil {
		r.events.Retry(r.service, n+1, reason)
	}
	return true
}

// jitter draws from zero to bound.
func (r *retrier) jitter(bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	return time.Duration(r.rand() % uint64(bound+1))
}
