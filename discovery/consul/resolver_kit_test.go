package consul_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/discovery/consul"
	"outrider/internal/mesh"
)

// watched is a running Watch and what it has passed so far.
type watched struct {
	cancel context.CancelCauseFunc
	err    chan error

	mu       sync.Mutex // protects all below
	sets     [][]mesh.Endpoint
	times    []time.Time // of the sets
	answered int
	failed   []error
	failedAt []time.Time
}

var errEnough = errors.New("enough")

// listen returns a Hear that notes what w hears.
func (w *watched) listen() consul.Hear {
	return consul.Hear{
		Answered: func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.answered++
		},
		Failed: func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.failed = append(w.failed, err)
			w.failedAt = append(w.failedAt, time.Now())
		},
	}
}

// watch starts a Watch of q inside a synctest bubble, and lets it settle.
func watch(t *testing.T, c *consul.Client, q consul.Query) *watched {
	t.Helper()
	w := &watched{err: make(chan error, 1)}
	w.start(t, c.Resolver(q, w.listen()))
	synctest.Wait()
	return w
}

// start begins to watch orders.
func (w *watched) start(t *testing.T, r discovery.Resolver) {
	t.Helper()
	var ctx context.Context
	ctx, w.cancel = context.WithCancelCause(t.Context())
	go func() {
		w.err <- r.Watch(ctx, "orders", func(set []mesh.Endpoint) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sets = append(w.sets, set)
			w.times = append(w.times, time.Now())
		})
	}()
}

// stop ends the Watch and checks that it says why.
func (w *watched) stop(t *testing.T) {
	t.Helper()
	w.cancel(errEnough)
	if err := <-w.err; !errors.Is(err, errEnough) {
		t.Errorf("Watch returned %v, want the cause of its context's end", err)
	}
}

// updates returns how many sets have been passed.
func (w *watched) updates() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sets)
}

// last returns the last set that was passed.
func (w *watched) last() []mesh.Endpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sets) == 0 {
		return nil
	}
	return w.sets[len(w.sets)-1]
}

// answers returns how often Answered was called.
func (w *watched) answers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answered
}

// failures returns what Failed was called with, and when.
func (w *watched) failures() ([]error, []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]error{}, w.failed...), append([]time.Time{}, w.failedAt...)
}

// pass lets time pass in the bubble, and what happens then settle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// ids returns a set's IDs.
func ids(set []mesh.Endpoint) []string {
	out := []string{}
	for _, e := range set {
		out = append(out, e.ID)
	}
	return out
}
