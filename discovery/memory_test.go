package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"outrider/discovery"
	"outrider/internal/mesh"
)

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m discovery.Memory
		w := watch(t, &m)
		defer w.stop(t)
		if w.updates() != 1 || w.last() == nil || len(w.last()) != 0 {
			t.Fatalf("got %v in %d updates, want one empty set", w.last(), w.updates())
		}
		steps := []struct {
			name string
			do   func()
			want string // the set; empty: there is no update
		}{
			{"the first", func() { m.Register("orders", endpoint("b")) }, "b"},
			{"another, in order", func() { m.Register("orders", endpoint("a")) }, "a b"},
			{"of another service", func() { m.Register("users", endpoint("u")) }, ""},
			{"without an ID", func() { m.Register("orders", mesh.Endpoint{Address: "10.0.0.1:80"}) }, "10.0.0.1:80 a b"},
			{"one falls ill", func() { m.SetHealth("orders", "a", false, "status 500") }, "10.0.0.1:80 a(status 500) b"},
			{"and stays so", func() { m.SetHealth("orders", "a", false, "status 500") }, ""},
			{"for another reason", func() { m.SetHealth("orders", "a", false, "refused") }, "10.0.0.1:80 a(refused) b"},
			{"one is well already", func() { m.SetHealth("orders", "b", true, "very") }, ""},
			{"one that is not there falls ill", func() { m.SetHealth("orders", "c", false, "") }, ""},
			{"it recovers", func() { m.SetHealth("orders", "a", true, "very") }, "10.0.0.1:80 a b"},
			{"one moves", func() { m.Register("orders", mesh.Endpoint{ID: "a", Address: "elsewhere"}) }, "10.0.0.1:80 a@elsewhere b"},
			{"one leaves", func() { m.Deregister("orders", "10.0.0.1:80") }, "a@elsewhere b"},
			{"one that is not there leaves", func() { m.Deregister("orders", "c") }, ""},
			{"of an unknown service", func() { m.Deregister("mail", "c") }, ""},
			{"another leaves", func() { m.Deregister("orders", "a") }, "b"},
			{"the last leaves", func() { m.Deregister("orders", "b") }, "-"},
			{"one comes back", func() { m.Register("orders", endpoint("b")) }, "b"},
		}
		for _, step := range steps {
			before := w.updates()
			step.do()
			synctest.Wait()
			switch {
			case step.want == "" && w.updates() != before:
				t.Errorf("%s: got %s, want no update", step.name, describe(w.last()))
			case step.want != "" && (w.updates() != before+1 || describe(w.last()) != step.want):
				t.Errorf("%s: got %s in %d updates, want %s", step.name, describe(w.last()), w.updates()-before, step.want)
			}
		}
	})
}

// describe writes a set on one line.
func describe(set []mesh.Endpoint) string {
	if len(set) == 0 {
		return "-"
	}
	out := ""
	for _, e := range set {
		out += " " + e.ID
		if e.Address != e.ID {
			out += "@" + e.Address
		}
		if e.Unhealthy {
			out += "(" + e.HealthNote + ")"
		}
	}
	return out[1:]
}

func TestMemoryIsThereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m discovery.Memory
		m.Register("orders", endpoint("a"))
		w, v := watch(t, &m), watch(t, &m)
		if w.updates() != 1 || describe(w.last()) != "a" || v.updates() != 1 {
			t.Errorf("got %s in %d updates", describe(w.last()), w.updates())
		}
		v.stop(t)
		m.Register("orders", endpoint("b"))
		synctest.Wait()
		if w.updates() != 2 || v.updates() != 1 {
			t.Errorf("%d and %d updates, want 2 and, of the one that has ended, 1", w.updates(), v.updates())
		}
		w.stop(t)
	})
}

func TestMemoryKeepsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m discovery.Memory
		meta := map[string]string{"version": "1"}
		m.Register("orders", mesh.Endpoint{ID: "a", Address: "a", Meta: meta})
		meta["version"] = "2"
		w, v := watch(t, &m), watch(t, &m)
		defer w.stop(t)
		defer v.stop(t)
		if got := w.last()[0].Meta["version"]; got != "1" {
			t.Errorf("got version %s: the caller's meta is the registry's own", got)
		}
		w.last()[0].ID = "mine"
		m.Register("orders", endpoint("b"))
		synctest.Wait()
		if got := describe(v.last()); got != "a b" {
			t.Errorf("got %s: the receiver's set is the registry's own", got)
		}
	})
}

// A receiver that is slow sees the last set and none twice; one that is fast does
// not wait for it.
func TestMemoryWithASlowReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m discovery.Memory
		fast := watch(t, &m)
		defer fast.stop(t)
		ctx, cancel := context.WithCancel(t.Context())
		got, ended := make(chan []mesh.Endpoint), make(chan error, 1)
		go func() { ended <- m.Watch(ctx, "orders", func(set []mesh.Endpoint) { got <- set }) }()
		synctest.Wait() // it is held in its first update
		for i := range 10 {
			m.Register("orders", endpoint(fmt.Sprint(i)))
			synctest.Wait()
		}
		if fast.updates() != 11 {
			t.Errorf("%d updates of the fast one, want 11", fast.updates())
		}
		if first := <-got; len(first) != 0 {
			t.Errorf("got %s first, want none", describe(first))
		}
		if second := <-got; len(second) != 10 {
			t.Errorf("got %s, want all ten", describe(second))
		}
		synctest.Wait()
		select {
		case set := <-got:
			t.Errorf("got %s again", describe(set))
		default:
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMemoryWatchThatHasEnded(t *testing.T) {
	var m discovery.Memory
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	err := m.Watch(ctx, "orders", func([]mesh.Endpoint) { t.Error("updated") })
	if !errors.Is(err, errEnough) {
		t.Errorf("got %v, want the cause of its context's end", err)
	}
}

func TestMemoryByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m discovery.Memory
		w := watch(t, &m)
		defer w.stop(t)
		var all sync.WaitGroup
		for i := range 20 {
			id := fmt.Sprintf("%02d", i)
			all.Go(func() {
				m.Register("orders", endpoint(id))
				m.SetHealth("orders", id, false, "ill")
				m.SetHealth("orders", id, true, "")
				if i%2 == 0 {
					m.Deregister("orders", id)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if got := ids(w.last()); len(got) != 10 || !slices.IsSorted(got) {
			t.Errorf("got %v", got)
		}
		for _, e := range w.last() {
			if e.Unhealthy {
				t.Errorf("%s is unhealthy", e.ID)
			}
		}
	})
}
