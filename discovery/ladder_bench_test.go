package discovery_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

// feed passes sets as fast as the benchmark asks for.
type feed struct {
	ready  chan struct{}
	update func([]mesh.Endpoint)
}

func (f *feed) Watch(ctx context.Context, _ mesh.Service, update func([]mesh.Endpoint)) error {
	f.update = update
	close(f.ready)
	<-ctx.Done()
	return context.Cause(ctx)
}

// climbing starts a ladder for a benchmark.
func climbing(b *testing.B) *feed {
	b.Helper()
	f := &feed{ready: make(chan struct{})}
	l := &discovery.Ladder{Inner: f, Probe: func(context.Context, mesh.Endpoint) error { return nil }}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- l.Watch(ctx, "orders", func([]mesh.Endpoint) {}) }()
	b.Cleanup(func() {
		cancel()
		<-done
	})
	<-f.ready
	return f
}

// fleet returns n endpoints as a catalogue would have them.
func fleet(n int) []mesh.Endpoint {
	set := make([]mesh.Endpoint, n)
	for i := range set {
		set[i] = mesh.Endpoint{
			ID: fmt.Sprintf("node-%d/orders-%d", i, i), Scheme: "http", Weight: 1, Zone: "z1",
			Address: fmt.Sprintf("10.%d.%d.%d:3003", i>>16, i>>8&255, i&255), Host: "orders",
			Meta: map[string]string{"version": "1.2.3"},
		}
	}
	return set
}

// BenchmarkLadderUpdate is the cost of an answer: with one endpoint's weight changed,
// with one replaced, and of a wipe with the return from it.
func BenchmarkLadderUpdate(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		set, other := fleet(n), fleet(n)
		other[n/2].Weight = 2
		replaced := fleet(n + 1)
		replaced[n/2], replaced = replaced[n], replaced[:n]
		for _, c := range []struct {
			name string
			a, b []mesh.Endpoint
		}{{"changed", set, other}, {"replaced", set, replaced}, {"wiped", set, nil}} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				f := climbing(b)
				f.update(slices.Clone(c.a))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i%2 == 0 {
						f.update(slices.Clone(c.b)) // the set is the ladder's to keep; the copy is in the figure
					} else {
						f.update(slices.Clone(c.a))
					}
				}
			})
		}
	}
}

func BenchmarkStore(b *testing.B) {
	set := fleet(10_000)
	s, err := discovery.OpenStore(filepath.Join(b.TempDir(), "snapshots"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			if err := s.Save("orders", set, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := s.Load("orders"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Asked at each scrape, for each service.
func TestStateIsCheap(t *testing.T) {
	l := &discovery.Ladder{}
	if n := testing.AllocsPerRun(100, func() { _ = l.State() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
