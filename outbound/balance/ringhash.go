package balance

import "math"

// ringHash picks by a request's key: the same endpoint for the same key, for as long as
// that one is usable and has not too much to do. It is consistent hashing with bounded
// loads (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2018).
//
// Endpoints have points on a ring, by their weight; a key belongs to the endpoint of
// the first point that follows its hash. Whoever has boundFactor times the load that is
// its share gets no more, and the next endpoint on the ring does. Likewise an endpoint
// that is tried, full or behind an open breaker is passed over in the ring's order, so
// that a key's second choice is as steady as its first.
//
// When an endpoint joins, only keys that now belong to it move; when one leaves, only
// its own. The ring is the same in all proxies that know the same endpoints.
type ringHash struct {
	rand func() uint64
	last *ringOrder // what was arranged last: most updates change nothing of it
}

const (
	boundFactor = 1.25
	// boundFloor is how many requests an endpoint of average weight may always have:
	// nobody is overloaded with so few, and one client's parallel requests stay together.
	boundFloor = 8
	// boundSteps is after how many points without an endpoint below its bound the first
	// one is taken nevertheless. The paper expects 2/ε² = 32 at most.
	boundSteps = 256
)

// ringOrder is the ring of one snapshot.
type ringOrder struct {
	*ring
	members []*member
	weight  float64 // of all members
	unkeyed p2c
}

func (r *ringHash) arrange(members, present []*member) picker {
	o := &ringOrder{members: members, unkeyed: p2c{r.rand, members}}
	for _, m := range members {
		o.weight += m.weight
	}
	unit := pointsPerWeight(present)
	if r.last != nil && r.last.unit == unit && sameRing(r.last.members, members) {
		o.ring = r.last.ring
	} else {
		o.ring = newRing(members, unit)
	}
	r.last = o
	return o
}

// sameRing reports whether a and b have the same places on a ring.
func sameRing(a, b []*member) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].endpoint != b[i].endpoint || a[i].weight != b[i].weight {
			return false
		}
	}
	return true
}

func (r *ringOrder) pick(q query) *member {
	if !q.keyed {
		return r.unkeyed.pick(q)
	}
	perWeight := r.bound(q.from.inFlight())
	var full, cold *member // the first that is over its bound, or in slow start
	start := r.find(q.key)
	for i := range len(r.points) {
		if i >= boundSteps && (full != nil || cold != nil) {
			break
		}
		m := r.members[r.owner(start+i)]
		switch {
		case !q.allows(m):
		case q.slowed && r.yields(m, q):
			if cold == nil {
				cold = m
			}
		case m.place.load()+1 > math.Ceil(perWeight*m.weight):
			if full == nil {
				full = m
			}
		default:
			return m
		}
	}
	if full != nil {
		return full
	}
	return cold
}

// bound returns how many requests an endpoint may have for each unit of its weight,
// where so many are in flight at all of them.
func (r *ringOrder) bound(inFlight int64) float64 {
	floor := boundFloor * float64(len(r.members))
	return max(boundFactor*float64(inFlight+1), floor) / r.weight
}

// yields reports whether m in its slow start leaves the key to the next endpoint. The
// key decides, not chance, so that each moves to the newcomer once and stays.
func (r *ringOrder) yields(m *member, q query) bool {
	return fraction(scramble(q.key^m.seed)) >= q.warmth(m)
}
