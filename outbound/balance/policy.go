package balance

import (
	"fmt"
	"math/bits"
	"time"

	"outrider/internal/mesh"
)

// policy says which endpoint is next. What it keeps between snapshots is its own.
type policy interface {
	// arrange readies the members for picking. It is called once for each snapshot, with
	// Balancer.mu held. Present are all endpoints of the service that are not withdrawn.
	arrange(members, present []*member) picker
}

// picker picks from the members that a policy has arranged. It is safe for concurrent
// use.
type picker interface {
	// pick returns a member that q allows, nil only when there is none. It allocates
	// nothing.
	pick(q query) *member
}

func newPolicy(name string, rand func() uint64) (policy, error) {
	switch name {
	case "", P2C:
		return p2c{rand: rand}, nil
	case RoundRobin:
		return &rotation{rand: rand}, nil
	case Weighted:
		return &rotation{rand: rand, weighted: true}, nil
	case LeastConnections:
		return leastConnections{rand: rand}, nil
	case RingHash:
		return &ringHash{rand: rand}, nil
	default:
		return nil, fmt.Errorf("balance: unknown policy %q; known are %s, %s, %s, %s and %s",
			name, P2C, RoundRobin, Weighted, LeastConnections, RingHash)
	}
}

// query is what one request asks of an endpoint.
type query struct {
	view   *view
	now    time.Duration
	tried  []mesh.Attempt // earlier attempts of the call
	key    uint64         // the request's, hashed: of its header nothing is kept
	keyed  bool           // it has a key
	from   *group         // that is picked from
	slowed bool           // who is in slow start is held back
	again  bool           // an endpoint tried before will do
	full   bool           // one without a free place will do, if the request may wait there
}

// pick returns the next endpoint for q; full says that the request has to wait there.
func (b *Balancer) pick(q query) (m *member, full bool) {
	s := b.current(q.now)
	q.slowed = s.slowed
	groups := s.nearest(q)
	if m, full = pickFrom(q, groups[:]...); m != nil || len(q.tried) == 0 {
		return m, full
	}
	// All that are usable have been tried. One that is only ejected may serve after all,
	// where another try at what has just failed will hardly.
	if m, full = pickFrom(q, &s.spare); m != nil {
		return m, full
	}
	q.again = true
	return pickFrom(q, groups[:]...)
}

// pickFrom prefers an endpoint with a free place: to wait elsewhere is better than to
// repeat a failure, and not to wait is better still. It prefers the first group, but
// not to a wait.
func pickFrom(q query, groups ...*group) (m *member, full bool) {
	for _, q.full = range [...]bool{false, true} {
		for _, q.from = range groups {
			if len(q.from.members) == 0 {
				continue
			}
			if m = q.from.pick(q); m != nil {
				return m, q.full
			}
		}
	}
	return nil, false
}

// allows reports whether the request may go to m.
func (q query) allows(m *member) bool {
	if q.full {
		if m.place.free() || !m.place.queueable() {
			return false
		}
	} else if !m.place.free() {
		return false
	}
	if !q.again && q.hasTried(m.info.Address) {
		return false
	}
	return m.circuit(q.view).admits(q.now)
}

func (q query) hasTried(address string) bool {
	for i := range q.tried {
		if q.tried[i].Endpoint == address {
			return true
		}
	}
	return false
}

// below returns a random number from 0 to n-1; n is not zero.
func below(rand func() uint64, n uint64) uint64 {
	hi, _ := bits.Mul64(rand(), n)
	return hi
}

// fraction returns x as a number from 0 to 1, exclusive.
func fraction(x uint64) float64 { return float64(x>>11) / (1 << 53) }
