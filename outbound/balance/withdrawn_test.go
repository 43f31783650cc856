package balance_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// withdraw returns set with those of these names withdrawn.
func withdraw(set []mesh.Endpoint, names ...string) []mesh.Endpoint {
	return edit(set, func(e *mesh.Endpoint) { e.Withdrawn, e.HealthNote = true, "maintenance" }, names...)
}

// sicken returns set with those of these names unhealthy.
func sicken(set []mesh.Endpoint, names ...string) []mesh.Endpoint {
	return edit(set, func(e *mesh.Endpoint) { e.Unhealthy, e.HealthNote = true, "critical" }, names...)
}

func edit(set []mesh.Endpoint, f func(*mesh.Endpoint), names ...string) []mesh.Endpoint {
	for i := range set {
		for _, name := range names {
			if set[i].ID == name {
				f(&set[i])
			}
		}
	}
	return set
}

func TestWithdrawnIsNeverPicked(t *testing.T) {
	for _, policy := range []string{balance.P2C, balance.RoundRobin, balance.Weighted, balance.LeastConnections, balance.RingHash} {
		for name, set := range map[string][]mesh.Endpoint{
			"among healthy ones": withdraw(endpoints("a", "b", "c"), "a"),
			"in panic":           sicken(withdraw(endpoints("a", "b", "c"), "a"), "b", "c"),
		} {
			t.Run(policy+"/"+name, func(t *testing.T) {
				b := open(t, balance.Config{Dial: newFleet().dial, Policy: policy, PanicThreshold: 50, HashOn: "header:X-Key"}, set)
				rt := b.Through(nil)
				for i := range 100 {
					tried := [][]string{nil, {"b"}, {"b", "c"}}[i%3]
					if got, err := sendKeyed(rt, strings.Repeat("k", i), tried...); err != nil || got == "a" {
						t.Fatalf("went to %q, %v; want b or c", got, err)
					}
				}
				if st := at(t, b, "a"); st.Usable || !st.Endpoint.Withdrawn {
					t.Errorf("status = %+v; want it withdrawn and not usable", st)
				}
			})
		}
	}
}

// Maintenance is no sign of trouble: it neither makes panic nor hides it.
func TestWithdrawnDoesNotCountForPanic(t *testing.T) {
	for name, tc := range map[string]struct {
		set   []mesh.Endpoint
		panic bool
	}{
		"one healthy of four, three withdrawn":               {withdraw(endpoints("a", "b", "c", "d"), "a", "b", "c"), false},
		"one of two, two withdrawn":                          {sicken(withdraw(endpoints("a", "b", "c", "d"), "a", "b"), "c"), false},
		"one of three, one withdrawn":                        {sicken(withdraw(endpoints("a", "b", "c", "d"), "a"), "b", "c"), true},
		"both withdrawn and unhealthy":                       {sicken(withdraw(endpoints("a", "b", "c", "d"), "a", "b"), "a", "b"), false},
		"none healthy, all withdrawn: nobody to panic about": {withdraw(endpoints("a"), "a"), false},
	} {
		t.Run(name, func(t *testing.T) {
			panicked := false
			open(t, balance.Config{Dial: newFleet().dial, PanicThreshold: 50,
				Events: balance.Events{Panic: func(on bool) { panicked = on }}}, tc.set)
			if panicked != tc.panic {
				t.Errorf("panic = %v; want %v", panicked, tc.panic)
			}
		})
	}
}

func TestAllWithdrawn(t *testing.T) {
	for name, tc := range map[string]struct {
		set  []mesh.Endpoint
		want string
	}{
		"all":              {withdraw(endpoints("a", "b"), "a", "b"), "all 2 endpoints are withdrawn by their operator, such as a: maintenance"},
		"and the rest ill": {sicken(withdraw(endpoints("a", "b"), "a"), "b"), "all 2 endpoints are unhealthy or withdrawn, such as a: maintenance"},
		"all ill":          {sicken(endpoints("a", "b"), "a", "b"), "all 2 endpoints are unhealthy, such as a: critical"},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, balance.Config{Dial: newFleet().dial}, tc.set)
			_, err := send(b.Through(nil))
			f := wantFault(t, err, mesh.NoEndpoints)
			if !strings.Contains(f.Error(), tc.want) {
				t.Errorf("fault = %v; want %q in it", f, tc.want)
			}
		})
	}
}

