package balance_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

func TestOverflow(t *testing.T) {
	b := open(t, balance.Config{Dial: newFleet().dial, MaxConnections: 2}, endpoints("a", "b"))
	rt := b.Through(nil)
	var calls []*mesh.Call
	for range 4 { // whatever the policy would rather have: the other one has room
		calls = append(calls, hold(t, rt))
	}
	for _, name := range []string{"a", "b"} {
		if got := at(t, b, name).InFlight; got != 2 {
			t.Errorf("%s has %d in flight; want 2", name, got)
		}
	}
	req, call := request(context.Background())
	_, err := rt.RoundTrip(req)
	if f := wantFault(t, err, mesh.Overflow); !f.Retryable {
		t.Error("an overflow is not retryable; want it to be")
	}
	if got := call.Attempts[0].Endpoint; got != "" {
		t.Errorf("endpoint = %s; want none, as none was tried", got)
	}
	calls[0].End(mesh.Result{})
	if _, err := send(rt); err != nil {
		t.Errorf("a place is free again: %v", err)
	}
	for _, call := range calls {
		call.End(mesh.Result{})
	}
}

// Rather a tried endpoint's queue than nothing, but an untried one's before that.
func TestOverflowAndTried(t *testing.T) {
	for name, tc := range map[string]struct {
		pending int
		busy    int // requests held, the first of them at b
		want    string
	}{
		"the other has room":      {0, 0, "b"},
		"the other is full":       {0, 1, "a"},
		"the other lets one wait": {1, 1, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open(t, balance.Config{Dial: newFleet().dial, MaxConnections: 1, MaxPending: tc.pending}, endpoints("a", "b"))
				rt := b.Through(nil)
				held := make([]*mesh.Call, tc.busy)
				for i := range held {
					req, call := request(context.Background(), "a")
					if resp, err := rt.RoundTrip(req); err != nil {
						t.Fatal(err)
					} else {
						_ = resp.Body.Close()
					}
					held[i] = call
				}
				got := make(chan string)
				go func() {
					where, _ := send(rt, "a")
					got <- where
				}()
				synctest.Wait()
				for _, call := range held {
					call.End(mesh.Result{})
				}
				if where := <-got; where != tc.want {
					t.Errorf("went to %q; want %s", where, tc.want)
				}
			})
		})
	}
}

func TestWaitIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial, MaxConnections: 1, MaxPending: 2}, endpoints("a"))
		rt := b.Through(nil)
		first := hold(t, rt)
		served := make(chan int)
		calls := make([]*mesh.Call, 2)
		for i := range calls {
			var req *http.Request
			req, calls[i] = request(t.Context())
			go func() {
				if resp, err := rt.RoundTrip(req); err != nil {
					t.Error(err)
				} else {
					_ = resp.Body.Close()
				}
				served <- i
			}()
			synctest.Wait()
		}
		if st := at(t, b, "a"); st.InFlight != 1 || st.Waiting != 2 {
			t.Errorf("%d in flight, %d waiting; want 1, 2", st.InFlight, st.Waiting)
		}
		_, err := send(rt)
		wantFault(t, err, mesh.Overflow) // a third may not wait

		pass(time.Second)
		first.End(mesh.Result{})
		for want := range calls {
			if got := <-served; got != want {
				t.Errorf("request %d was served; want %d", got, want)
			}
			pass(time.Second)
			calls[want].End(mesh.Result{})
		}
		if got := calls[1].Attempts[0].Duration; got != 2*time.Second {
			t.Errorf("the attempt took %s; want its wait of 2s in it", got)
		}
		if st := at(t, b, "a"); st.InFlight != 0 || st.Waiting != 0 || st.Latency != 0 {
			t.Errorf("status = %+v; want nobody there, and no wait in the latency", st)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	type ending struct {
		call    *mesh.Call
		hangUp  func() // the client's connection ends
		balance *balance.Balancer
	}
	for name, tc := range map[string]struct {
		end  func(e ending)
		want mesh.Kind
		try  bool // the attempt's own time is limited
	}{
		"deadline": {func(e ending) {
			e.call.SetDeadline(time.Now().Add(time.Second), &mesh.Fault{Kind: mesh.ResponseTimeout})
		}, mesh.ResponseTimeout, false},
		"cancel":          {func(e ending) { e.call.Cancel(&mesh.Fault{Kind: mesh.Draining}) }, mesh.Draining, false},
		"client gone":     {func(e ending) { e.hangUp() }, mesh.ClientGone, false},
		"per-try timeout": {func(ending) {}, mesh.PerTryTimeout, true},
		"endpoint left":   {func(e ending) { e.balance.Update(nil) }, mesh.NoEndpoints, false},
		"close":           {func(e ending) { e.balance.Close() }, mesh.NoEndpoints, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				b := open(t, balance.Config{Dial: f.dial, MaxConnections: 1, MaxPending: 1}, endpoints("a"))
				rt := b.Through(&guide)
				held := hold(t, rt)
				connection, hangUp := context.WithCancel(t.Context())
				req, call := request(connection)
				if tc.try {
					call.Try(time.Now().Add(time.Second), &mesh.Fault{Kind: mesh.PerTryTimeout})
				}
				done := make(chan error)
				go func() {
					_, err := rt.RoundTrip(req)
					done <- err
				}()
				synctest.Wait()
				tc.end(ending{call, hangUp, b})
				wantFault(t, <-done, tc.want)
				call.End(mesh.Result{})
				held.End(mesh.Result{})
				if got := f.get(f.served, "a"); got != 1 {
					t.Errorf("the endpoint was sent %d requests; want only the one that it had", got)
				}
				b.Update(endpoints("a"))
				if st := b.Status(); len(st) == 1 && (st[0].Waiting != 0 || st[0].InFlight != 0 || st[0].Failures != 0) {
					t.Errorf("status = %+v; want no trace of the wait", st[0])
				}
				hangUp()
			})
		})
	}
}

