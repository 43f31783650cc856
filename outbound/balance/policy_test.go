package balance_test

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// spread sends n requests one after the other and returns how many went where.
func spread(t *testing.T, rt http.RoundTripper, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		where, err := send(rt)
		if err != nil {
			t.Fatal(err)
		}
		got[where]++
	}
	return got
}

// within checks that a count is near want, by a fraction.
func within(t *testing.T, what string, got int, want, tolerance float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > want*tolerance {
		t.Errorf("%s: %d; want %.0f, give or take %.0f%%", what, got, want, tolerance*100)
	}
}

func weighted(weights ...int) []mesh.Endpoint {
	set := many(len(weights))
	for i, w := range weights {
		set[i].Weight = w
	}
	return set
}

func TestRoundRobinDistribution(t *testing.T) {
	b := open(t, balance.Config{Dial: newFleet().dial, Policy: balance.RoundRobin}, weighted(1, 9, 1))
	for where, n := range spread(t, b.Through(nil), 300) {
		within(t, where, n, 100, 0)
	}
}

// One among many is found, however far away.
func TestRotationFindsTheLast(t *testing.T) {
	for _, policy := range []string{balance.RoundRobin, balance.Weighted} {
		set := many(50)
		b := open(t, balance.Config{Dial: newFleet().dial, Policy: policy}, set)
		var tried []string
		for _, e := range set[:49] {
			tried = append(tried, e.Address)
		}
		for range 50 {
			if got, err := send(b.Through(nil), tried...); err != nil || got != set[49].Address {
				t.Fatalf("%s: went to %q, %v; want the only one not tried", policy, got, err)
			}
		}
	}
}

// Who is passed over does not double the load of its neighbour.
func TestRoundRobinPassesOverEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		b := open(t, balance.Config{Dial: f.dial, Policy: balance.RoundRobin}, endpoints("a", "b", "c"))
		rt := b.Through(&balance.Breaker{FailureThreshold: 1})
		f.answer = func(string, *http.Request) (*http.Response, error) { return status(500), nil }
		if _, err := send(rt, "a", "c"); err != nil {
			t.Fatal(err)
		}
		f.answer = nil
		got := spread(t, rt, 300)
		within(t, "a", got["a"], 150, 0)
		within(t, "c", got["c"], 150, 0)
	})
}

func TestWeightedDistribution(t *testing.T) {
	for name, tc := range map[string]struct {
		weights []int
		cycle   int // requests after which each had its share exactly
		shares  []int
	}{
		"equal":          {[]int{1, 1, 1}, 3, []int{1, 1, 1}},
		"none is one":    {[]int{0, -4, 1}, 3, []int{1, 1, 1}},
		"five, one, one": {[]int{5, 1, 1}, 7, []int{5, 1, 1}},
		"in lower terms": {[]int{300, 100}, 4, []int{3, 1}},
		"alone":          {[]int{7}, 1, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			set := weighted(tc.weights...)
			b := open(t, balance.Config{Dial: newFleet().dial, Policy: balance.Weighted}, set)
			for range 3 { // every cycle alike
				got := spread(t, b.Through(nil), tc.cycle)
				for i, want := range tc.shares {
					within(t, set[i].Address, got[set[i].Address], float64(want), 0)
				}
			}
		})
	}
}

func TestWeightedIsSmooth(t *testing.T) {
	set := endpoints("a", "b", "c")
	set[0].Weight = 5
	b := open(t, balance.Config{Dial: newFleet().dial, Policy: balance.Weighted}, set)
	var order strings.Builder
	for range 70 {
		where, err := send(b.Through(nil))
		if err != nil {
			t.Fatal(err)
		}
		order.WriteString(where)
	}
	if strings.Contains(order.String(), "aaaa") {
		t.Errorf("order = %s; want no more than three in a row", order.String())
	}
}

func TestWeightedExtremes(t *testing.T) {
	for name, tc := range map[string]struct {
		weights []int
		share   float64 // of the first
	}{
		"huge and coprime": {[]int{math.MaxInt, math.MaxInt - 1}, 0.5},
		"long cycle":       {[]int{65535, 65534, 65533}, 1. / 3},
		"one in thousands": {[]int{1 << 14, 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			set := weighted(tc.weights...)
			b := open(t, balance.Config{Dial: newFleet().dial, Policy: balance.Weighted}, set)
			got := spread(t, b.Through(nil), 20000)
			within(t, "first", got[set[0].Address], 20000*tc.share, 0.01)
			if len(got) != len(set) {
				t.Errorf("%d endpoints got requests; want all %d", len(got), len(set))
			}
		})
	}
}

