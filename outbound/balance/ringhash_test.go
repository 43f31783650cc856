package balance_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

func keyed(t *testing.T, set []mesh.Endpoint, edit ...func(*balance.Config)) (*balance.Balancer, *fleet, http.RoundTripper) {
	f := newFleet()
	cfg := balance.Config{Dial: f.dial, Policy: balance.RingHash, HashOn: "header:X-Key", Rand: seeded()}
	for _, f := range edit {
		f(&cfg)
	}
	b := open(t, cfg, set)
	return b, f, b.Through(&balance.Breaker{FailureThreshold: 1})
}

// where returns where a key goes.
func where(t *testing.T, rt http.RoundTripper, key string, tried ...string) string {
	t.Helper()
	got, err := sendKeyed(rt, key, tried...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRingHashSticks(t *testing.T) {
	_, _, rt := keyed(t, many(20))
	_, _, other := keyed(t, many(20)) // another proxy
	seen := map[string]bool{}
	for i := range 200 {
		key := fmt.Sprint("user-", i)
		first := where(t, rt, key)
		seen[first] = true
		for range 3 {
			if got := where(t, rt, key); got != first {
				t.Fatalf("%s went to %s and to %s; want the same", key, first, got)
			}
		}
		if got := where(t, other, key); got != first {
			t.Fatalf("%s went to %s and, by another proxy, to %s; want the same", key, first, got)
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d endpoints got keys; want all 20", len(seen))
	}
}

// A key's second choice is as steady as its first, and is what a failure of the first
// leads to: a retry, an open breaker, an illness.
func TestRingHashSecondChoice(t *testing.T) {
	set := many(10)
	b, f, rt := keyed(t, set)
	for i := range 50 {
		key := fmt.Sprint("user-", i)
		first := where(t, rt, key)
		second := where(t, rt, key, first)
		if second == first {
			t.Fatalf("%s: the retry went to %s again", key, first)
		}
		third := where(t, rt, key, first, second)
		b.Update(sicken(many(10), first))
		if got := where(t, rt, key); got != second {
			t.Errorf("%s: went to %s when %s was unhealthy; want %s as the retry did", key, got, first, second)
		}
		b.Update(withdraw(many(10), first, second))
		if got := where(t, rt, key); got != third {
			t.Errorf("%s: went to %s; want the third, %s", key, got, third)
		}
		b.Update(set)
	}
	key := "user-0"
	first := where(t, rt, key)
	second := where(t, rt, key, first)
	f.answer = func(string, *http.Request) (*http.Response, error) { return status(500), nil }
	where(t, rt, key) // opens the breaker
	f.answer = nil
	if got := where(t, rt, key); got != second {
		t.Errorf("went to %s behind an open breaker of %s; want %s", got, first, second)
	}
}

// Without a key it is p2c: held requests spread.
func TestRingHashWithoutKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, rt := keyed(t, many(4))
		for range 400 {
			defer hold(t, rt).End(mesh.Result{})
		}
		for _, st := range b.Status() {
			within(t, st.Endpoint.Address, st.InFlight, 100, 0.1)
		}
	})
}

// A newcomer in slow start gets its keys bit by bit; each moves once.
func TestRingHashSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, rt := keyed(t, many(9), func(c *balance.Config) { c.SlowStart = 10 * time.Second })
		const n = 3000
		before := make([]string, n)
		for i := range before {
			before[i] = where(t, rt, fmt.Sprint(i))
		}
		b.Update(many(10))
		joined := many(10)[9].Address
		moved := make([]bool, n)
		last := 0
		for step := range 11 {
			now := 0
			for i := range before {
				got := where(t, rt, fmt.Sprint(i))
				if got != joined && (moved[i] || got != before[i]) {
					t.Fatalf("after %d s key %d went to %s; want the newcomer or %s, and no return", step, i, got, before[i])
				}
				if moved[i] = got == joined; moved[i] {
					now++
				}
			}
			if now < last {
				t.Errorf("after %d s the newcomer has %d keys; want no fewer than %d", step, now, last)
			}
			last = now
			within(t, fmt.Sprintf("keys after %d s", step), now, max(0.1, float64(step)/10)*n/10, 0.35)
			pass(time.Second)
		}
	})
}

// Under zones a key stays in its zone as well.
func TestRingHashInZones(t *testing.T) {
	set := zoned(6, 6)
	b, _, rt := keyed(t, sicken(set, set[0].ID, set[1].ID, set[2].ID), func(c *balance.Config) { c.Zone, c.ZoneFirst = "here", true })
	here := map[string]bool{}
	for _, st := range b.Status() {
		here[st.Endpoint.Address] = st.Endpoint.Zone == "here"
	}
	stayed := 0
	for i := range 1000 {
		key := fmt.Sprint("user-", i)
		first := where(t, rt, key)
		if here[first] {
			stayed++
		}
		if got := where(t, rt, key); got != first {
			t.Fatalf("%s went to %s and to %s; want the same", key, first, got)
		}
	}
	within(t, "stayed", stayed, 700, 0.07)
}
