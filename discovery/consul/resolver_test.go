package consul_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery/consul"
	"outrider/internal/mesh"
)

func TestWatchFollowsTheCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entry("b", "10.0.0.2", 80), entry("a", "10.0.0.1", 80))
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		if got := ids(w.last()); w.updates() != 1 || !slices.Equal(got, []string{"dc1/n1/a", "dc1/n1/b"}) {
			t.Fatalf("got %v in %d updates, want both in order, at once", got, w.updates())
		}
		pass(time.Second)
		a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 80), entry("c", "10.0.0.3", 80))
		synctest.Wait()
		if got := ids(w.last()); !slices.Equal(got, []string{"dc1/n1/a", "dc1/n1/b", "dc1/n1/c"}) {
			t.Errorf("got %v at once after a change", got)
		}
		pass(time.Second)
		a.put("orders", entry("c", "10.0.0.3", 80))
		synctest.Wait()
		if got := ids(w.last()); !slices.Equal(got, []string{"dc1/n1/c"}) {
			t.Errorf("got %v at once after two have left", got)
		}
		pass(time.Second)
		a.put("orders")
		synctest.Wait()
		if w.updates() != 4 || len(w.last()) != 0 {
			t.Errorf("got %v in %d updates, want the empty set", w.last(), w.updates())
		}
	})
}

func TestWatchPassesOnlyWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 80))
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		w.last()[0].ID = "mine" // the set is the receiver's to keep
		pass(time.Second)
		a.put("orders", entry("b", "10.0.0.2", 80), entry("a", "10.0.0.1", 80)) // no more than another order
		pass(time.Minute)
		if w.updates() != 1 {
			t.Errorf("%d updates, want one", w.updates())
		}
		if w.answers() < 4 {
			t.Errorf("heard of %d answers, want one for each query too that brought nothing", w.answers())
		}
		b := entry("b", "10.0.0.2", 80)
		b.Service.Meta = map[string]string{"version": "2"}
		a.put("orders", entry("a", "10.0.0.1", 80), b)
		pass(time.Second)
		if w.updates() != 2 || w.last()[1].Meta["version"] != "2" {
			t.Errorf("got %+v in %d updates, want the new meta", w.last(), w.updates())
		}
	})
}

func TestWatchOfAnUnknownServiceIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		if w.updates() != 1 || len(w.last()) != 0 || w.answers() != 1 {
			t.Errorf("got %v in %d updates, want the empty set", w.last(), w.updates())
		}
		a.put("orders", entry("a", "10.0.0.1", 80))
		pass(time.Second)
		if len(w.last()) != 1 {
			t.Errorf("got %v, want the first instance", w.last())
		}
	})
}

func TestQueryIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		c := a.client(t, consul.Config{Stale: true, Datacenter: "dc1", Token: "secret"})
		w := watch(t, c, consul.Query{Service: "Orders v2", Datacenter: "dc2", Namespace: "shop", Partition: "west", Tag: "blue", Filter: `Service.Meta.x == "y"`})
		pass(time.Second)
		w.stop(t)
		all := a.requests("")
		if len(all) != 2 {
			t.Fatalf("%d queries, want one and one that blocks: %+v", len(all), all)
		}
		common := url.Values{"stale": {""}, "dc": {"dc2"}, "ns": {"shop"}, "partition": {"west"}, "tag": {"blue"}, "filter": {`Service.Meta.x == "y"`}}
		for i, r := range all {
			if r.service != "Orders v2" || r.token != "secret" {
				t.Errorf("query %d: service %q, token %q", i, r.service, r.token)
			}
			if wait := r.query.Get("wait"); i == 1 && wait == "" {
				t.Error("the query that blocks does not say for how long")
			} else if d, err := time.ParseDuration(wait); i == 1 && (err != nil || d < consul.LongWait*9/10 || d > consul.LongWait*11/10) {
				t.Errorf("blocks for %s, want %v give or take 10 %%", wait, consul.LongWait)
			}
			if i == 1 && r.query.Get("index") != "10" {
				t.Errorf("waits for what is after %q, want 10", r.query.Get("index"))
			}
			r.query.Del("wait")
			r.query.Del("index")
			if got, want := r.query.Encode(), common.Encode(); got != want {
				t.Errorf("query %d: got %s, want %s", i, got, want)
			}
		}
	})
}

func TestQueryAsksForNoMoreThanItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		w.stop(t)
		if got := a.requests("orders")[0]; len(got.query) != 0 || got.token != "" {
			t.Errorf("got %v with token %q, want no parameter and no token", got.query, got.token)
		}
	})
}

// A name may be what a client has sent as Host.
func TestWatchRefusesWhatIsNoName(t *testing.T) {
	a := newAgent()
	c := a.client(t, consul.Config{})
	for _, name := range []string{"", ".", "..", "../../kv/secret", "a/b", "a\nb", "a\x00", strings.Repeat("x", 256)} {
		err := c.Resolver(consul.Query{}, consul.Hear{}).Watch(t.Context(), mesh.Service(name), func([]mesh.Endpoint) {
			t.Errorf("%q: an update", name)
		})
		if err == nil || len(err.Error()) > 200 {
			t.Errorf("%q: got %v, want a short error", name, err)
		}
	}
	if got := a.requests(""); len(got) != 0 {
		t.Errorf("asked the agent: %v", got)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		for _, name := range []string{"a?index=1", "a%2Fb", "a#b", "a b", "ä"} {
			a.put(name, entry("x", "10.0.0.1", 80))
			w := watch(t, a.client(t, consul.Config{}), consul.Query{Service: name})
			if len(w.last()) != 1 || w.last()[0].Host != name {
				t.Errorf("%q: got %v", name, w.last())
			}
			w.stop(t)
		}
	})
}

// However often a service changes, there are no more than ten updates a second, and
// the last change is not lost.
func TestChangesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		for i := range 1000 {
			a.put("orders", entry("a", "10.0.0.1", 1+i))
			pass(5 * time.Millisecond)
		}
		pass(consul.Floor)
		if got := w.last()[0].Address; got != "10.0.0.1:1000" {
			t.Errorf("got %s, want the last", got)
		}
		if n := w.updates(); n < 45 || n > 52 {
			t.Errorf("%d updates in 5 s of ceaseless change, want about 50", n)
		}
		for i := 1; i < len(w.times); i++ {
			if gap := w.times[i].Sub(w.times[i-1]); gap < consul.Floor {
				t.Errorf("update %d came %v after the one before", i, gap)
			}
		}
	})
}

// An agent whose queries do not block, or that wakes them for nothing, is asked once
// a second in the end.
func TestNoHotLoop(t *testing.T) {
	goesBack := 0
	tests := []struct {
		name string
		edit func(http.Header)
	}{
		{"the same index, at once", func(h http.Header) { h.Set("X-Consul-Index", "7") }}, // it is at 11
		{"index 0", func(h http.Header) { h.Set("X-Consul-Index", "0") }},
		{"no index", func(h http.Header) { h.Del("X-Consul-Index") }},
		{"an index that goes back", func(h http.Header) { goesBack = (goesBack + 2) % 3; h.Set("X-Consul-Index", strconv.Itoa(5+goesBack)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAgent()
				a.put("orders", entry("a", "10.0.0.1", 80))
				a.edit = tt.edit
				w := watch(t, a.client(t, consul.Config{}), consul.Query{})
				defer w.stop(t)
				pass(time.Minute)
				if n := len(a.requests("orders")); n > 130 {
					t.Errorf("%d queries in a minute, want no more than two a second", n)
				}
				if w.updates() != 1 {
					t.Errorf("%d updates, want one", w.updates())
				}
			})
		})
	}
}

func TestUselessWakeUpsAreSlowedAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entry("a", "10.0.0.1", 80))
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		for range 1000 {
			a.nudge("orders")
			pass(10 * time.Millisecond)
		}
		if n := len(a.requests("orders")); n < 10 || n > 16 {
			t.Errorf("%d queries in 10 s of useless wake-ups, want about one a second", n)
		}
		pass(time.Minute) // a query blocks to its end, and that is forgotten
		a.nudge("orders")
		synctest.Wait()
		a.put("orders", entry("a", "10.0.0.1", 81))
		pass(2 * consul.Floor)
		if got := w.last()[0].Address; got != "10.0.0.1:81" {
			t.Errorf("got %s, want the change within %v", got, 2*consul.Floor)
		}
		a.put("orders", entry("a", "10.0.0.1", 82))
		pass(consul.Floor)
		if got := w.last()[0].Address; got != "10.0.0.1:82" {
			t.Errorf("got %s, want the next change within %v", got, consul.Floor)
		}
	})
}

func TestIndexThatGoesBackWithTheSameSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entry("a", "10.0.0.1", 80))
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		pass(time.Second)
		a.with(func() { a.services["orders"].index = 5; a.wake(a.services["orders"]) })
		pass(time.Second)
		all := a.requests("orders")
		if got := all[2].query.Get("index"); len(all) != 4 || got != "" {
			t.Errorf("%d queries, the third with index %q, want it to begin anew", len(all), got)
		}
		if got := all[len(all)-1].query.Get("index"); got != "5" {
			t.Errorf("then it waits for what is after %q, want 5", got)
		}
	})
}

func TestIndexThatGoesBackStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entry("a", "10.0.0.1", 80))
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		pass(time.Second)
		a.wipe()
		synctest.Wait()
		if w.updates() != 2 || len(w.last()) != 0 {
			t.Errorf("got %v, want the empty set of the wiped agent", w.last())
		}
		a.put("orders", entry("b", "10.0.0.2", 80)) // index 4, after 11
		pass(time.Second)
		if got := ids(w.last()); !slices.Equal(got, []string{"dc1/n1/b"}) {
			t.Errorf("got %v, want what was registered since", got)
		}
		all := a.requests("orders")
		if got := all[2].query.Get("index"); got != "" {
			t.Errorf("after the index went back, the next query waits for what is after %q, want no index", got)
		}
		if got := all[3].query.Get("index"); got != "3" {
			t.Errorf("then it waits for what is after %q, want 3", got)
		}
	})
}

// Watch ends with its context, wherever it is, and passes nothing more.
func TestWatchEnds(t *testing.T) {
	tests := []struct {
		name string
		at   func(a *agent)
	}{
		{"blocked", func(*agent) { pass(5 * time.Second) }},
		{"in a poll", func(a *agent) { a.with(func() { a.frozen = true }); pass(30 * time.Second) }},
		{"in a pause", func(a *agent) { a.put("orders", entry("a", "10.0.0.1", 80)); synctest.Wait() }},
		{"in a backoff", func(a *agent) { a.with(func() { a.instead = always(500, "no") }); pass(time.Minute) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAgent()
				w := watch(t, a.client(t, consul.Config{}), consul.Query{})
				pass(time.Second)
				tt.at(a)
				before := time.Now()
				w.stop(t)
				if d := time.Since(before); d != 0 {
					t.Errorf("ended after %v, want at once", d)
				}
				updates := w.updates()
				a.with(func() { a.frozen, a.instead = false, nil })
				a.put("orders", entry("z", "10.0.0.9", 80))
				pass(time.Minute)
				if w.updates() != updates {
					t.Error("an update after the end")
				}
			})
		})
	}
}

func TestWatchEndsBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errEnough)
		err := a.client(t, consul.Config{}).Resolver(consul.Query{}, consul.Hear{}).Watch(ctx, "orders", func([]mesh.Endpoint) { t.Error("an update") })
		if !errors.Is(err, errEnough) {
			t.Errorf("got %v", err)
		}
	})
}
