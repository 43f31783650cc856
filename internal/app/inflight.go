package app

import (
	"context"
	"sync/atomic"

	"outrider/internal/mesh"
)

// inFlight counts requests and lets the drain wait for the last one.
type inFlight struct {
	n       atomic.Int64
	arrived atomic.Int64  // all that ever began
	empty   chan struct{} // holds a token when n has fallen to zero
}

func newInFlight() *inFlight { return &inFlight{empty: make(chan struct{}, 1)} }

func (f *inFlight) begin() {
	f.n.Add(1)
	f.arrived.Add(1)
}

func (f *inFlight) end() {
	if f.n.Add(-1) > 0 {
		return
	}
	select {
	case f.empty <- struct{}{}:
	default: // a token is there already
	}
}

// End is end, of a request whose call has ended.
func (f *inFlight) End(mesh.Result) { f.end() }

func (f *inFlight) count() int64 { return f.n.Load() }

// wait returns how many requests are left: none, or more when ctx ended first.
func (f *inFlight) wait(ctx context.Context) int64 {
	for f.count() > 0 {
		select {
		case <-f.empty:
		case <-ctx.Done():
			return f.count()
		}
	}
	return 0
}
