package balance_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

func TestUpdateKeepsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.answer = func(address string, _ *http.Request) (*http.Response, error) {
			pass(50 * time.Millisecond)
			if address == "a" {
				return status(500), nil
			}
			return status(200), nil
		}
		b := open(t, balance.Config{Dial: f.dial, Policy: balance.RoundRobin,
			Outlier: balance.Outlier{ConsecutiveFailures: 2}}, endpoints("a", "b", "c"))
		rt := b.Through(&balance.Breaker{FailureThreshold: 2})
		for range 6 {
			if _, err := send(rt); err != nil {
				t.Fatal(err)
			}
		}
		held := hold(t, rt)
		defer held.End(mesh.Result{})
		before := b.Status()
		if before[0].EjectedUntil.IsZero() || before[0].Breakers[0].State != balance.Open || before[1].InFlight+before[2].InFlight != 1 {
			t.Fatalf("status = %+v; want a history to keep", before)
		}

		// Another order, a new one, a new weight.
		set := endpoints("new", "c", "b", "a")
		set[3].Weight = 7
		b.Update(set)
		after := b.Status()
		if after[0].Endpoint.ID != "new" || after[0].Successes != 0 || after[3].Endpoint.Weight != 7 {
			t.Errorf("status = %+v; want the new set", after)
		}
		before[0].Endpoint.Weight = 7
		for i, st := range before {
			if got := after[3-i]; !reflect.DeepEqual(got, st) {
				t.Errorf("%s: status = %+v; want %+v as before", st.Endpoint.ID, got, st)
			}
		}
		for range 3 {
			if _, err := send(rt); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			if got := f.get(f.dialed, set[i].Address); got != 1 {
				t.Errorf("%s was dialed %d times; want 1", set[i].Address, got)
			}
		}
	})
}

func TestUpdateIdentity(t *testing.T) {
	base := mesh.Endpoint{ID: "a", Scheme: "http", Address: "10.0.0.1:80", Host: "orders"}
	for name, tc := range map[string]struct {
		edit func(e *mesh.Endpoint)
		same bool
	}{
		"nothing": {func(*mesh.Endpoint) {}, true},
		"weight":  {func(e *mesh.Endpoint) { e.Weight = 3 }, true},
		"health":  {func(e *mesh.Endpoint) { e.HealthNote = "slow" }, true},
		"zone":    {func(e *mesh.Endpoint) { e.Zone = "b" }, true},
		"meta":    {func(e *mesh.Endpoint) { e.Meta = map[string]string{"k": "v"} }, true},
		"id":      {func(e *mesh.Endpoint) { e.ID = "b" }, false},
		"address": {func(e *mesh.Endpoint) { e.Address = "10.0.0.2:80" }, false},
		"scheme":  {func(e *mesh.Endpoint) { e.Scheme = "https" }, false},
		"host":    {func(e *mesh.Endpoint) { e.Host = "other" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet()
			b := open(t, balance.Config{Dial: f.dial}, []mesh.Endpoint{base})
			if _, err := send(b.Through(nil)); err != nil {
				t.Fatal(err)
			}
			edited := base
			tc.edit(&edited)
			b.Update([]mesh.Endpoint{edited})
			st := b.Status()
			if len(st) != 1 || !reflect.DeepEqual(st[0].Endpoint, edited) || st[0].Successes == 1 != tc.same {
				t.Errorf("status = %+v; want history kept: %v", st, tc.same)
			}
			if got := f.get(f.closed, base.Address) == 0; got != tc.same {
				t.Errorf("transport kept: %v; want %v", got, tc.same)
			}
		})
	}
}

func TestUpdateDuplicatesAndMissingIDs(t *testing.T) {
	b := open(t, balance.Config{Dial: newFleet().dial}, []mesh.Endpoint{
		{ID: "a", Address: "1"}, {ID: "a", Address: "2"}, {Address: "3"}, {Address: "4"}, {Address: "3"},
	})
	var got []string
	for _, st := range b.Status() {
		got = append(got, st.Endpoint.ID+"="+st.Endpoint.Address)
	}
	if want := []string{"a=1", "3=3", "4=4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("endpoints = %q; want %q", got, want)
	}
}

