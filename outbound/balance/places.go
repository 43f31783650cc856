package balance

import (
	"context"
	"sync/atomic"
)

// places bounds the requests in flight at one endpoint, and those that wait.
type places struct {
	taken   chan struct{} // a semaphore, whose senders queue first come, first served; nil is unlimited
	gone    chan struct{} // closed when the endpoint has left
	pending int64         // how many may wait

	inFlight atomic.Int64
	waiting  atomic.Int64
}

// open makes so many places, zero for no limit, and room for pending to wait.
func (p *places) open(limit, pending int) {
	p.gone, p.pending = make(chan struct{}), int64(pending)
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
	p.inFlight.Add(1)
	return true
}

// wait takes a place, waiting for it until either context ends. It reports false
// when there is none to be had: too many wait, the endpoint left, or a context ended.
func (p *places) wait(call, attempt context.Context) bool {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > p.pending {
		return false
	}
	select {
	case p.taken <- struct{}{}:
		p.inFlight.Add(1)
		return true
	case <-p.gone:
	case <-call.Done():
	case <-attempt.Done():
	}
	return false
}

// release gives a place back and returns how many requests are still in flight.
func (p *places) release() int64 {
	left := p.inFlight.Add(-1)
	if p.taken != nil {
		<-p.taken
	}
	return left
}

// load returns how many requests there are, in flight or waiting.
func (p *places) load() float64 { return float64(p.inFlight.Load() + p.waiting.Load()) }

// close sends away who waits. It is called once.
func (p *places) close() { close(p.gone) }

func (p *places) closed() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}