// What is in flight there ends there; who waits there goes elsewhere.
func TestWithdrawnLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial, MaxConnections: 1, MaxPending: 1}, endpoints("a"))
		rt := b.Through(nil)
		held := hold(t, rt)
		went := make(chan string)
		wait := func() {
			where, err := send(rt)
			if err != nil {
				t.Error(err)
			}
			went <- where
		}
		go wait()
		synctest.Wait()
		b.Update(withdraw(endpoints("a", "b"), "a"))
		if got := <-went; got != "b" {
			t.Errorf("who waited went to %q; want b", got)
		}
		if st := at(t, b, "a"); st.InFlight != 1 || st.Waiting != 0 {
			t.Errorf("%d in flight, %d waiting; want the one in flight left alone", st.InFlight, st.Waiting)
		}
		// Once it is back, requests wait there again, and get its place.
		b.Update(endpoints("a"))
		go wait()
		synctest.Wait()
		if st := at(t, b, "a"); st.Waiting != 1 {
			t.Errorf("%d waiting; want 1", st.Waiting)
		}
		held.End(mesh.Result{})
		if got := <-went; got != "a" {
			t.Errorf("who waited went to %q; want a", got)
		}
		// And it may leave while it is withdrawn.
		b.Update(withdraw(endpoints("a"), "a"))
		b.Update(nil)
	})
}

// Its return is a recovery: ejection ends, slow start begins.
func TestWithdrawnReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var events []string
		b := open(t, balance.Config{Dial: f.dial, SlowStart: time.Minute,
			Outlier: balance.Outlier{ConsecutiveFailures: 1, MaxEjectedPercent: 100, BaseEjection: time.Hour},
			Events: balance.Events{
				Ejected:  func(e mesh.Endpoint, _ time.Duration) { events = append(events, e.ID+" out") },
				Returned: func(e mesh.Endpoint) { events = append(events, e.ID+" back") },
			}}, endpoints("a", "b", "c"))
		pass(time.Second)
		rt := b.Through(nil)
		req, call := request(context.Background(), "b", "c")
		f.answer = refuse
		if _, err := rt.RoundTrip(req); err == nil {
			t.Fatal("no error; want a failure, to be ejected for")
		}
		f.answer = nil
		b.Update(withdraw(endpoints("a", "b", "c"), "a"))
		if st := at(t, b, "a"); st.Usable {
			t.Error("usable; want withdrawn")
		}
		pass(time.Second)
		b.Update(endpoints("a", "b", "c"))
		st := at(t, b, "a")
		if !st.Usable || !st.EjectedUntil.IsZero() || st.Warmth != 0.1 {
			t.Errorf("status = %+v; want it usable, not ejected, at a tenth", st)
		}
		if want := []string{"a out", "a back"}; strings.Join(events, " ") != strings.Join(want, " ") {
			t.Errorf("events = %q; want %q", events, want)
		}
		call.End(mesh.Result{})
	})
}

// A request in flight at a withdrawn endpoint may fail: that ejects nobody.
func TestWithdrawnIsNotEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		fail := make(chan struct{})
		b := open(t, balance.Config{Dial: f.dial, Outlier: balance.Outlier{ConsecutiveFailures: 1, MaxEjectedPercent: 100}}, endpoints("a", "b", "c"))
		done := make(chan error)
		f.answer = func(string, *http.Request) (*http.Response, error) {
			<-fail
			return nil, errRefused
		}
		go func() {
			_, err := send(b.Through(nil), "b", "c")
			done <- err
		}()
		synctest.Wait()
		b.Update(withdraw(endpoints("a", "b", "c"), "a"))
		close(fail)
		wantFault(t, <-done, mesh.Refused)
		if st := at(t, b, "a"); st.Failures != 1 || !st.EjectedUntil.IsZero() {
			t.Errorf("status = %+v; want a failure and no ejection", st)
		}
	})
}

// How many may be ejected is a share of those that are in service.
func TestWithdrawnIsNoShareOfEjections(t *testing.T) {
	set := withdraw(many(8), many(8)[0].ID, many(8)[1].ID, many(8)[2].ID, many(8)[3].ID)
	f := newFleet()
	f.answer = refuse
	b := open(t, balance.Config{Dial: f.dial, Policy: balance.RoundRobin,
		Outlier: balance.Outlier{ConsecutiveFailures: 1, MaxEjectedPercent: 50}}, set)
	for range 50 {
		_, _ = send(b.Through(nil)) // all of them fail
	}
	ejected := 0
	for _, st := range b.Status() {
		if !st.EjectedUntil.IsZero() {
			ejected++
		}
	}
	if ejected != 2 {
		t.Errorf("%d are ejected; want 2, half of the four in service", ejected)
	}
}

// An ejection that runs out while its endpoint is withdrawn is over in the status, too.
func TestWithdrawnStatusOfEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.answer = refuse
		b := open(t, balance.Config{Dial: f.dial, Outlier: balance.Outlier{ConsecutiveFailures: 1, BaseEjection: time.Second}}, endpoints("a", "b"))
		_, err := send(b.Through(nil), "b")
		wantFault(t, err, mesh.Refused)
		b.Update(withdraw(endpoints("a", "b"), "a"))
		if at(t, b, "a").EjectedUntil.IsZero() {
			t.Error("not ejected; want it to be, for a second")
		}
		pass(2 * time.Second)
		if st := at(t, b, "a"); !st.EjectedUntil.IsZero() || st.Usable {
			t.Errorf("status = %+v; want it withdrawn and no longer ejected", st)
		}
	})
}

func refuse(string, *http.Request) (*http.Response, error) { return nil, errRefused }