func TestLeastConnectionsIdle(t *testing.T) {
	set := weighted(3, 1)
	b := open(t, balance.Config{Dial: newFleet().dial, Policy: balance.LeastConnections, Rand: seeded()}, set)
	got := spread(t, b.Through(nil), 4000) // none is in flight: ties fall by weight
	within(t, "heavy", got[set[0].Address], 3000, 0.05)
	within(t, "light", got[set[1].Address], 1000, 0.1)
}

func TestLeastConnectionsBusy(t *testing.T) {
	set := weighted(4, 2, 1)
	b := open(t, balance.Config{Dial: newFleet().dial, Policy: balance.LeastConnections, Rand: seeded()}, set)
	rt := b.Through(nil)
	for range 70 {
		defer hold(t, rt).End(mesh.Result{})
	}
	for i, want := range []float64{40, 20, 10} {
		within(t, set[i].Address, at(t, b, set[i].Address).InFlight, want, 0)
	}
}

// Many are not all looked at; those that are share alike nevertheless.
func TestLeastConnectionsAmongMany(t *testing.T) {
	set := many(300)
	b := open(t, balance.Config{Dial: newFleet().dial, Policy: balance.LeastConnections, Rand: seeded()}, set)
	rt := b.Through(nil)
	for range 3000 {
		defer hold(t, rt).End(mesh.Result{})
	}
	for _, st := range b.Status() {
		if st.InFlight < 6 || st.InFlight > 11 {
			t.Errorf("%s has %d in flight; want about 10", st.Endpoint.Address, st.InFlight)
		}
	}
}

// Of many, the only one that will do is found.
func TestOneOfManyIsFound(t *testing.T) {
	for _, policy := range everyPolicy {
		set := many(300)
		var tried []string
		for _, e := range set[:299] {
			tried = append(tried, e.Address)
		}
		b := open(t, balance.Config{Dial: newFleet().dial, Policy: policy}, set)
		if got, err := send(b.Through(nil), tried...); err != nil || got != set[299].Address {
			t.Errorf("%s: went to %q, %v; want the only one not tried", policy, got, err)
		}
	}
}

// Whoever fails at once always has the fewest in flight.
func TestLeastConnectionsShunsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.answer = func(address string, _ *http.Request) (*http.Response, error) {
			if address == "a" {
				return status(503), nil
			}
			pass(100 * time.Millisecond)
			return status(200), nil
		}
		b := open(t, balance.Config{Dial: f.dial, Policy: balance.LeastConnections}, endpoints("a", "b", "c", "d"))
		rt := b.Through(nil)
		for range 3000 { // half a minute's
			go func() { _, _ = send(rt) }()
			pass(10 * time.Millisecond)
		}
		if got := f.get(f.served, "a"); got > 60 {
			t.Errorf("it got %d of 3000; want a few", got)
		}
		pass(time.Second)
	})
}

// Turns that fall on a row of those that will not do are not all its neighbour's.
func TestRotationPassesOverARow(t *testing.T) {
	for _, policy := range []string{balance.RoundRobin, balance.Weighted} {
		set := many(100)
		b := open(t, balance.Config{Dial: newFleet().dial, Policy: policy, Rand: seeded()}, set)
		var tried []string
		for _, e := range set[:50] {
			tried = append(tried, e.Address)
		}
		got := map[string]int{}
		for range 5000 {
			went, err := send(b.Through(nil), tried...)
			if err != nil {
				t.Fatal(err)
			}
			got[went]++
		}
		for where, n := range got {
			if n > 150 {
				t.Errorf("%s: %s got %d; want about 100", policy, where, n)
			}
		}
	}
}

func TestP2CEqualsShareAlike(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10} {
		for name, answer := range map[string]func(string, *http.Request) (*http.Response, error){
			"known": steady, "unknown": nil, // no time passes, so no latency is seen
		} {
			t.Run(fmt.Sprintf("%d/%s", n, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet()
					f.answer = answer
					b := open(t, balance.Config{Dial: f.dial, Rand: seeded()}, many(n))
					got := spread(t, b.Through(nil), 1000*n)
					for _, st := range b.Status() {
						within(t, st.Endpoint.Address, got[st.Endpoint.Address], 1000, 0.1)
					}
				})
			})
		}
	}
}

