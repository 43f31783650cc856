package discovery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

// decided is how long two probes take at most that fail in a row.
const decided = 3 * time.Second

func TestWipedCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b", "c")
		c.town.set(errDown, "b") // one has died in the same moment
		c.answer()
		c.expect(t, "the wipe", discovery.Live, 3, "a", "b", "c")
		for _, e := range c.last() {
			if e.Unhealthy || !strings.Contains(e.HealthNote, "vanished from the catalogue") {
				t.Errorf("%s: unhealthy %v, note %q: want it in use, and the operator to see why", e.ID, e.Unhealthy, e.HealthNote)
			}
		}
		pass(decided)
		c.expect(t, "after two probes", discovery.Live, 2, "a", "c")

		c.answer("a")
		c.expect(t, "one registers again", discovery.Live, 1, "a", "c")
		if note := c.last()[0].HealthNote; note != "" {
			t.Errorf("a is ordinary again, its note is %q", note)
		}
		c.answer("a", "c")
		c.expect(t, "and the other", discovery.Live, 0, "a", "c")
		if c.log.count("WARN") != 1 || c.log.count("INFO") != 1 {
			t.Errorf("want a line for the beginning and one for the end:\n%s", c.log)
		}
		for _, want := range []string{"vanished=3 of=3", "returned=2 left_after_probes=1 expired=0"} {
			if c.log.count(want) != 1 {
				t.Errorf("no %q in the log:\n%s", want, c.log)
			}
		}
		probed := len(c.town.probes("a"))
		pass(time.Minute)
		if got := len(c.town.probes("a")); got != probed {
			t.Errorf("a is ordinary and still probed, %d times", got-probed)
		}
	})
}

func TestWhatIsDoubted(t *testing.T) {
	sick := func(ids ...string) []mesh.Endpoint {
		set := plain(ids...)
		for i := range set {
			set[i].Unhealthy = true
		}
		return set
	}
	tests := []struct {
		name    string
		above   int
		before  []mesh.Endpoint
		after   []mesh.Endpoint
		doubted int
		want    []string
	}{
		{"half is believed", 0, plain("a", "b", "c", "d"), plain("a", "b"), 0, []string{"a", "b"}},
		{"more than half is doubted", 0, plain("a", "b", "c"), plain("a"), 2, []string{"a", "b", "c"}},
		{"the only one", 0, plain("a"), plain(), 1, []string{"a"}},
		{"new ones are taken at once", 0, plain("a", "b"), plain("c"), 2, []string{"c", "a", "b"}},
		{"replaced one by one", 0, plain("a", "b"), plain("b", "c"), 0, []string{"b", "c"}},
		{"of those that could be used", 0, append(plain("a", "b"), sick("c", "d", "e")...), sick("c", "d", "e"), 2, []string{"c", "d", "e", "a", "b"}},
		{"the unhealthy do not count", 0, append(sick("a", "b", "c"), plain("d")...), plain("d"), 0, []string{"d"}},
		{"they vanish with others", 0, append(sick("a"), plain("b", "c", "d")...), plain("d"), 2, []string{"d", "b", "c"}},
		{"new IDs at the same addresses", 0, plain("a", "b", "c"), []mesh.Endpoint{{ID: "x", Address: "a:80"}, {ID: "y", Address: "b:80"}}, 0, []string{"x", "y"}},
		{"a threshold of one's own", 20, plain("a", "b", "c", "d"), plain("a", "b", "c"), 1, []string{"a", "b", "c", "d"}},
		{"just on it", 25, plain("a", "b", "c", "d"), plain("a", "b", "c"), 0, []string{"a", "b", "c"}},
		{"never", 100, plain("a", "b"), plain(), 0, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := ladder(t, &discovery.Ladder{DoubtAbove: tt.above})
				defer c.stop(t)
				c.answerWith(tt.before...)
				c.answerWith(tt.after...)
				c.expect(t, "then", discovery.Live, tt.doubted, tt.want...)
			})
		})
	}
}

func TestWithoutProbeNothingIsDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newManual()
		w := watch(t, &discovery.Ladder{Inner: inner})
		defer w.stop(t)
		inner.send(plain("a", "b")...)
		inner.send()
		if got := w.last(); len(got) != 0 {
			t.Errorf("got %v", ids(got))
		}
	})
}

