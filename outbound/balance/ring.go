package balance

import (
	"math"
	"math/bits"
)

// ring is a circle of 64-bit hashes with points that belong to members. Which ones an
// endpoint has depends on its address, its weight and the unit alone.
type ring struct {
	unit   float64
	points []point  // by hash
	starts []uint32 // of each bucket of hashes, equal parts of the circle, where its points begin
	shift  int      // of a hash, to its bucket
}

type point struct {
	hash   uint64
	member uint32 // its place among the members
}

const (
	mostPerMember = 160     // points of an average member
	mostPoints    = 1 << 17 // of a ring, unless it has more members
)

// pointsPerWeight returns how many points a unit of weight has: some 80 to 160 for the
// average endpoint, and fewer where those would be too many in all. It is a power of
// two, so that it hardly ever changes when an endpoint joins or leaves: when it does,
// half of the keys move. Which of the present ones are usable does not matter.
func pointsPerWeight(present []*member) float64 {
	weight := 0.0
	for _, m := range present {
		weight += m.weight
	}
	if weight == 0 {
		return 1
	}
	n := float64(len(present))
	most := min(mostPerMember, max(1, mostPoints/n))
	return math.Exp2(math.Floor(math.Log2(most * n / weight)))
}

// newRing returns the ring of members.
func newRing(members []*member, unit float64) *ring {
	r := &ring{unit: unit}
	counts := make([]int, len(members))
	total := 0
	for i, m := range members {
		counts[i] = max(1, int(math.Round(m.weight*unit)))
		total += counts[i]
	}
	// Hashes are even, so with about as many buckets as points each has one or two: they
	// are sorted, and found, in constant time each.
	width := bits.Len(uint(total))
	r.shift = 64 - width
	r.starts = make([]uint32, 1<<width+1)
	each(members, counts, func(_ int, hash uint64) { r.starts[hash>>r.shift+1]++ })
	for i := 1; i < len(r.starts); i++ {
		r.starts[i] += r.starts[i-1]
	}
	r.points = make([]point, total)
	each(members, counts, func(i int, hash uint64) {
		// The bucket's start serves as the place of its next point, and is put right below.
		at := &r.starts[hash>>r.shift]
		r.points[*at] = point{hash, uint32(i)}
		*at++
	})
	copy(r.starts[1:], r.starts)
	r.starts[0] = 0
	for i := 1; i < total; i++ {
		for k := i; k > 0 && r.points[k].before(r.points[k-1]); k-- {
			r.points[k], r.points[k-1] = r.points[k-1], r.points[k]
		}
	}
	return r
}

// each calls f with the hash of every point. A member with more weight has those of one
// with less, and others.
func each(members []*member, counts []int, f func(i int, hash uint64)) {
	const step = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, odd
	for i, m := range members {
		hash := m.seed
		for range counts[i] {
			hash += step
			f(i, scramble(hash))
		}
	}
}

func (p point) before(o point) bool { return p.hash < o.hash }

// find returns the first point at or after hash; the circle's last is followed by its
// first.
func (r *ring) find(hash uint64) int {
	at := int(r.starts[hash>>r.shift])
	for at < len(r.points) && r.points[at].hash < hash {
		at++
	}
	return at
}

// owner returns the member of point i, counted on around the circle.
func (r *ring) owner(i int) uint32 {
	if i >= len(r.points) {
		i -= len(r.points)
	}
	return r.points[i].member
}

// scramble spreads x over all 64 bits, one to one. It is the finalizer of splitmix64
// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
