package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

// names answers lookups as the test says.
type names struct {
	mu    sync.Mutex // protects all below
	asked []time.Time
	addrs []netip.Addr
	err   error
}

func (n *names) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if host != "orders" {
		return nil, errors.New("asked for " + host)
	}
	n.asked = append(n.asked, time.Now())
	return n.addrs, n.err
}

func (n *names) answer(err error, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs, n.err = nil, err
	for _, a := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(a))
	}
}

func (n *names) times() []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}

func address(t *testing.T, url string) discovery.Address {
	t.Helper()
	a, err := discovery.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const round = 1100 * time.Millisecond // a lookup of every second has come by then

func TestDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		var failures int
		var text bytes.Buffer
		n.answer(errors.New("no such host"))
		w := watch(t, &discovery.DNS{
			Address: address(t, "http://orders:3003"), Weight: 3, Zone: "z1", Every: time.Second, Lookup: n.lookup,
			Failed: func(error) { failures++ }, Log: slog.New(slog.NewTextHandler(&text, nil)),
		})
		defer w.stop(t)
		steps := []struct {
			name    string
			err     error
			addrs   []string
			updates int
			want    []string
		}{
			{"an unresolvable name is an empty set, once", errors.New("no such host"), nil, 1, []string{}},
			{"it is tried again", nil, []string{"10.0.0.2", "10.0.0.1"}, 2, []string{"http://10.0.0.1:3003", "http://10.0.0.2:3003"}},
			{"another order is no change", nil, []string{"10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"}, 2, []string{"http://10.0.0.1:3003", "http://10.0.0.2:3003"}},
			{"an error keeps the set", errors.New("timeout"), nil, 2, []string{"http://10.0.0.1:3003", "http://10.0.0.2:3003"}},
			{"no addresses keep the set", nil, nil, 2, []string{"http://10.0.0.1:3003", "http://10.0.0.2:3003"}},
			{"the same after an error is no change", nil, []string{"10.0.0.1", "10.0.0.2"}, 2, []string{"http://10.0.0.1:3003", "http://10.0.0.2:3003"}},
			{"a change", nil, []string{"10.0.0.2", "2001:db8::1"}, 3, []string{"http://10.0.0.2:3003", "http://[2001:db8::1]:3003"}},
		}
		for _, s := range steps {
			n.answer(s.err, s.addrs...)
			pass(round)
			if got := ids(w.last()); w.updates() != s.updates || !slices.Equal(got, s.want) {
				t.Errorf("%s: got %v in %d updates, want %v in %d", s.name, got, w.updates(), s.want, s.updates)
			}
		}
		want := mesh.Endpoint{ID: "http://10.0.0.2:3003", Scheme: "http", Address: "10.0.0.2:3003", Host: "orders:3003", Weight: 3, Zone: "z1"}
		if got := w.last()[0]; got.ID != want.ID || got.Address != want.Address || got.Host != want.Host ||
			got.Scheme != want.Scheme || got.Weight != want.Weight || got.Zone != want.Zone || got.Unhealthy {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if failures < 4 {
			t.Errorf("%d failures were told, want one for each failed lookup", failures)
		}
		if warned, informed := strings.Count(text.String(), "WARN"), strings.Count(text.String(), "INFO"); warned != 2 || informed != 2 {
			t.Errorf("logged %d warnings and %d recoveries, want 2 of each:\n%s", warned, informed, &text)
		}
	})
}

func TestDNSOfAnIPAsksNobody(t *testing.T) {
	tests := []struct{ url, id string }{
		{"http://127.0.0.1:80", "http://127.0.0.1:80"},
		{"https://[2001:DB8::1]", "https://[2001:db8::1]:443"},
		{"h2c://[::ffff:10.0.0.1]:1", "h2c://10.0.0.1:1"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			n := &names{}
			w := watch(t, &discovery.DNS{Address: address(t, tt.url), Lookup: n.lookup})
			defer w.stop(t)
			pass(time.Hour)
			if got := ids(w.last()); w.updates() != 1 || !slices.Equal(got, []string{tt.id}) {
				t.Errorf("%s: got %v in %d updates", tt.url, got, w.updates())
			}
			if len(n.times()) != 0 {
				t.Errorf("%s: was looked up", tt.url)
			}
		})
	}
}

func TestDNSJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		n.answer(nil, "10.0.0.1")
		w := watch(t, &discovery.DNS{Address: address(t, "http://orders"), Lookup: n.lookup})
		defer w.stop(t)
		pass(10 * time.Minute)
		times := n.times()
		pauses := map[time.Duration]bool{}
		for i := 1; i < len(times); i++ {
			pause := times[i].Sub(times[i-1])
			pauses[pause] = true
			if pause < 4500*time.Millisecond || pause > 5500*time.Millisecond {
				t.Errorf("%v between two lookups, want 5s give or take 10 %%", pause)
			}
		}
		if len(pauses) < 2 {
			t.Errorf("%d lookups, all with the same pause", len(times))
		}
	})
}

func TestDNSLookupTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed []error
		w := watch(t, &discovery.DNS{
			Address: address(t, "http://orders"),
			Timeout: 3 * time.Second,
			Lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			Failed: func(err error) { failed = append(failed, err) },
		})
		pass(3 * time.Second)
		if len(failed) != 1 || !errors.Is(failed[0], context.DeadlineExceeded) || w.updates() != 1 || len(w.last()) != 0 {
			t.Errorf("failures %v, sets %v", failed, w.sets)
		}
		pass(6 * time.Second) // into the second lookup
		w.stop(t)
		if len(failed) != 1 {
			t.Errorf("the end of the Watch was told as a failure: %v", failed)
		}
	})
}

func TestZeroDNSIsRefused(t *testing.T) {
	if err := new(discovery.DNS).Watch(t.Context(), "orders", nil); err == nil || !strings.Contains(err.Error(), "Address") {
		t.Errorf("got %v", err)
	}
}

func TestDNSAsksTheSystem(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sets := make(chan []mesh.Endpoint, 1)
	done := make(chan error, 1)
	go func() {
		d := &discovery.DNS{Address: discovery.Address{Scheme: "http", Host: "localhost", Port: "80", Authority: "localhost"}}
		done <- d.Watch(ctx, "local", func(set []mesh.Endpoint) { sets <- set })
	}()
	set := <-sets
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch returned %v", err)
	}
	for _, e := range set {
		if e.ID == "http://127.0.0.1:80" || e.ID == "http://[::1]:80" {
			return
		}
	}
	t.Errorf("localhost is %v", ids(set))
}