func TestSuddenIsWithinTenSeconds(t *testing.T) {
	all := many(10)
	leave := func(c *climb, n int) { c.answer(all[n:]...) }
	tests := []struct {
		name    string
		steps   []int // how many of ten have left
		pause   time.Duration
		doubted int
	}{
		{"a wipe in two updates", []int{4, 10}, 200 * time.Millisecond, 10},
		{"a wipe in ten updates", []int{1, 2, 3, 4, 5, 6}, 100 * time.Millisecond, 6},
		{"in good order", []int{1, 2, 3, 4, 5, 6, 7}, 4 * time.Second, 0},
		{"half, and half of the rest a little later", []int{5, 7}, 10 * time.Second, 0},
		{"half, and half of the rest a little too soon", []int{5, 7}, 10*time.Second - 1, 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := ladder(t, &discovery.Ladder{})
				defer c.stop(t)
				c.answer(all...)
				for i, n := range tt.steps {
					if i > 0 {
						pass(tt.pause)
					}
					leave(c, n)
				}
				if got := c.ladder.State().Doubted; got != tt.doubted {
					t.Fatalf("%d doubted, want %d", got, tt.doubted)
				}
				if tt.doubted == 0 {
					return
				}
				// What had been believed to be gone comes back once a probe has found it.
				pass(soon)
				if got := len(c.last()); got != 10 {
					t.Errorf("%d endpoints after the first probes, want all ten", got)
				}
				for _, e := range c.last() {
					if e.Unhealthy {
						t.Errorf("%s is unhealthy: %q", e.ID, e.HealthNote)
					}
				}
			})
		})
	}
}

// soon is longer than the first probes of doubt take.
const soon = 400 * time.Millisecond

// A deployment replaces everything, two at a time: no loss there.
func TestRollingRestartIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		now := many(6)
		c.answer(now...)
		for i := range 3 {
			fresh := append(slices.Clone(now), fmt.Sprint("new", 2*i), fmt.Sprint("new", 2*i+1))
			c.answer(fresh...)
			pass(2 * time.Second)
			now = fresh[2:]
			c.answer(now...)
			c.expect(t, fmt.Sprint("step ", i), discovery.Live, 0, now...)
			pass(2 * time.Second)
		}
	})
}

// What left in good order is not put back in use unseen when a doubt brings it back.
func TestTheReturnedAreProbedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b", "c", "d")
		c.town.set(errDown, "a", "b")
		c.answer("c", "d")
		c.answer("d")
		c.expect(t, "a third leaves", discovery.Live, 3, "d", "c")
		pass(decided)
		c.expect(t, "the two that are dead stay away", discovery.Live, 1, "d", "c")
	})
}

func TestNobodyElseIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b")
		c.answer("b")
		c.answer()
		c.expect(t, "wiped in two steps", discovery.Live, 2, "a", "b")
		if got := sick(c.last()); len(got) != 1 || got["a"] == "" {
			t.Errorf("unhealthy are %q, want a until a probe has found it", got)
		}
		pass(soon)
		if got := sick(c.last()); len(got) != 0 {
			t.Errorf("after the probe unhealthy are %q", got)
		}
	})
}

func TestProbesOfDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		all := many(8)
		c.answer(all...)
		begin := time.Now()
		c.answer()
		pass(time.Minute)
		firsts, pauses := map[time.Duration]bool{}, map[time.Duration]bool{}
		for _, id := range all {
			times := c.town.probes(id)
			first := times[0].Sub(begin)
			firsts[first] = true
			if first > 250*time.Millisecond {
				t.Errorf("%s: the first probe came after %v", id, first)
			}
			for i := 1; i < len(times); i++ {
				pause := times[i].Sub(times[i-1])
				pauses[pause] = true
				if pause < 1800*time.Millisecond || pause > 2200*time.Millisecond {
					t.Errorf("%s: %v between two probes", id, pause)
				}
			}
		}
		if len(firsts) < 2 || len(pauses) < 2 {
			t.Error("all probes come in step")
		}
		for range 3 { // one failure between passes is none
			c.town.set(errDown, all[0])
			c.awaitProbe(all[0])
			c.town.set(nil, all[0])
			pass(10 * time.Second)
		}
		c.expect(t, "single failures", discovery.Live, 8, all...)
		if c.updates() != 2 {
			t.Errorf("%d updates, want 2: probes that pass change nothing", c.updates())
		}
	})
}

func TestProbesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		places chan struct{}
		want   int
	}{{"of its own", nil, 16}, {"shared", make(chan struct{}, 3), 3}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &discovery.Ladder{}
				if tt.places != nil {
					l.Places = make(chan struct{}, cap(tt.places)) // of this bubble
				}
				c := ladder(t, l)
				c.town.delay(500 * time.Millisecond)
				c.answer(many(100)...)
				c.answer()
				pass(2 * time.Minute)
				if c.town.most != tt.want {
					t.Errorf("%d probes at once, want %d", c.town.most, tt.want)
				}
				if probed := len(c.town.seen); probed != 100 {
					t.Errorf("%d endpoints were probed, want all", probed)
				}
				c.expect(t, "all are alive", discovery.Live, 100, many(100)...)
				c.stop(t)
			})
		})
	}
}

