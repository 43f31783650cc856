package discovery_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"outrider/discovery"
)

func TestStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := discovery.Static{endpoint("a"), endpoint("b")}
		w := watch(t, given)
		defer w.stop(t)
		if got := ids(w.last()); w.updates() != 1 || !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("got %v in %d updates", got, w.updates())
		}
		w.last()[0].ID = "mine" // the set is the receiver's to keep
		if given[0].ID != "a" {
			t.Error("the receiver's set is the resolver's own")
		}
	})
}

func TestSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newManual(), newManual()
		w := watch(t, discovery.Several{a, b})
		defer w.stop(t)
		b.send(endpoint("b1"))
		b.send(endpoint("b2"))
		if w.updates() != 0 {
			t.Fatalf("got %v before every resolver had answered", w.last())
		}
		a.send()
		if got := ids(w.last()); w.updates() != 1 || !slices.Equal(got, []string{"b2"}) {
			t.Fatalf("got %v in %d updates", got, w.updates())
		}
		a.send(endpoint("a1"), endpoint("a2"))
		if got := ids(w.last()); !slices.Equal(got, []string{"a1", "a2", "b2"}) {
			t.Errorf("got %v, want the sets in the resolvers' order", got)
		}
		b.send(endpoint("a2"), endpoint("b3"))
		if got := ids(w.last()); !slices.Equal(got, []string{"a1", "a2", "b3"}) {
			t.Errorf("got %v, want each endpoint once", got)
		}
		a.send()
		if got := ids(w.last()); !slices.Equal(got, []string{"a2", "b3"}) {
			t.Errorf("got %v, want what the second still has", got)
		}
	})
}

func TestSeveralFirstCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, discovery.Several{
			discovery.Static{{ID: "a", Weight: 1}},
			discovery.Static{{ID: "a", Weight: 2}},
		})
		defer w.stop(t)
		if got := w.last(); len(got) != 1 || got[0].Weight != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestSeveralOfNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, discovery.Several{})
		defer w.stop(t)
		if w.updates() != 1 || len(w.last()) != 0 {
			t.Errorf("got %v in %d updates, want one empty set", w.last(), w.updates())
		}
	})
}

func TestSeveralEndsWithOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := newManual()
		w := watch(t, discovery.Several{discovery.Static{}, broken})
		want := errors.New("broken")
		broken.fail <- want
		if err := <-w.err; !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		w.cancel(nil)
	})
}

var _ discovery.Resolver = (*manual)(nil)
