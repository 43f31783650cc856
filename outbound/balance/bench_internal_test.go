package balance

import (
	"fmt"
	"runtime"
	"testing"

	"outrider/internal/mesh"
)

// sizes are those of a small service and of two large ones.
var sizes = []int{10, 1_000, 10_000}

func BenchmarkPick(b *testing.B) {
	for _, policy := range policies {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				balancer, q := picking(b, policy, n)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					q := q
					for q.keyed = true; pb.Next(); q.key += 0x9e3779b97f4a7c15 {
						if m, _ := balancer.pick(q); m == nil {
							b.Error("no pick")
						}
					}
				})
			})
		}
	}
}

// A joining and a leaving endpoint, by turns: what changes most in a ring.
func BenchmarkUpdate(b *testing.B) {
	for _, policy := range policies {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				balancer, _ := picking(b, policy, n)
				sets := [2][]mesh.Endpoint{numbered(n), numbered(n)[1:]}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					i++
					balancer.Update(sets[i%2])
				}
			})
		}
	}
}

// What endpoints cost in memory, and how long it takes from nothing to a first pick.
func BenchmarkServices(b *testing.B) {
	for _, policy := range policies {
		for _, tc := range []struct{ services, endpoints int }{{1_000, 10}, {1, 10_000}} {
			b.Run(fmt.Sprintf("%s/%dx%d", policy, tc.services, tc.endpoints), func(b *testing.B) {
				set := numbered(tc.endpoints)
				before := inUse()
				for b.Loop() {
					all := make([]*Balancer, tc.services)
					for i := range all {
						all[i] = firstPick(b, policy, set)
					}
					b.StopTimer()
					grown := float64(inUse()) - float64(before)
					b.ReportMetric(grown/float64(tc.services*tc.endpoints), "B/endpoint")
					runtime.KeepAlive(all)
					b.StartTimer()
				}
			})
		}
	}
}

func firstPick(b *testing.B, policy string, set []mesh.Endpoint) *Balancer {
	balancer, err := New(settings(policy))
	if err != nil {
		b.Fatal(err)
	}
	v := balancer.Through(&Breaker{}).(*view)
	balancer.Update(set)
	if m, _ := balancer.pick(query{view: v, key: 1, keyed: true}); m == nil {
		b.Fatal("no pick")
	}
	return balancer
}

// inUse returns the bytes in use.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