func TestTransportsOfThoseThatLeft(t *testing.T) {
	f := newFleet()
	b := open(t, balance.Config{Dial: f.dial, Policy: balance.RoundRobin}, endpoints("used", "busy", "stays"))
	rt := b.Through(nil)
	if _, err := send(rt, "busy", "stays"); err != nil {
		t.Fatal(err)
	}
	req, busy := request(context.Background(), "used", "stays")
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	b.Update(endpoints("stays"))
	want := func(name string, n int) {
		t.Helper()
		if got := f.get(f.closed, name); got != n {
			t.Errorf("idle connections of %s closed %d times; want %d", name, got, n)
		}
	}
	want("used", 1)
	want("busy", 1)
	busy.End(mesh.Result{})
	want("busy", 2) // again: its connection has become idle since
	want("stays", 0)
	if got := f.get(f.dialed, "stays"); got != 0 {
		t.Errorf("stays was dialed %d times; want none before it is used", got)
	}
	b.Close()
	want("stays", 0) // never dialed
}

func TestClose(t *testing.T) {
	f := newFleet()
	b := open(t, balance.Config{Dial: f.dial}, endpoints("a"))
	rt := b.Through(&guide)
	held := hold(t, rt)
	b.Close()
	b.Close() // harmless
	b.Update(endpoints("a"))
	_, err := send(rt)
	wantFault(t, err, mesh.NoEndpoints)
	if got := len(b.Status()); got != 0 {
		t.Errorf("%d endpoints after Close; want none", got)
	}
	held.End(mesh.Result{})
	if got := f.get(f.closed, "a"); got != 2 {
		t.Errorf("idle connections closed %d times; want 2, the second when the last request had ended", got)
	}
}

// Everything at once, for the race detector; afterwards nothing may be left over.
func TestConcurrency(t *testing.T) {
	for _, policy := range []string{balance.P2C, balance.RoundRobin, balance.Weighted, balance.LeastConnections, balance.RingHash} {
		t.Run(policy, func(t *testing.T) {
			f := newFleet()
			var n atomic.Uint64
			f.answer = func(string, *http.Request) (*http.Response, error) {
				switch i := n.Add(1) % 20; { // failures in a row enough for every endpoint
				case i < 5:
					return nil, errRefused
				case i < 10:
					return status(503), nil
				case i == 10:
					return nil, &mesh.Fault{Kind: mesh.ClientGone}
				}
				return status(200), nil
			}
			var heard atomic.Int64
			var b *balance.Balancer
			hear := func() { heard.Add(int64(1 + len(b.Status()))) } // allowed from an event
			b = open(t, balance.Config{
				Dial: f.dial, Policy: policy, PanicThreshold: 50, MaxConnections: 3, MaxPending: 3,
				HashOn: "header:X-Key", SlowStart: time.Millisecond, Zone: "east", ZoneFirst: true,
				Outlier: balance.Outlier{ConsecutiveFailures: 2, BaseEjection: time.Microsecond, MaxEjectedPercent: 50},
				Events: balance.Events{
					Ejected:  func(mesh.Endpoint, time.Duration) { hear() },
					Returned: func(mesh.Endpoint) { hear() },
					Breaker:  func(mesh.Endpoint, balance.State, balance.State) { hear() },
					Panic:    func(bool) { hear() },
				},
			}, nil)
			sets := [][]mesh.Endpoint{endpoints("a", "b", "c"), endpoints("b", "c", "d"), endpoints("a", "d"), endpoints("c", "b", "a", "d")}
			sets[2][0].Unhealthy = true
			sets[1][0].Withdrawn = true
			for _, set := range sets {
				for i := range set {
					if set[i].ID < "c" {
						set[i].Zone = "east"
					}
				}
			}
			b.Update(sets[3])

			var work sync.WaitGroup
			for i := range 8 {
				work.Go(func() {
					rt := b.Through(&balance.Breaker{FailureThreshold: 2 + i%2, RecoveryTimeout: time.Microsecond})
					for j := range 300 {
						if _, err := sendKeyed(rt, fmt.Sprint(j%7), "a"); err == nil && j%10 == 0 {
							b.Status()
						}
					}
				})
			}
			work.Go(func() {
				for i := range 400 {
					b.Update(sets[i%len(sets)])
				}
			})
			work.Wait()
			b.Update(sets[3])
			for _, st := range b.Status() {
				if st.InFlight != 0 || st.Waiting != 0 {
					t.Errorf("%s: %d in flight, %d waiting; want none", st.Endpoint.ID, st.InFlight, st.Waiting)
				}
			}
			if heard.Load() == 0 {
				t.Error("no event was heard; want some, else this tests little")
			}
		})
	}
}
