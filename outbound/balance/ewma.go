package balance

import (
	"math"
	"sync/atomic"
	"time"
)

// ewma is an endpoint's cost: the moving average of its latency, which jumps to a
// peak at once and comes down slowly, as in Finagle's peak EWMA. With nothing
// observed it decays to zero, so that an endpoint that once was slow is tried again.
//
// One word holds it, so that it is read and written without a lock: the cost as a
// float32 of nanoseconds, and when it was observed in ticks.
type ewma struct{ word atomic.Uint64 }

const (
	decay   = 10 * time.Second // after which an observation weighs 1/e
	tick    = 20               // a tick is 2^20 ns, about 1 ms: 32 bits of them last 49 days
	ceiling = float64(time.Minute)
)

// verdict is what an exchange says about the endpoint.
type verdict int

const (
	ignored   verdict = iota // for neither side: the client lost patience
	unrelated                // nor about its latency: the client's body took the time
	succeeded
	failed
)

// at returns the cost in nanoseconds at the instant now; zero is unknown.
func (e *ewma) at(now time.Duration) float64 {
	_, cost := e.read(now)
	return cost
}

// read returns the cost when it was observed last, and what has become of it.
func (e *ewma) read(now time.Duration) (last, cost float64) {
	last, weight := unpack(e.word.Load(), now)
	return last, last * weight
}

// observe adds an exchange that took so long.
func (e *ewma) observe(now, took time.Duration, v verdict) {
	if v == unrelated {
		return
	}
	for {
		word := e.word.Load()
		cost := next(word, now, float64(took), v)
		if e.word.CompareAndSwap(word, pack(min(cost, ceiling), now)) {
			return
		}
	}
}

// next returns the cost after an exchange.
func next(word uint64, now time.Duration, took float64, v verdict) float64 {
	cost, weight := unpack(word, now)
	switch {
	case v == failed:
		// To fail quickly is not to be fast: an endpoint that refuses every connection
		// would otherwise draw all requests.
		return max(took, 2*cost*weight)
	case v == ignored:
		// The client lost patience: the endpoint is at least that slow.
		return max(took, cost*weight)
	case took > cost:
		return took
	default:
		return cost*weight + took*(1-weight)
	}
}

// unpack returns the cost when it was observed, and its weight at the instant now.
func unpack(word uint64, now time.Duration) (cost, weight float64) {
	cost = float64(math.Float32frombits(uint32(word >> 32)))
	if cost == 0 {
		return 0, 0
	}
	// The difference of two wrapping clocks; negative where another goroutine was quicker.
	age := max(0, int32(uint32(now>>tick)-uint32(word)))
	return cost, math.Exp(-float64(age) * (1 << tick) / float64(decay))
}

func pack(cost float64, now time.Duration) uint64 {
	return uint64(math.Float32bits(float32(cost)))<<32 | uint64(uint32(now>>tick))
}

// recent counts what happened of late, in a word like ewma's: each time counts one, and
// less and less as time goes by.
type recent struct{ word atomic.Uint64 }

func (r *recent) add(now time.Duration) {
	for {
		word := r.word.Load()
		count, weight := unpack(word, now)
		if r.word.CompareAndSwap(word, pack(count*weight+1, now)) {
			return
		}
	}
}

// at returns the count at the instant now.
func (r *recent) at(now time.Duration) float64 {
	count, weight := unpack(r.word.Load(), now)
	return count * weight
}
