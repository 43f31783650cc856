package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"outrider/internal/mesh"
)

// ringOver returns a ring_hash Balancer over set, and what it picks for a key.
func ringOver(t testing.TB, set []mesh.Endpoint) (*Balancer, func(key uint64) string) {
	t.Helper()
	b, err := New(Config{Policy: RingHash, Dial: func(mesh.Endpoint) Transport { return silent{} }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.Update(set)
	v := b.Through(nil).(*view)
	return b, func(key uint64) string {
		m, _ := b.pick(query{view: v, key: key, keyed: true})
		return m.info.Address
	}
}

// owners returns where each key goes.
func owners(pick func(uint64) string, keys []uint64) []string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = pick(key)
	}
	return all
}

func keys(random *rand.Rand, n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = random.Uint64()
	}
	return all
}

// Whoever joins takes keys and nobody else gets any; of whoever leaves or falls ill the
// keys move, and no other.
func TestRingMovesLittle(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			set := numbered(2 + random.IntN(60))
			equal := seed%2 == 0 // with equal weights the unit never changes
			for i := range set {
				if set[i].Weight = 3; !equal {
					set[i].Weight = 12 + random.IntN(4) // whose mean no one endpoint moves past a power of two
				}
			}
			all := keys(random, 2000)
			b, pick := ringOver(t, set)
			before := owners(pick, all)
			odd := set[random.IntN(len(set))]

			for name, without := range map[string]func(){
				"leaves": func() {
					b.Update(slices.DeleteFunc(slices.Clone(set), func(e mesh.Endpoint) bool { return e.ID == odd.ID }))
				},
				"falls ill": func() {
					ill := slices.Clone(set)
					ill[slices.IndexFunc(ill, func(e mesh.Endpoint) bool { return e.ID == odd.ID })].Unhealthy = true
					b.Update(ill)
				},
			} {
				without()
				moved := 0
				for i, now := range owners(pick, all) {
					switch {
					case now == odd.Address:
						t.Fatalf("%s: a key is still there", name)
					case now != before[i] && before[i] != odd.Address:
						t.Fatalf("%s: a key moved from %s to %s; want only those of %s to move", name, before[i], now, odd.Address)
					case now != before[i]:
						moved++
					}
				}
				if fair := float64(len(all)) / float64(len(set)); float64(moved) > 2.5*fair+20 {
					t.Errorf("%s: %d keys moved; want about %.0f", name, moved, fair)
				}
				// In another order, as another proxy may hear of them: the order says nothing.
				shuffled := slices.Clone(set)
				random.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
				b.Update(shuffled)
				if !slices.Equal(owners(pick, all), before) {
					t.Fatalf("%s and returns: keys are elsewhere; want them where they were", name)
				}
			}
		})
	}
}

func TestRingSpreadsByWeight(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	all := keys(random, 60_000)
	for name, weights := range map[string][]int{
		"equal":   slices.Repeat([]int{1}, 10),
		"large":   slices.Repeat([]int{1000}, 10),
		"unequal": {4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1},
		"many":    slices.Repeat([]int{1}, 3000),
	} {
		t.Run(name, func(t *testing.T) {
			set := numbered(len(weights))
			sum := 0
			for i, w := range weights {
				set[i].Weight = w
				sum += w
			}
			b, pick := ringOver(t, set)
			got := map[string]int{}
			for _, where := range owners(pick, all) {
				got[where]++
			}
			points := len(b.snapshot.Load().near.picker.(*ringOrder).points)
			for i, e := range set {
				want := float64(len(all)) * float64(weights[i]) / float64(sum)
				// The share's standard deviation is its mean over the root of the points it has.
				mine := float64(points) * float64(weights[i]) / float64(sum)
				if off := math.Abs(float64(got[e.Address]) - want); off > 5*(want/math.Sqrt(mine)+math.Sqrt(want)) {
					t.Errorf("%s of weight %d has %d keys; want about %.0f", e.Address, weights[i], got[e.Address], want)
				}
			}
		})
	}
}

