package balance

import (
	"fmt"
	"math/bits"
	"time"

	"outrider/internal/mesh"
)

// policy says which endpoint is next. It is safe for concurrent use.
type policy interface {
	// arrange returns the usable members in the order in which pick wants them. It is
	// called once for each snapshot.
	arrange(usable []*member) []*member
	// pick returns one of order that q allows, nil only when there is none. It allocates
	// nothing.
	pick(order []*member, q query) *member
}

func newPolicy(name string, rand func() uint64) (policy, error) {
	switch name {
	case "", P2C:
		return p2c{rand}, nil
	case RoundRobin:
		return &rotation{}, nil
	case Weighted:
		return &rotation{weighted: true}, nil
	case LeastConnections:
		return leastConnections{rand}, nil
	default:
		return nil, fmt.Errorf("balance: unknown policy %q; known are %s, %s, %s and %s",
			name, P2C, RoundRobin, Weighted, LeastConnections)
	}
}

// query is what one request asks of an endpoint.
type query struct {
	view  *view
	now   time.Duration
	tried []mesh.Attempt // earlier attempts of the call
	again bool           // an endpoint tried before will do
	full  bool           // one without a free place will do, if the request may wait there
}

// pick returns the next endpoint for q; full says that the request has to wait there.
func (b *Balancer) pick(q query) (m *member, full bool) {
	s := b.current(q.now)
	if m, full = b.pickFrom(s.order, q); m != nil || len(q.tried) == 0 {
		return m, full
	}
	// All that are usable have been tried. One that is only ejected may serve after all,
	// where another try at what has just failed will hardly.
	if m, full = b.pickFrom(s.spare, q); m != nil {
		return m, full
	}
	q.again = true
	return b.pickFrom(s.order, q)
}

// pickFrom prefers an endpoint with a free place: to wait elsewhere is better than to
// repeat a failure, and not to wait is better still.
func (b *Balancer) pickFrom(order []*member, q query) (m *member, full bool) {
	for _, q.full = range [...]bool{false, true} {
		if m = b.policy.pick(order, q); m != nil {
			return m, q.full
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