// Until the first answers are there, only what is in flight tells endpoints apart.
func TestP2CColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		ready := make(chan struct{})
		f.answer = func(string, *http.Request) (*http.Response, error) {
			<-ready
			return status(200), nil
		}
		b := open(t, balance.Config{Dial: f.dial, Rand: seeded()}, endpoints("a", "b"))
		rt := b.Through(nil)
		done := make(chan error)
		for range 20 {
			go func() {
				_, err := send(rt)
				done <- err
			}()
			synctest.Wait()
		}
		for _, st := range b.Status() {
			within(t, st.Endpoint.Address, st.InFlight, 10, 0)
		}
		close(ready)
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// Held requests pile up evenly, by weight.
func TestP2CLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.answer = steady
		set := many(10)
		for i := range set {
			set[i].Weight = 1 + i%2
		}
		b := open(t, balance.Config{Dial: f.dial, Rand: seeded()}, set)
		rt := b.Through(nil)
		for range 1500 {
			defer hold(t, rt).End(mesh.Result{})
		}
		for i, e := range set {
			within(t, e.Address, at(t, b, e.Address).InFlight, 100*float64(1+i%2), 0.1)
		}
	})
}

// steady answers after a millisecond.
func steady(string, *http.Request) (*http.Response, error) {
	pass(time.Millisecond)
	return status(200), nil
}

// A slow endpoint gets less, and its requests when it has become fast again.
func TestP2CLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		slow := 200 * time.Millisecond
		f.answer = func(address string, _ *http.Request) (*http.Response, error) {
			if address == "a" {
				pass(slow)
			} else {
				pass(10 * time.Millisecond)
			}
			return status(200), nil
		}
		b := open(t, balance.Config{Dial: f.dial, Rand: seeded()}, endpoints("a", "b", "c"))
		got := spread(t, b.Through(nil), 1000)
		if got["a"] < 1 || got["a"] > 20 {
			t.Errorf("the slow one got %d of 1000; want a few", got["a"])
		}
		if l := at(t, b, "b").Latency; l < 8*time.Millisecond || l > 10*time.Millisecond {
			t.Errorf("latency of b = %s; want about 10ms", l)
		}
		slow = 5 * time.Millisecond
		spread(t, b.Through(nil), 5000)
		if got := spread(t, b.Through(nil), 1000)["a"]; got < 500 {
			t.Errorf("it became the fastest, and got %d of 1000; want most", got)
		}
	})
}

// Whoever fails at once is not fast, and whoever answers nobody is not unknown.
func TestP2CShunsFailure(t *testing.T) {
	for name, bad := range map[string]func(req *http.Request) (*http.Response, error){
		"refuses": func(*http.Request) (*http.Response, error) {
			pass(100 * time.Microsecond)
			return nil, errRefused
		},
		"hangs until the client leaves": func(*http.Request) (*http.Response, error) {
			pass(time.Second)
			return nil, &mesh.Fault{Kind: mesh.ClientGone}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.answer = func(address string, req *http.Request) (*http.Response, error) {
					if address == "a" {
						return bad(req)
					}
					pass(10 * time.Millisecond)
					return status(200), nil
				}
				b := open(t, balance.Config{Dial: f.dial, Rand: seeded()}, endpoints("a", "b"))
				for range 1000 {
					_, _ = send(b.Through(nil)) // counted below, failure or not
				}
				if got := f.get(f.served, "a"); got > 20 {
					t.Errorf("it got %d of 1000 requests; want a few", got)
				}
			})
		})
	}
}

// Few usable ones among many are found, and share.
func TestP2CFewUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		set := many(200)
		b := open(t, balance.Config{Dial: f.dial, Rand: seeded()}, set)
		rt := b.Through(&balance.Breaker{FailureThreshold: 1})
		f.answer = func(address string, _ *http.Request) (*http.Response, error) {
			if slices.Contains([]string{set[3].Address, set[90].Address, set[199].Address}, address) {
				return status(200), nil
			}
			return status(500), nil
		}
		// Until all others are open, never mind who is sent how many.
		for len(f.served) < len(set) {
			tried := make([]string, 0, len(f.served))
			for address := range f.served {
				tried = append(tried, address)
			}
			if _, err := send(rt, tried...); err != nil {
				t.Fatal(err)
			}
		}
		var calls []*mesh.Call
		for range 30 {
			calls = append(calls, hold(t, rt))
		}
		for _, i := range []int{3, 90, 199} {
			within(t, set[i].Address, at(t, b, set[i].Address).InFlight, 10, 0.4)
		}
		for _, call := range calls {
			call.End(mesh.Result{})
		}
	})
}
