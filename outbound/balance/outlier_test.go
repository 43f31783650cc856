package balance_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// infirmary is a set of endpoints some of which fail, with a record of ejections.
type infirmary struct {
	*fleet
	b      *balance.Balancer
	rt     http.RoundTripper
	ill    map[string]bool
	events []string
	times  []time.Duration
}

func newInfirmary(t *testing.T, o balance.Outlier, set ...string) *infirmary {
	w := &infirmary{fleet: newFleet(), ill: map[string]bool{}}
	w.answer = func(address string, _ *http.Request) (*http.Response, error) {
		if w.ill[address] {
			return status(500), nil
		}
		return status(200), nil
	}
	w.b = open(t, balance.Config{
		Dial: w.dial, Policy: balance.RoundRobin, Outlier: o,
		Rand: func() uint64 { return 0 }, // no jitter
		Events: balance.Events{
			Ejected: func(e mesh.Endpoint, d time.Duration) {
				w.events = append(w.events, fmt.Sprintf("%s out", e.Address))
				w.times = append(w.times, d)
			},
			Returned: func(e mesh.Endpoint) { w.events = append(w.events, e.Address+" back") },
		},
	}, endpoints(set...))
	w.rt = w.b.Through(nil)
	return w
}

// rounds sends n requests.
func (w *infirmary) rounds(t *testing.T, n int) {
	t.Helper()
	for range n {
		if _, err := send(w.rt); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *infirmary) want(t *testing.T, events ...string) {
	t.Helper()
	if !slices.Equal(w.events, events) {
		t.Fatalf("events = %q; want %q", w.events, events)
	}
}

func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 5, MaxEjectedPercent: 50}, "a", "b", "c")
		w.ill["a"] = true
		w.rounds(t, 12)
		w.want(t) // four failures
		w.rounds(t, 3)
		w.want(t, "a out")
		st := at(t, w.b, "a")
		if want := time.Now().Add(30 * time.Second); st.Usable || !st.EjectedUntil.Equal(want) {
			t.Errorf("usable %v, ejected until %s; want false, %s", st.Usable, st.EjectedUntil, want)
		}

		w.rounds(t, 20)
		if got := w.get(w.served, "a"); got != 5 {
			t.Errorf("a got %d requests; want none beyond the 5 that ejected it", got)
		}
		pass(30*time.Second - 1)
		w.rounds(t, 4)
		w.want(t, "a out")
		pass(1)
		w.ill["a"] = false
		w.rounds(t, 3)
		w.want(t, "a out", "a back")
		if got := w.get(w.served, "a"); got != 6 {
			t.Errorf("a got %d requests; want its turn again, 6", got)
		}
		if st := at(t, w.b, "a"); !st.Usable || !st.EjectedUntil.IsZero() {
			t.Errorf("status = %+v; want it usable and not ejected", st)
		}
	})
}

// Without traffic, whoever asks for the status sees the return.
func TestEjectionEndsInStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 1, BaseEjection: time.Second}, "a", "b")
		w.ill["a"] = true
		w.rounds(t, 2)
		w.want(t, "a out")
		pass(time.Second)
		if st := at(t, w.b, "a"); !st.Usable {
			t.Errorf("status = %+v; want it back", st)
		}
		w.want(t, "a out", "a back")
	})
}

func TestEjectionIsOff(t *testing.T) {
	w := newInfirmary(t, balance.Outlier{}, "a", "b")
	w.ill["a"] = true
	w.rounds(t, 100)
	w.want(t)
}

func TestEjectionNeedsFailuresInARow(t *testing.T) {
	w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 3}, "a", "b")
	for range 10 {
		w.ill["a"] = true
		w.rounds(t, 4) // two each
		w.ill["a"] = false
		w.rounds(t, 2)
	}
	w.want(t)
}

func TestEjectionBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		endpoints, percent int
		want               int // ejected when all fail
	}{
		"one endpoint":        {1, 100, 0},
		"two, no share":       {2, 0, 1},
		"two, small share":    {2, 10, 1},
		"two, all":            {2, 100, 1},
		"ten, no share":       {10, 0, 1},
		"ten, less than one":  {10, 9, 1},
		"ten, half":           {10, 50, 5},
		"ten, rounded down":   {10, 59, 5},
		"ten, all but a last": {10, 100, 9},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var names []string
				for i := range tc.endpoints {
					names = append(names, fmt.Sprint(i))
				}
				w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 2, MaxEjectedPercent: tc.percent}, names...)
				for _, name := range names {
					w.ill[name] = true
				}
				w.rounds(t, 200)
				if got := len(w.events); got != tc.want {
					t.Errorf("%d ejected; want %d", got, tc.want)
				}
			})
		})
	}
}

// The endpoint that stayed only because it was the last is ejected once another is back.
func TestEjectionIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 2, BaseEjection: time.Second}, "a", "b")
		w.ill["a"], w.ill["b"] = true, true
		w.rounds(t, 9)
		if len(w.events) != 1 {
			t.Fatalf("events = %q; want one out", w.events)
		}
		first := w.events[0][:1]
		w.ill[first] = false
		pass(time.Second)
		w.rounds(t, 6)
		last := map[string]string{"a": "b", "b": "a"}[first]
		w.want(t, first+" out", first+" back", last+" out")
	})
}

// The others left, or fell ill, after an endpoint was ejected.
func TestEjectionNeverTakesTheLast(t *testing.T) {
	for name, set := range map[string][]mesh.Endpoint{
		"others left": endpoints("a"),
		"others ill":  {endpoints("a")[0], {ID: "b", Scheme: "http", Address: "b", Host: "b", Unhealthy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 1}, "a", "b")
				w.ill["a"] = true
				w.rounds(t, 2)
				w.want(t, "a out")
				w.b.Update(set)
				if got, err := send(w.rt); err != nil || got != "a" {
					t.Errorf("went to %q, %v; want a", got, err)
				}
				if st := at(t, w.b, "a"); !st.Usable || st.EjectedUntil.IsZero() {
					t.Errorf("status = %+v; want it usable although ejected", st)
				}
				w.b.Update(endpoints("a", "b"))
				for range 4 {
					if got, err := send(w.rt); err != nil || got != "b" {
						t.Errorf("went to %q, %v; want b, as a is still ejected", got, err)
					}
				}
			})
		})
	}
}

func TestEjectionGrowsAndIsForgiven(t *testing.T) {
	for name, tc := range map[string]struct {
		base time.Duration
		good time.Duration // spent in the set after each return
		want []time.Duration
	}{
		"grows by its base": {time.Second, 0, []time.Duration{1e9, 2e9, 3e9, 4e9}},
		"ten times at most": {time.Second, 0, []time.Duration{1e9, 2e9, 3e9, 4e9, 5e9, 6e9, 7e9, 8e9, 9e9, 10e9, 10e9}},
		"five minutes at most": {2 * time.Minute, 0,
			[]time.Duration{2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute}},
		"the base where that is longer": {time.Hour, 0, []time.Duration{time.Hour, time.Hour}},
		"one forgiven":                  {time.Second, time.Second, []time.Duration{1e9, 1e9, 1e9}},
		"half is not":                   {time.Second, time.Second / 2, []time.Duration{1e9, 2e9, 3e9}},
		"never below none":              {time.Second, time.Hour, []time.Duration{1e9, 1e9, 1e9}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 1, BaseEjection: tc.base}, "a", "b")
				w.ill["a"] = true
				for i, d := range tc.want {
					w.rounds(t, 2)
					if len(w.times) != i+1 {
						t.Fatalf("%d ejections; want %d", len(w.times), i+1)
					}
					pass(d + tc.good)
				}
				if !slices.Equal(w.times, tc.want) {
					t.Errorf("times = %v; want %v", w.times, tc.want)
				}
			})
		})
	}
}

func TestEjectionHasJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.answer = func(string, *http.Request) (*http.Response, error) { return status(500), nil }
		seen := map[time.Duration]bool{}
		set := many(100)
		b := open(t, balance.Config{Dial: f.dial, Rand: seeded(), Policy: balance.RoundRobin,
			Outlier: balance.Outlier{ConsecutiveFailures: 1, MaxEjectedPercent: 50},
			Events: balance.Events{Ejected: func(_ mesh.Endpoint, d time.Duration) {
				if d < 30*time.Second || d > 33*time.Second {
					t.Errorf("ejected for %s; want 30s and up to a tenth more", d)
				}
				seen[d] = true
			}}}, set)
		rt := b.Through(nil)
		for range set {
			if _, err := send(rt); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != 50 {
			t.Errorf("%d different times for 50 ejections", len(seen))
		}
	})
}

// Failures that come in late, of requests sent before the ejection, add nothing, then
// or after the return.
func TestEjectionLateFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 2, MaxEjectedPercent: 100}, "a", "b", "c")
		late := make(chan struct{})
		w.answer = func(address string, _ *http.Request) (*http.Response, error) {
			<-late
			return status(500), nil
		}
		done := make(chan error)
		for range 5 {
			go func() {
				_, err := send(w.rt, "b", "c")
				done <- err
			}()
		}
		synctest.Wait()
		close(late)
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		w.want(t, "a out")
		pass(30 * time.Second)
		if _, err := send(w.rt, "b", "c"); err != nil {
			t.Fatal(err)
		}
		w.want(t, "a out", "a back")
		if _, err := send(w.rt, "b", "c"); err != nil {
			t.Fatal(err)
		}
		w.want(t, "a out", "a back", "a out")
	})
}

func TestPanic(t *testing.T) {
	ill := func(n int) []mesh.Endpoint {
		set := endpoints("a", "b", "c", "d")
		for i := range n {
			set[i].Unhealthy = true
		}
		return set
	}
	for name, tc := range map[string]struct {
		threshold, ill int
		panics         bool
		reach          int // endpoints that get requests
	}{
		"all healthy":       {50, 0, false, 4},
		"at the threshold":  {50, 2, false, 2},
		"below":             {50, 3, true, 4},
		"none healthy":      {50, 4, true, 4},
		"disabled":          {0, 3, false, 1},
		"any illness":       {100, 1, true, 4},
		"disabled and none": {0, 4, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet()
			panics := false
			b := open(t, balance.Config{Dial: f.dial, PanicThreshold: tc.threshold, Policy: balance.RoundRobin,
				Events: balance.Events{Panic: func(on bool) {
					if on == panics {
						t.Errorf("panic reported twice as %v", on)
					}
					panics = on
				}}}, ill(tc.ill))
			for range 20 {
				if _, err := send(b.Through(nil)); tc.reach == 0 {
					wantFault(t, err, mesh.NoEndpoints)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if panics != tc.panics || len(f.served) != tc.reach {
				t.Errorf("panic %v, %d endpoints reached; want %v, %d", panics, len(f.served), tc.panics, tc.reach)
			}
			b.Update(ill(tc.ill)) // no change
			b.Update(ill(0))
			if panics {
				t.Error("panic did not end")
			}
		})
	}
}

// Ejected endpoints count as unhealthy, and are picked in panic.
func TestPanicCountsEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var panics []bool
		f.answer = func(address string, _ *http.Request) (*http.Response, error) {
			if address == "d" {
				return status(200), nil
			}
			return status(500), nil
		}
		b := open(t, balance.Config{Dial: f.dial, PanicThreshold: 50, Policy: balance.RoundRobin,
			Rand:    func() uint64 { return 0 },
			Outlier: balance.Outlier{ConsecutiveFailures: 1, MaxEjectedPercent: 100},
			Events:  balance.Events{Panic: func(on bool) { panics = append(panics, on) }},
		}, endpoints("a", "b", "c", "d"))
		for range 12 {
			if _, err := send(b.Through(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(panics, []bool{true}) {
			t.Errorf("panic = %v; want it on: three of four are ejected", panics)
		}
		if len(f.served) != 4 || f.served["a"] < 2 {
			t.Errorf("served = %v; want the ejected ones among them", f.served)
		}
		pass(30 * time.Second)
		b.Status()
		if !slices.Equal(panics, []bool{true, false}) {
			t.Errorf("panic = %v; want it off when they are back", panics)
		}
	})
}
