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

// zoned returns endpoints here and, after them, there.
func zoned(here, there int) []mesh.Endpoint {
	set := many(here + there)
	for i := range set {
		if set[i].Zone = "there"; i < here {
			set[i].Zone = "here"
		}
	}
	return set
}

// ill returns set with those of these indexes unhealthy.
func ill(set []mesh.Endpoint, indexes ...int) []mesh.Endpoint {
	for _, i := range indexes {
		set[i].Unhealthy = true
	}
	return set
}

func byZone(set []mesh.Endpoint, spread map[string]int) (here int) {
	for _, e := range set {
		if e.Zone == "here" {
			here += spread[e.Address]
		}
	}
	return here
}

func TestZoneFirst(t *testing.T) {
	heavy := zoned(2, 2)
	heavy[0].Weight, heavy[1].Weight = 1, 3
	out := zoned(4, 4)
	out[0].Withdrawn, out[1].Withdrawn = true, true
	for name, tc := range map[string]struct {
		set  []mesh.Endpoint
		edit func(*balance.Config)
		want float64 // percent of the requests that stay
	}{
		"all healthy":              {zoned(5, 5), nil, 100},
		"small":                    {zoned(1, 9), nil, 100},
		"off":                      {zoned(5, 5), func(c *balance.Config) { c.ZoneFirst = false }, 50},
		"unknown zone":             {zoned(5, 5), func(c *balance.Config) { c.Zone = "" }, 50},
		"nobody here":              {zoned(0, 5), nil, 0},
		"nobody elsewhere":         {ill(zoned(5, 0), 0, 1), nil, 100},
		"80 % healthy":             {ill(zoned(5, 5), 0), nil, 100},
		"60 % healthy":             {ill(zoned(5, 5), 0, 1), nil, 84},
		"40 % healthy":             {ill(zoned(5, 5), 0, 1, 2), nil, 56},
		"20 % healthy":             {ill(zoned(5, 5), 0, 1, 2, 3), nil, 28},
		"none healthy":             {ill(zoned(5, 5), 0, 1, 2, 3, 4), nil, 0},
		"none healthy elsewhere":   {ill(zoned(5, 5), 0, 1, 2, 3, 5, 6, 7, 8, 9), nil, 100},
		"by weight":                {ill(heavy, 1), nil, 35},
		"withdrawn ones not asked": {out, nil, 100},
		"panic knows no zones":     {ill(zoned(5, 5), 0, 1, 2, 3, 5, 6), func(c *balance.Config) { c.PanicThreshold = 50 }, 50},
	} {
		for _, policy := range []string{balance.P2C, balance.RoundRobin, balance.Weighted, balance.LeastConnections} {
			t.Run(name+"/"+policy, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // no time passes: p2c has nothing to go by
					cfg := balance.Config{Dial: newFleet().dial, Policy: policy, Zone: "here", ZoneFirst: true, Rand: seeded()}
					if tc.edit != nil {
						tc.edit(&cfg)
					}
					b := open(t, cfg, tc.set)
					got := spread(t, b.Through(nil), 2000)
					within(t, "stayed", byZone(tc.set, got), tc.want*20, 0.1)
					for _, st := range b.Status() {
						if n := got[st.Endpoint.Address]; n == 0 && st.Usable && tc.want > 0 && tc.want < 100 {
							t.Errorf("%s got nothing; want all usable ones to share", st.Endpoint.Address)
						}
					}
				})
			})
		}
	}
}

// What the zone cannot take at this moment goes elsewhere, before it waits.
func TestZoneOverflows(t *testing.T) {
	set := zoned(1, 1)
	cfg := balance.Config{Dial: newFleet().dial, MaxConnections: 1, MaxPending: 1, Zone: "here", ZoneFirst: true}
	b := open(t, cfg, set)
	rt := b.Through(nil)
	for _, want := range []string{set[0].Address, set[1].Address} {
		call := hold(t, rt)
		defer call.End(mesh.Result{})
		if got := call.Attempts[0].Endpoint; got != want {
			t.Errorf("went to %s; want %s", got, want)
		}
	}
}

func TestZoneIsLeftByRetriesAndOpenBreakers(t *testing.T) {
	f := newFleet()
	set := zoned(2, 2)
	b := open(t, balance.Config{Dial: f.dial, Zone: "here", ZoneFirst: true}, set)
	rt := b.Through(&balance.Breaker{FailureThreshold: 1})
	got, err := send(rt, set[0].Address, set[1].Address)
	if err != nil || got != set[2].Address && got != set[3].Address {
		t.Errorf("went to %s, %v; want one that was not tried, in the other zone", got, err)
	}
	f.answer = func(string, *http.Request) (*http.Response, error) { return status(500), nil }
	for range 2 {
		where(t, rt, "") // opens the breakers here
	}
	f.answer = nil
	for range 10 {
		if got := where(t, rt, ""); got != set[2].Address && got != set[3].Address {
			t.Errorf("went to %s; want the other zone, where no breaker is open", got)
		}
	}
	f.answer = func(string, *http.Request) (*http.Response, error) { return status(500), nil }
	for range 2 {
		where(t, rt, "")
	}
	_, err = send(rt)
	if fault := wantFault(t, err, mesh.BreakerOpen); fault.RetryAfter == 0 {
		t.Errorf("fault = %+v; want it to say when to come again", fault)
	}
}

// Ejections spill like illness.
func TestZoneSpillsForTheEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		set := zoned(4, 4)
		b := open(t, balance.Config{Dial: f.dial, Zone: "here", ZoneFirst: true, Rand: seeded(),
			Outlier: balance.Outlier{ConsecutiveFailures: 1, MaxEjectedPercent: 50, BaseEjection: time.Minute}}, set)
		rt := b.Through(nil)
		f.answer = func(string, *http.Request) (*http.Response, error) { return status(500), nil }
		for _, tried := range [][]string{{set[1].Address, set[2].Address, set[3].Address}, {set[0].Address, set[2].Address, set[3].Address}} {
			where(t, rt, "", tried...)
		}
		f.answer = nil
		within(t, "stayed", byZone(set, spread(t, rt, 4000)), 2800, 0.05)
		pass(2 * time.Minute)
		within(t, "stayed after their return", byZone(set, spread(t, rt, 1000)), 1000, 0)
	})
}

// Half a zone that has just come back gets no more than it can bear, and more with time.
func TestZoneSpillsForSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial, Zone: "here", ZoneFirst: true,
			Policy: balance.RoundRobin, SlowStart: 10 * time.Second, Rand: seeded()}, ill(zoned(4, 8), 0, 1, 2, 3))
		b.Update(zoned(4, 8))
		rt := b.Through(nil)
		for _, want := range []float64{0.14, 0.14, 0.28, 0.42, 0.56, 0.70, 0.84, 0.98, 1, 1, 1, 1} {
			within(t, fmt.Sprintf("stayed, where %.0f%% should", want*100), byZone(zoned(4, 8), spread(t, rt, 4000)), want*4000, 0.12)
			pass(time.Second)
		}
	})
}
