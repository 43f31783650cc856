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

// A burst after a pause does not go to whoever has rested longest: its cost went down
// for want of news, not for being fast.
func TestP2CBurstAfterRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.answer = steady
		b := open(t, balance.Config{Dial: f.dial, Rand: seeded()}, endpoints("a", "b"))
		rt := b.Through(nil)
		where(t, rt, "", "b")
		pass(time.Minute)
		where(t, rt, "", "a")
		f.answer = nil // no time passes: nothing is learned
		for range 100 {
			defer holdUnanswered(t, f, rt)()
		}
		for _, name := range []string{"a", "b"} {
			within(t, name, at(t, b, name).InFlight, 50, 0.1)
		}
	})
}

// One that answers nobody does not draw ever more as its cost decays.
func TestP2CHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.answer = steady
		b := open(t, balance.Config{Dial: f.dial}, endpoints("a", "b"))
		rt := b.Through(nil)
		where(t, rt, "", "b")
		where(t, rt, "", "a")
		ctx, end := context.WithCancel(t.Context())
		defer func() { end(); synctest.Wait() }()
		f.answer = func(address string, req *http.Request) (*http.Response, error) {
			if address == "a" {
				<-ctx.Done()
				return nil, &mesh.Fault{Kind: mesh.ClientGone}
			}
			return steady(address, req)
		}
		for range 6000 { // a minute's
			go func() { _, _ = send(rt) }()
			pass(10 * time.Millisecond)
		}
		if got := at(t, b, "a").InFlight; got > 5 {
			t.Errorf("%d requests hang; want a few", got)
		}
	})
}

// A stream that lasts does not keep its endpoint from being tried again.
func TestP2CStreamIsNoBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		slow := 10 * time.Second
		f.answer = func(address string, _ *http.Request) (*http.Response, error) {
			if pass(10 * time.Millisecond); address == "a" {
				pass(slow)
			}
			return status(200), nil
		}
		b := open(t, balance.Config{Dial: f.dial}, endpoints("a", "b"))
		rt := b.Through(nil)
		req, stream := request(t.Context(), "b")
		if resp, err := rt.RoundTrip(req); err != nil {
			t.Fatal(err)
		} else {
			_ = resp.Body.Close()
		}
		slow = 0
		for range 3000 { // two minutes'
			for range 3 {
				go func() { _, _ = send(rt) }()
			}
			pass(40 * time.Millisecond)
		}
		if got := f.get(f.served, "a"); got < 500 {
			t.Errorf("it got %d of 9000; want it in use again", got)
		}
		stream.End(mesh.Result{})
	})
}

// holdUnanswered has a request that stays unanswered until the function is called.
func holdUnanswered(t *testing.T, f *fleet, rt http.RoundTripper) (end func()) {
	t.Helper()
	ready, done := make(chan struct{}), make(chan struct{})
	f.answer = func(string, *http.Request) (*http.Response, error) {
		<-ready
		return status(200), nil
	}
	go func() {
		defer close(done)
		if _, err := send(rt); err != nil {
			t.Error(err)
		}
	}()
	synctest.Wait()
	return func() { close(ready); <-done }
}
