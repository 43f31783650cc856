package outbound

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLedger(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		name     string
		budget   Budget
		requests int           // at the beginning
		later    time.Duration // then
		want     int           // retries that are allowed
	}{
		{"nothing", Budget{}, 1000, 0, 0},
		{"share", Budget{Percent: 20}, 100, 0, 20},
		{"share, rounded down", Budget{Percent: 20}, 4, 0, 0},
		{"share, nine seconds on", Budget{Percent: 20}, 100, 9 * time.Second, 20},
		{"share, ten seconds on", Budget{Percent: 20}, 100, 10 * time.Second, 0},
		{"share, a round later", Budget{Percent: 20}, 100, 20 * time.Second, 0},
		{"floor, for each of ten seconds", Budget{Min: 3}, 0, 0, 30},
		{"floor and share", Budget{Percent: 20, Min: 3}, 100, 0, 50},
		{"all", Budget{Percent: 100}, 7, 0, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l ledger
			for range c.requests {
				l.request(at)
			}
			now := at.Add(c.later)
			if got := l.remaining(c.budget, now); got != c.want {
				t.Errorf("remaining %d, want %d", got, c.want)
			}
			got := 0
			for l.withdraw(c.budget, now) {
				got++
			}
			if got != c.want || l.remaining(c.budget, now) != 0 {
				t.Errorf("allowed %d, want %d; %d remain", got, c.want, l.remaining(c.budget, now))
			}
		})
	}
}

// The floor is there at once for a proxy that has just started, and in the long run
// no more than its share of each second.
func TestLedgerFloorIsTheWindows(t *testing.T) {
	var l ledger
	at := time.Unix(1_000_000, 0)
	for s := range 3 * windowSeconds {
		now, got, want := at.Add(time.Duration(s)*time.Second), 0, 0
		for l.withdraw(Budget{Min: 3}, now) {
			got++
		}
		if s%windowSeconds == 0 {
			want = 3 * windowSeconds
		}
		if got != want {
			t.Errorf("second %d: %d retries, want %d", s, got, want)
		}
	}
}

func TestLedgerClockGoesBack(t *testing.T) {
	var l ledger
	at := time.Unix(1_000_000, 0)
	l.request(at.Add(10 * time.Second)) // the same slot
	l.request(at)
	if requests, _ := l.sum(at.Add(10 * time.Second)); requests != 2 {
		t.Errorf("%d requests are left", requests)
	}
}

func TestLedgerAtOnce(t *testing.T) {
	var l ledger
	at := time.Unix(1_000_000, 0)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				l.request(at)
			}
		})
	}
	wg.Wait()
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if l.withdraw(Budget{Percent: 10}, at) {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n > 800 || n == 0 {
		t.Errorf("%d retries for 8000 requests at 10 percent", n)
	}
}

func TestLedgerAllocatesNothing(t *testing.T) {
	var l ledger
	at := time.Unix(1_000_000, 0)
	l.request(at)
	if n := testing.AllocsPerRun(100, func() { l.request(at) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
