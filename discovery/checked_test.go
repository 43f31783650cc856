package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

// clinic answers probes as the test says: 200 where it says nothing.
type clinic struct {
	mu      sync.Mutex // protects all below
	status  map[string]int
	err     map[string]error
	seen    map[string][]time.Time
	last    mesh.Endpoint
	path    string
	changed []mesh.Endpoint
}

func newClinic() *clinic {
	return &clinic{status: map[string]int{}, err: map[string]error{}, seen: map[string][]time.Time{}}
}

func (c *clinic) probe(_ context.Context, e mesh.Endpoint, path string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[e.ID] = append(c.seen[e.ID], time.Now())
	c.last, c.path = e, path
	if status := c.status[e.ID]; status != 0 {
		return status, nil
	}
	if err := c.err[e.ID]; err != nil {
		return 0, err
	}
	return 200, nil
}

func (c *clinic) change(e mesh.Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = append(c.changed, e)
}

// answer sets the status of further probes; 0 is 200.
func (c *clinic) answer(id string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status[id] = status
}

func (c *clinic) probes(id string) int { return len(c.times(id)) }

func (c *clinic) times(id string) []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen[id])
}

func (c *clinic) changes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.changed)
}

// sick returns the notes of the unhealthy endpoints by ID.
func sick(set []mesh.Endpoint) map[string]string {
	out := map[string]string{}
	for _, e := range set {
		if e.Unhealthy {
			out[e.ID] = e.HealthNote
		}
	}
	return out
}

// awaitProbes lets time pass until id has been probed n more times.
func (c *clinic) awaitProbes(id string, n int) {
	for until := c.probes(id) + n; c.probes(id) < until; {
		pass(100 * time.Millisecond)
	}
}

func TestCheckedFirstAnswerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		c.status["b"] = 503
		c.err["c"] = errors.New("connection\nrefused")
		w := watch(t, &discovery.Checked{
			Inner: discovery.Static{endpoint("a"), endpoint("b"), endpoint("c")},
			Probe: c.probe, Changed: c.change,
		})
		defer w.stop(t)
		if w.updates() != 1 || len(sick(w.last())) != 0 || len(w.last()) != 3 {
			t.Errorf("before the first probe: got %+v in %d updates", w.last(), w.updates())
		}
		pass(time.Second)
		want := map[string]string{"b": "health check: status 503, not 200-299", "c": "health check: connection refused"}
		if got := sick(w.last()); !maps.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := ids(w.last()); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("got %v, want the set in its order", got)
		}
		if w.updates() != 3 || c.changes() != 2 {
			t.Errorf("%d updates and %d changes, want an update at first and one of each for the two that failed", w.updates(), c.changes())
		}
		if c.path != "/" {
			t.Errorf("asked for %q, want the default path", c.path)
		}
	})
}

func TestCheckedThresholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		var text bytes.Buffer
		w := watch(t, &discovery.Checked{
			Inner: discovery.Static{endpoint("a")},
			Check: discovery.Check{Path: "/health", Interval: 10 * time.Second, Healthy: 2, Unhealthy: 3, Expect: []discovery.StatusRange{{200, 299}, {404, 404}}},
			Probe: c.probe, Changed: c.change, Log: slog.New(slog.NewTextHandler(&text, nil)),
		})
		defer w.stop(t)
		steps := []struct {
			status, probes int
			sick           bool
		}{
			{200, 1, false},
			{500, 2, false},
			{404, 1, false}, // a pass between: the count starts anew
			{500, 2, false},
			{300, 1, true},
			{200, 1, true},
			{403, 1, true}, // a failure between: the count starts anew
			{200, 1, true},
			{299, 1, false},
			{199, 2, false},
			{199, 1, true},
		}
		for i, s := range steps {
			c.answer("a", s.status)
			c.awaitProbes("a", s.probes)
			if got := w.last()[0].Unhealthy; got != s.sick {
				t.Fatalf("step %d, %d probes with %d: unhealthy is %v", i, s.probes, s.status, got)
			}
		}
		if note := w.last()[0].HealthNote; note != "health check: status 199, not 200-299 or 404" {
			t.Errorf("the note is %q", note)
		}
		if c.changes() != 3 || w.updates() != 4 {
			t.Errorf("%d changes and %d updates, want 3 and 4", c.changes(), w.updates())
		}
		if got := []bool{c.changed[0].Unhealthy, c.changed[1].Unhealthy, c.changed[2].Unhealthy}; !slices.Equal(got, []bool{true, false, true}) {
			t.Errorf("changes tell %v", got)
		}
		if c.path != "/health" {
			t.Errorf("asked for %q", c.path)
		}
		if warned, informed := strings.Count(text.String(), "WARN"), strings.Count(text.String(), "INFO"); warned != 2 || informed != 1 {
			t.Errorf("logged:\n%s", &text)
		}
	})
}

func TestCheckedInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		set := discovery.Static{endpoint("a"), endpoint("b"), endpoint("c"), endpoint("d")}
		begin := time.Now()
		w := watch(t, &discovery.Checked{Inner: set, Check: discovery.Check{Interval: 10 * time.Second}, Probe: c.probe})
		defer w.stop(t)
		pass(5 * time.Minute)
		firsts, pauses := map[time.Duration]bool{}, map[time.Duration]bool{}
		for _, e := range set {
			times := c.times(e.ID)
			first := times[0].Sub(begin)
			firsts[first] = true
			if first >= time.Second {
				t.Errorf("%s: the first probe came after %v, want it within a second", e.ID, first)
			}
			for i := 1; i < len(times); i++ {
				pause := times[i].Sub(times[i-1])
				pauses[pause] = true
				if pause < 9*time.Second || pause > 11*time.Second {
					t.Errorf("%s: %v between two probes, want 10s give or take 10 %%", e.ID, pause)
				}
			}
		}
		if len(firsts) < 2 || len(pauses) < 2 {
			t.Error("all probes come in step")
		}
	})
}

func TestCheckedFollowsTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, inner := newClinic(), newManual()
		c.status["a"] = 500
		w := watch(t, &discovery.Checked{Inner: inner, Check: discovery.Check{Interval: 10 * time.Second, Healthy: 2}, Probe: c.probe, Changed: c.change})
		defer w.stop(t)

		inner.send(endpoint("a"), endpoint("b"), endpoint("a"))
		pass(time.Second)
		if got := ids(w.last()); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got %v, want each endpoint once", got)
		}
		if c.probes("a") != 1 || c.probes("b") != 1 {
			t.Errorf("%d and %d probes, want one of each", c.probes("a"), c.probes("b"))
		}

		before := w.updates()
		inner.send(mesh.Endpoint{ID: "a", Address: "a", Weight: 7}, endpoint("c"))
		if got := w.last(); w.updates() != before+1 || len(got) != 2 || !got[0].Unhealthy || got[0].Weight != 7 || got[1].Unhealthy {
			t.Errorf("got %+v at once, want a unhealthy as before and with its new weight, and c", got)
		}
		gone := c.probes("b")
		c.awaitProbes("a", 2)
		if c.probes("b") != gone {
			t.Error("b has left the set and is still probed")
		}
		if c.probes("c") == 0 {
			t.Error("c has come and is not probed")
		}

		c.answer("a", 200)
		c.awaitProbes("a", 1)
		if !w.last()[0].Unhealthy {
			t.Error("one pass made a healthy, want two")
		}
		inner.send()
		if len(w.last()) != 0 {
			t.Errorf("got %+v, want the empty set", w.last())
		}
		inner.send(endpoint("a"))
		if w.last()[0].Unhealthy {
			t.Error("a came back and kept the history of its former life")
		}
	})
}

// A hanging endpoint takes one place for as long as the timeout, and delays nobody.
func TestCheckedHangingEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		w := watch(t, &discovery.Checked{
			Inner:      discovery.Static{endpoint("hangs"), endpoint("fails")},
			Check:      discovery.Check{Interval: 10 * time.Second, Timeout: 5 * time.Second},
			Concurrent: 2,
			Probe: func(ctx context.Context, e mesh.Endpoint, path string) (int, error) {
				if e.ID == "hangs" {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return c.probe(ctx, e, path)
			},
		})
		defer w.stop(t)
		c.answer("fails", 500)
		pass(time.Second)
		if got := sick(w.last()); len(got) != 1 || got["fails"] == "" {
			t.Errorf("after a second: %q", got)
		}
		pass(5 * time.Second)
		if got := sick(w.last()); !strings.Contains(got["hangs"], "deadline") {
			t.Errorf("after the timeout: %q", got)
		}
	})
}

