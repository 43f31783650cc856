package balance_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/outbound/balance"
)

var everyPolicy = []string{balance.P2C, balance.RoundRobin, balance.Weighted, balance.LeastConnections}

// The newcomer's share grows with time, from a tenth of what is fair.
func TestSlowStart(t *testing.T) {
	for _, policy := range everyPolicy {
		for _, n := range []int{2, 5, 70} {
			t.Run(fmt.Sprintf("%s/%d", policy, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					set := many(n)
					b := open(t, balance.Config{Dial: newFleet().dial, Policy: policy, SlowStart: 100 * time.Second, Rand: seeded()}, set[:n-1])
					b.Update(set)
					joined := set[n-1].Address
					requests := 150 * n
					for _, tc := range []struct{ after, warmth float64 }{{0, 0.1}, {5, 0.1}, {30, 0.3}, {60, 0.6}, {90, 0.9}, {100, 1}} {
						if got := at(t, b, joined).Warmth; got < tc.warmth-1e-6 || got > tc.warmth+1e-6 {
							t.Errorf("after %.0f s: warmth = %v; want %v", tc.after, got, tc.warmth)
						}
						got := float64(spread(t, b.Through(nil), requests)[joined])
						fair := float64(requests) * tc.warmth / (float64(n-1) + tc.warmth)
						// Of two, p2c compares both or has no choice: it gives up to a fifth less.
						if got < 0.5*fair-15 || got > 1.25*fair+15 {
							t.Errorf("after %.0f s it got %.0f of %d; want about %.0f", tc.after, got, requests, fair)
						}
						pass(elapse(tc.after))
					}
				})
			})
		}
	}
}

// elapse returns how long it is until the next of TestSlowStart's instants.
func elapse(after float64) time.Duration {
	next := map[float64]float64{0: 5, 5: 30, 30: 60, 60: 90, 90: 100, 100: 100}[after]
	return time.Duration((next - after) * float64(time.Second))
}

// Who recovers begins slowly, too; who is merely ejected does not.
func TestSlowStartAfterRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial, SlowStart: time.Minute}, endpoints("a", "b", "c"))
		warmth := func(want float64) {
			t.Helper()
			if got := at(t, b, "a").Warmth; got != want {
				t.Errorf("warmth = %v; want %v", got, want)
			}
		}
		warmth(1)
		b.Update(sicken(endpoints("a", "b", "c"), "a"))
		warmth(1)
		b.Update(endpoints("a", "b", "c"))
		warmth(0.1)
		pass(30 * time.Second)
		warmth(0.5)
		b.Update(endpoints("c", "b", "a")) // nothing new
		warmth(0.5)
		pass(30 * time.Second)
		warmth(1)
	})
}

// Where most are new, nobody is held back: the others could not carry the load.
func TestSlowStartOfMost(t *testing.T) {
	for _, policy := range everyPolicy {
		t.Run(policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open(t, balance.Config{Dial: newFleet().dial, Policy: policy, SlowStart: 10 * time.Second, Rand: seeded()}, endpoints("a", "b"))
				rt := b.Through(nil)
				b.Update(endpoints("a", "c", "d", "e"))
				got := spread(t, rt, 4000)
				for _, name := range []string{"a", "c", "d", "e"} {
					within(t, name, got[name], 1000, 0.15)
				}
				// One more a while later. When the three are warm, it is the only one that is not.
				pass(6 * time.Second)
				b.Update(endpoints("a", "c", "d", "e", "f"))
				within(t, "f among newcomers", spread(t, rt, 5000)["f"], 1000, 0.15)
				pass(5 * time.Second)
				if got := at(t, b, "f").Warmth; got != 0.5 {
					t.Errorf("warmth of f = %v; want 0.5", got)
				}
				if got := spread(t, rt, 5000)["f"]; got > 800 {
					t.Errorf("f alone in slow start got %d of 5000; want about half of a fair share", got)
				}
			})
		})
	}
}

// The whole service may be new, or all of it unhealthy but one: requests still go out.
func TestSlowStartNeverStarves(t *testing.T) {
	for _, policy := range everyPolicy {
		t.Run(policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				b := open(t, balance.Config{Dial: f.dial, Policy: policy, SlowStart: time.Hour}, endpoints("old", "older"))
				rt := b.Through(&balance.Breaker{FailureThreshold: 1})
				b.Update(endpoints("old", "older", "new"))
				f.answer = func(string, *http.Request) (*http.Response, error) { return status(500), nil }
				for _, tried := range []string{"old", "older"} {
					if _, err := send(rt, "new", tried); err != nil {
						t.Fatal(err)
					}
				}
				f.answer = nil
				for range 50 { // the only one whose breaker is not open
					if got, err := send(rt); err != nil || got != "new" {
						t.Fatalf("went to %q, %v; want new", got, err)
					}
				}
			})
		})
	}
}
