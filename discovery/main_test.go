package discovery_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a running Watch and what it has passed so far.
type watched struct {
	cancel context.CancelCauseFunc
	err    chan error

	mu   sync.Mutex // protects sets
	sets [][]mesh.Endpoint
}

var errEnough = errors.New("enough")

// watch starts r inside a synctest bubble, lets it settle, and stops it at the
// test's end. A resolver that ends by itself says why on err.
func watch(t *testing.T, r discovery.Resolver) *watched {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	w := &watched{cancel: cancel, err: make(chan error, 1)}
	go func() {
		w.err <- r.Watch(ctx, "orders", func(set []mesh.Endpoint) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sets = append(w.sets, set)
		})
	}()
	synctest.Wait()
	return w
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

// manual passes the sets that a test sends, and ends with what it sends on fail.
type manual struct {
	sets chan []mesh.Endpoint
	fail chan error
}

func newManual() *manual {
	return &manual{sets: make(chan []mesh.Endpoint), fail: make(chan error)}
}

func (m *manual) Watch(ctx context.Context, _ mesh.Service, update func([]mesh.Endpoint)) error {
	for {
		select {
		case set := <-m.sets:
			update(set)
		case err := <-m.fail:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send passes a set and lets what follows settle.
func (m *manual) send(set ...mesh.Endpoint) {
	m.sets <- set
	synctest.Wait()
}

func endpoint(id string) mesh.Endpoint { return mesh.Endpoint{ID: id, Address: id} }