// A ring has neither too few points nor too many, whatever the weights and the number.
func TestRingIsBounded(t *testing.T) {
	for _, tc := range []struct{ n, weight, least, most int }{
		{1, 1, 80, 160}, {10, 1, 800, 1600}, {10, maxWeight, 800, 1600}, {1000, 7, 80_000, 160_000},
		{10_000, 1, 65_536, mostPoints}, {10_000, 100, 65_536, mostPoints}, {150_000, 3, 150_000, 150_000},
	} {
		members := make([]*member, tc.n)
		for i := range members {
			members[i] = &member{endpoint: &endpoint{seed: scramble(uint64(i))}, weight: float64(tc.weight)}
		}
		points := newRing(members, pointsPerWeight(members)).points
		if len(points) < tc.least || len(points) > tc.most {
			t.Errorf("%d endpoints of weight %d: %d points; want from %d to %d", tc.n, tc.weight, len(points), tc.least, tc.most)
		}
		if !slices.IsSortedFunc(points, func(a, b point) int {
			if a.before(b) {
				return -1
			}
			return 1
		}) {
			t.Errorf("%d endpoints: the points are not in order", tc.n)
		}
	}
}

// find is checked against a search that is too simple to be wrong.
func TestRingFind(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for _, n := range []int{1, 2, 3, 50} {
		b, _ := ringOver(t, numbered(n))
		r := b.snapshot.Load().near.picker.(*ringOrder).ring
		some := append(keys(random, 1000), 0, 1, math.MaxUint64, r.points[0].hash, r.points[len(r.points)-1].hash+1)
		for _, key := range some {
			want := slices.IndexFunc(r.points, func(p point) bool { return p.hash >= key })
			if want < 0 {
				want = len(r.points)
			}
			if got := r.find(key); got != want {
				t.Fatalf("%d endpoints: find(%x) = %d; want %d", n, key, got, want)
			}
		}
		if got, want := r.owner(len(r.points)), r.points[0].member; got != want {
			t.Errorf("after the last comes %d; want the first, %d", got, want)
		}
	}
}

// Keys that all belong together fill one endpoint up to its bound, then the next one.
func TestRingBoundsLoad(t *testing.T) {
	for name, weights := range map[string][]int{
		"equal": {1, 1, 1, 1, 1}, "unequal": {5, 1, 3, 1, 2}, "one": {4},
	} {
		t.Run(name, func(t *testing.T) {
			set := numbered(len(weights))
			sum := 0
			for i, w := range weights {
				set[i].Weight = w
				sum += w
			}
			b, _ := ringOver(t, set)
			v := b.Through(nil).(*view)
			const requests = 1000
			for range requests {
				m, _ := b.pick(query{view: v, key: 42, keyed: true})
				m.place.enter()
			}
			total := int64(0)
			for i, m := range b.snapshot.Load().all {
				load := m.place.inFlight.Load()
				total += load
				bound := math.Ceil(boundFactor * requests * float64(weights[i]) / float64(sum))
				if float64(load) > bound && len(set) > 1 {
					t.Errorf("endpoint of weight %d has %d in flight; want at most %.0f", weights[i], load, bound)
				}
			}
			if counted := b.flight[local].Load() + b.flight[remote].Load(); total != requests || counted != requests {
				t.Errorf("%d in flight, counted as %d; want %d", total, counted, requests)
			}
			for _, m := range b.snapshot.Load().all {
				for m.place.inFlight.Load() > 0 {
					m.release()
				}
			}
			if counted := b.flight[local].Load() + b.flight[remote].Load(); counted != 0 {
				t.Errorf("%d counted as in flight after the last one; want none", counted)
			}
		})
	}
}

// An update that leaves the ring as it is does not build it anew.
func TestRingIsKept(t *testing.T) {
	set := numbered(10)
	b, _ := ringOver(t, set)
	ringOf := func() *ring { return b.snapshot.Load().near.picker.(*ringOrder).ring }
	was := ringOf()
	noted := slices.Clone(set)
	noted[3].HealthNote = "slow"
	b.Update(noted)
	if ringOf() != was {
		t.Error("the ring is another one after a new note; want it kept")
	}
	heavier := slices.Clone(set)
	heavier[3].Weight++
	b.Update(heavier)
	if ringOf() == was {
		t.Error("the ring is the same after a new weight; want another")
	}
}