func TestCheckedBoundsProbes(t *testing.T) {
	for _, tt := range []struct{ concurrent, want int }{{3, 3}, {0, 64}} {
		synctest.Test(t, func(t *testing.T) {
			var set discovery.Static
			for i := range 100 {
				set = append(set, endpoint(string(rune('a'+i))))
			}
			var mu sync.Mutex
			var now, most int
			w := watch(t, &discovery.Checked{
				Inner:      set,
				Concurrent: tt.concurrent,
				Check:      discovery.Check{Interval: time.Hour},
				Probe: func(context.Context, mesh.Endpoint, string) (int, error) {
					count := func(d int) {
						mu.Lock()
						defer mu.Unlock()
						now += d
						most = max(most, now)
					}
					count(1)
					defer count(-1)
					<-time.After(1500 * time.Millisecond)
					return 200, nil
				},
			})
			pass(2 * time.Minute)
			w.stop(t)
			if most != tt.want {
				t.Errorf("%d probes at once, want %d", most, tt.want)
			}
		})
	}
}

func TestCheckedInnerSaysUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		c.status["a"] = 500
		w := watch(t, &discovery.Checked{
			Inner: discovery.Static{{ID: "a", Unhealthy: true, HealthNote: "maintenance"}},
			Check: discovery.Check{Interval: time.Second, Unhealthy: 1},
			Probe: c.probe, Changed: c.change,
		})
		defer w.stop(t)
		for _, status := range []int{500, 200, 500} {
			c.answer("a", status)
			c.awaitProbes("a", 2)
			if got := sick(w.last()); got["a"] != "maintenance" {
				t.Errorf("probes with %d: %q, want what the catalogue says", status, got)
			}
		}
		if c.changes() != 0 {
			t.Errorf("%d changes were told, but nothing has changed", c.changes())
		}
	})
}

// What a probe answers after its endpoint has left concerns nobody.
func TestCheckedLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, c := newManual(), newClinic()
		asked := make(chan struct{})
		w := watch(t, &discovery.Checked{
			Inner: inner,
			Probe: func(ctx context.Context, _ mesh.Endpoint, _ string) (int, error) {
				close(asked)
				<-ctx.Done()
				return 0, ctx.Err()
			},
			Changed: c.change,
		})
		defer w.stop(t)
		inner.send(endpoint("a"))
		<-asked
		inner.send()
		if w.updates() != 2 || c.changes() != 0 {
			t.Errorf("%d updates and %d changes, want the two sets only", w.updates(), c.changes())
		}
	})
}

// Neither a probe under way nor one that waits for its place outlives Watch.
func TestCheckedWaitsForItsProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended bool
		begun := make(chan struct{}, 2)
		w := watch(t, &discovery.Checked{
			Inner:      discovery.Static{endpoint("a"), endpoint("b")},
			Concurrent: 1,
			Probe: func(ctx context.Context, _ mesh.Endpoint, _ string) (int, error) {
				begun <- struct{}{}
				<-ctx.Done()
				<-time.After(time.Minute) // slow to end
				ended = true
				return 0, ctx.Err()
			},
		})
		<-begun
		pass(time.Second) // so the other waits for the place
		w.stop(t)
		if !ended || len(begun) != 0 {
			t.Errorf("the probe ended: %v; begun after it: %d", ended, len(begun))
		}
		if w.updates() != 1 {
			t.Errorf("%d updates, want none from a probe that was cut off", w.updates())
		}
	})
}

func TestCheckedEndsWithInner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newManual()
		w := watch(t, &discovery.Checked{Inner: inner, Probe: newClinic().probe})
		inner.send(endpoint("a"))
		want := errors.New("broken")
		inner.fail <- want
		if err := <-w.err; !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		w.cancel(nil)
	})
}

func TestZeroCheckedIsRefused(t *testing.T) {
	for _, c := range []*discovery.Checked{{}, {Inner: discovery.Static{}}, {Probe: newClinic().probe}} {
		if err := c.Watch(t.Context(), "orders", nil); err == nil || !strings.Contains(err.Error(), "Checked") {
			t.Errorf("got %v", err)
		}
	}
}
