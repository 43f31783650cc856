package balance

import (
	"context"
	"sync/atomic"
	"time"
)

// places bounds the requests in flight at one endpoint, and those that wait.
type places struct {
	taken   chan struct{} // a semaphore, whose senders queue first come, first served; nil is unlimited
	pending int64         // how many may wait
	total   *atomic.Int64 // in flight at many endpoints, this one's included; nil where nobody asks

	gone atomic.Pointer[chan struct{}] // closed when who waits is to go elsewhere
	left atomic.Bool                   // the endpoint is no longer in the set

	inFlight atomic.Int64
	waiting  atomic.Int64
}

// open makes so many places, zero for no limit, and room for pending to wait.
func (p *places) open(limit, pending int) {
	p.pending = int64(pending)
	p.readmit()
	if limit > 0 {
		p.taken = make(chan struct{}, limit)
	}
}

// free reports whether a place is free.
func (p *places) free() bool { return p.taken == nil || len(p.taken) < cap(p.taken) }

// queueable reports whether one more may wait.
func (p *places) queueable() bool { return p.waiting.Load() < p.pending }

// enter takes a place if one is free.
func (p *places) enter() bool {
	if p.taken != nil {
		select {
		case p.taken <- struct{}{}:
		default:
			return false
		}
	}
	p.count(1)
	return true
}

// count adds n requests in flight, and returns how many there are.
func (p *places) count(n int64) int64 {
	if p.total != nil {
		p.total.Add(n)
	}
	return p.inFlight.Add(n)
}

// wait takes a place, waiting for it until the context ends or due fires. It reports
// false when there is none to be had: too many wait, the endpoint left or was withdrawn,
// or the wait ended so.
func (p *places) wait(ctx context.Context, due <-chan time.Time) bool {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > p.pending {
		return false
	}
	select {
	case p.taken <- struct{}{}:
		p.count(1)
		return true
	case <-*p.gone.Load():
	case <-ctx.Done():
	case <-due:
	}
	return false
}

// release gives a place back and returns how many requests are still in flight.
func (p *places) release() int64 {
	left := p.count(-1)
	if p.taken != nil {
		<-p.taken
	}
	return left
}

// load returns how many requests there are, in flight or waiting.
func (p *places) load() float64 { return float64(p.inFlight.Load() + p.waiting.Load()) }

// dismiss sends away who waits, and whoever comes to wait from now on. It and what
// follows are called with Balancer.mu held.
func (p *places) dismiss() { close(*p.gone.Load()) }

// readmit lets requests wait again after dismiss.
func (p *places) readmit() {
	gone := make(chan struct{})
	p.gone.Store(&gone)
}

// leave is called once, when the endpoint has left the set.
func (p *places) leave() {
	p.left.Store(true)
	select {
	case <-*p.gone.Load(): // dismissed before
	default:
		p.dismiss()
	}
}
