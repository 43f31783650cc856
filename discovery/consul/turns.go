package consul

import (
	"context"
	"slices"
	"sync"
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
// query, and the one that has waited longest gets it; without a place it polls.
//
// No query is cut short to make room: an agent may go on with a query whose client
// has left, and would count its connection until the end.
type turns struct {
	lanes chan struct{} // one for each query that does not block

	mu    sync.Mutex // protects free and queue
	free  int        // places; none while somebody waits
	queue []ticket   // who waits for a place, longest first
}

// ticket is closed when its holder has a place. Nil is no ticket.
type ticket chan struct{}

func newTurns(places int) *turns {
	return &turns{free: places, lanes: make(chan struct{}, pollsAtOnce)}
}

// line gives out a ticket.
func (t *turns) line() ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := make(ticket)
	if t.free > 0 {
		t.free--
		close(mine)
		return mine
	}
	t.queue = append(t.queue, mine)
	return mine
}

// waiting returns how many wait for a place.
func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}

// leave gives a place back, or the wait for it up.
func (t *turns) leave(mine ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.queue, mine); at >= 0 {
		t.queue = slices.Delete(t.queue, at, at+1)
		return
	}
	if len(t.queue) == 0 {
		t.free++
		return
	}
	close(t.queue[0])
	t.queue = slices.Delete(t.queue, 0, 1)
}

// pollPause is how long each of n watches without a place waits between two polls.
func pollPause(n int) time.Duration {
	return max(pollEvery, time.Duration(n)*time.Second/pollRate)
}

// lane takes a lane. It reports false when none became free within d, or ctx has
// ended.
func (t *turns) lane(ctx context.Context, d time.Duration) bool {
	select {
	case t.lanes <- struct{}{}:
		return true
	default:
	}
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
