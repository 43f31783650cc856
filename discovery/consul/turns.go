package consul

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	pollsAtOnce = 8
	// pollEvery is how often a watch without a place asks; pollRate bounds how many
	// such polls all watches of a Client make in a second.
	pollEvery = 3 * time.Second
	pollRate  = 100
)

// turns shares one agent among the watches of a Client. There are places for
// queries that block, and a few lanes for those that do not, so that the agent
// never sees more than both together. A watch gives its place back after each
// query, and the one that has waited longest takes it; without a place it polls.
//
// No query is cut short to make room: an agent may go on with a query whose client
// has left, and would count its connection until the end.
type turns struct {
	places  chan struct{} // one for each query that blocks
	lanes   chan struct{} // one for each that does not
	without atomic.Int64  // watches that want a place and have none
}

func newTurns(places int) *turns {
	return &turns{places: make(chan struct{}, places), lanes: make(chan struct{}, pollsAtOnce)}
}

// place takes a place. It reports false when the time has come to poll instead, or
// ctx has ended.
func (t *turns) place(ctx context.Context) bool {
	select {
	case t.places <- struct{}{}:
		return true
	default:
	}
	n := t.without.Add(1)
	defer t.without.Add(-1)
	timer := time.NewTimer(jitter(pollPause(n)))
	defer timer.Stop()
	select {
	case t.places <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// pollPause is how long each of n watches waits between two polls.
func pollPause(n int64) time.Duration {
	return max(pollEvery, time.Duration(n)*time.Second/pollRate)
}

// leavePlace gives a place back.
func (t *turns) leavePlace() { <-t.places }

// lane takes a lane. It reports false when none became free within d, or ctx has
// ended.
func (t *turns) lane(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case t.lanes <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// leaveLane gives a lane back.
func (t *turns) leaveLane() { <-t.lanes }