// Who waits for an endpoint that leaves goes to another one.
func TestWaitMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial, MaxConnections: 1, MaxPending: 5}, endpoints("a"))
		rt := b.Through(nil)
		held := hold(t, rt)
		went := make(chan string)
		go func() {
			where, err := send(rt)
			if err != nil {
				t.Error(err)
			}
			went <- where
		}()
		synctest.Wait()
		b.Update(endpoints("b"))
		if got := <-went; got != "b" {
			t.Errorf("went to %q; want b", got)
		}
		held.End(mesh.Result{})
	})
}

// The place comes and the client goes at the same moment: the place is not lost.
func TestWaitEndsBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial, MaxConnections: 1, MaxPending: 1}, endpoints("a"))
		rt := b.Through(nil)
		for range 200 {
			held := hold(t, rt)
			req, call := request(t.Context())
			done := make(chan error)
			go func() {
				_, err := rt.RoundTrip(req)
				done <- err
			}()
			synctest.Wait()
			held.End(mesh.Result{})
			call.Cancel(&mesh.Fault{Kind: mesh.ClientGone})
			if err := <-done; err != nil {
				wantFault(t, err, mesh.ClientGone)
			}
			call.End(mesh.Result{})
			if st := at(t, b, "a"); st.InFlight != 0 || st.Waiting != 0 {
				t.Fatalf("%d in flight, %d waiting; want none", st.InFlight, st.Waiting)
			}
		}
	})
}

// A breaker that opens while requests wait behind it stops them.
func TestWaitEndsAtAnOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		fail := make(chan struct{})
		f.answer = func(string, *http.Request) (*http.Response, error) {
			<-fail
			return nil, errRefused
		}
		b := open(t, balance.Config{Dial: f.dial, MaxConnections: 1, MaxPending: 10}, endpoints("a"))
		rt := b.Through(&balance.Breaker{FailureThreshold: 1})
		done := make(chan error)
		for range 5 {
			go func() {
				_, err := send(rt)
				done <- err
			}()
		}
		synctest.Wait()
		close(fail)
		wantFault(t, <-done, mesh.Refused)
		for range 4 {
			wantFault(t, <-done, mesh.BreakerOpen)
		}
		if got := f.get(f.served, "a"); got != 1 {
			t.Errorf("the endpoint was sent %d requests; want 1", got)
		}
	})
}
