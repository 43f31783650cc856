package outbound

import (
	"sync/atomic"
	"time"
)

// Budget bounds retries to a share of the requests of the last ten seconds, so
// that retries cannot amplify an outage. With both fields zero nothing is retried.
type Budget struct {
	Percent int // retries per hundred requests
	Min     int // retries that are always allowed, for each second of the ten
}

const windowSeconds = 10

// ledger counts a service's requests and retries over the last ten seconds. Its
// zero value is ready.
type ledger struct {
	ring [windowSeconds]atomic.Pointer[second]
}

// second is the count of one second, told from those a multiple of ten seconds
// older by at.
type second struct {
	at       int64
	requests atomic.Int64
	retries  atomic.Int64
}

// current returns the second that now is in.
func (l *ledger) current(now time.Time) *second {
	at := now.Unix()
	slot := &l.ring[at%windowSeconds]
	for {
		s := slot.Load()
		if s != nil && s.at >= at { // a later one: the clock went back, which must not forget anything
			return s
		}
		fresh := &second{at: at}
		if slot.CompareAndSwap(s, fresh) {
			return fresh
		}
	}
}

// request counts one request.
func (l *ledger) request(now time.Time) { l.current(now).requests.Add(1) }

// withdraw counts one retry, where b allows it.
func (l *ledger) withdraw(b Budget, now time.Time) bool {
	s := l.current(now)
	s.retries.Add(1) // first, so that of two at once only one gets the last place
	if requests, retries := l.sum(now); retries <= b.allows(requests) {
		return true
	}
	s.retries.Add(-1)
	return false
}

// remaining returns how many retries b allows right now.
func (l *ledger) remaining(b Budget, now time.Time) int {
	requests, retries := l.sum(now)
	return int(max(b.allows(requests)-retries, 0))
}

// allows returns how many retries may accompany so many requests in the window. The
// floor is the whole window's at once, as in Finagle's RetryBudget: a proxy that has
// just started has few requests to take a share of, and may meet a dead endpoint
// with several of them at the same time.
func (b Budget) allows(requests int64) int64 {
	return requests*int64(b.Percent)/100 + int64(b.Min)*windowSeconds
}

// sum returns the counts of the window.
func (l *ledger) sum(now time.Time) (requests, retries int64) {
	oldest := now.Unix() - windowSeconds
	for i := range l.ring {
		if s := l.ring[i].Load(); s != nil && s.at > oldest {
			requests += s.requests.Load()
			retries += s.retries.Load()
		}
	}
	return requests, retries
}