// An endpoint that hangs fails its probe by time.
func TestProbeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.town.delay(time.Hour)
		c.answer("a")
		c.answer()
		pass(decided + 2*time.Second)
		c.expect(t, "two timeouts", discovery.Live, 0)
	})
}

func TestDoubtEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b", "c")
		c.answer("c")
		pass(10*time.Minute - 1)
		c.expect(t, "just before ten minutes", discovery.Live, 2, "c", "a", "b")
		pass(gather)
		c.expect(t, "after them", discovery.Live, 0, "c")
		if c.log.count("the catalogue is believed") != 1 || c.log.count("expired=2") != 1 {
			t.Errorf("the log says:\n%s", c.log)
		}
		pass(time.Hour)
		c.expect(t, "later", discovery.Live, 0, "c")
	})
}

// gather is how long the ladder may gather what probes change.
const gather = 100 * time.Millisecond

// While the catalogue is away, what it said before drops nobody: but who is found
// dead by probes as well leaves.
func TestDoubtStandsStillWhileTheCatalogueIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{DoubtFor: time.Minute})
		defer c.stop(t)
		c.answer("a", "b", "c")
		c.answer()
		pass(30 * time.Second)
		c.ladder.Failed(errDown)
		pass(time.Hour)
		c.expect(t, "an hour without a catalogue", discovery.Stale, 3, "a", "b", "c")
		c.town.set(errDown, "b")
		pass(2 * decided)
		c.expect(t, "one dies", discovery.Stale, 2, "a", "c")
		c.ladder.Answered()
		synctest.Wait()
		c.expect(t, "the catalogue is back", discovery.Live, 2, "a", "c")
		pass(30*time.Second - 1)
		c.expect(t, "just before the minute is full", discovery.Live, 2, "a", "c")
		pass(gather)
		c.expect(t, "after it", discovery.Live, 0)
	})
}

// A loss that grows while there is doubt is doubted too, however small its steps.
func TestDoubtGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		all := many(10)
		c.answer(all...)
		c.answer(all[6:]...)
		for n := 7; n <= 10; n++ {
			pass(time.Minute)
			c.answer(all[n:]...)
		}
		if s := c.ladder.State(); s.Doubted != 10 || s.Endpoints != 10 {
			t.Errorf("got %+v, want ten doubted", s)
		}
		if c.log.count("WARN") != 1 {
			t.Errorf("one doubt is several lines:\n%s", c.log)
		}
	})
}

// Registered anew under other IDs, processes are the same endpoints.
func TestReturnUnderAnotherID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b")
		c.answer()
		c.answerWith(mesh.Endpoint{ID: "x", Address: "a:80"}, mesh.Endpoint{ID: "y", Address: "b:80"})
		c.expect(t, "new IDs", discovery.Live, 0, "x", "y")
	})
}

// 10,000 that leave one by one are no 10,000 sets.
func TestManyLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		all := many(10_000)
		c.town.set(errDown, all...)
		c.answer(all...)
		c.answer()
		pass(4 * time.Second)
		c.expect(t, "all are dead", discovery.Live, 0)
		if n := c.updates(); n > 30 {
			t.Errorf("%d updates, want ten a second at most", n)
		}
	})
}

// What has been brought back once is not brought back again.
func TestWipeInManySteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		all := many(10)
		for _, n := range []int{0, 4, 8, 9, 10} {
			c.answer(all[n:]...)
			pass(time.Second)
		}
		got := ids(c.last())
		slices.Sort(got)
		if s := c.ladder.State(); s.Doubted != 10 || !slices.Equal(got, all) {
			t.Errorf("%d doubted, the set is %v", s.Doubted, got)
		}
	})
}

func TestEachDoubtIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		for range 3 {
			c.answer("a", "b")
			c.answer()
			pass(time.Minute)
		}
		c.answer("a", "b")
		if c.log.count("WARN") != 3 || c.log.count("returned=2") != 3 {
			t.Errorf("want a line for each beginning and end:\n%s", c.log)
		}
	})
}

// A probe that is under way when its endpoint returns, or the Watch ends, counts for
// nothing.
func TestProbeUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := store(t)
		c := ladder(t, &discovery.Ladder{Store: s})
		c.town.set(errDown, "a")
		c.answer("a")
		c.town.delay(500 * time.Millisecond)
		c.answer()
		pass(300 * time.Millisecond)
		c.answer("a")
		pass(time.Minute)
		if n := len(c.town.probes("a")); n != 1 {
			t.Errorf("a was probed %d times, want once: it has returned", n)
		}
		c.answer()
		c.awaitProbe("a")
		pass(time.Second) // the first failure
		c.awaitProbe("a")
		c.stop(t)
		if got := onDisk(t, s); !slices.Equal(got, []string{"a"}) {
			t.Errorf("on disk are %v: the end of the Watch counted as the second failure", got)
		}
	})
}
