package balance

import "time"

// p2c draws two at random and picks the one with less load, by peak EWMA: nearly as
// good as looking at all, at the cost of two, and without the herd that runs to
// whoever looks best.
type p2c struct{ rand func() uint64 }

const (
	draws = 8 // until we look at all, because few are usable
	// unknown is the load, in nanoseconds, of an endpoint that has its first request and
	// no history: it gets the second one when it has answered.
	unknown = 1e15
)

func (p2c) arrange(usable []*member) []*member { return usable }

func (p p2c) pick(order []*member, q query) *member {
	n := uint64(len(order))
	if n <= 2 {
		return p.sample(order, q)
	}
	var first *member
	for range draws {
		m := order[below(p.rand, n)]
		switch {
		case m == first || !q.allows(m):
		case first == nil:
			first = m
		default:
			return lighter(first, m, q.now)
		}
	}
	return p.sample(order, q)
}

// sample draws two from those that q allows, however few they are.
func (p p2c) sample(order []*member, q query) *member {
	var two [2]*member
	seen := uint64(0)
	for _, m := range order {
		if !q.allows(m) {
			continue
		}
		if seen < 2 {
			two[seen] = m
		} else if i := below(p.rand, seen+1); i < 2 { // each that was seen is as likely to stay
			two[i] = m
		}
		seen++
	}
	if seen < 2 {
		return two[0]
	}
	// Between equals the order must not decide.
	if p.rand()&1 == 0 {
		two[0], two[1] = two[1], two[0]
	}
	return lighter(two[0], two[1], q.now)
}

func lighter(a, b *member, now time.Duration) *member {
	if b.expects(now) < a.expects(now) {
		return b
	}
	return a
}

// expects returns what one more request would have to expect of m, in nanoseconds for
// its weight.
func (m *member) expects(now time.Duration) float64 {
	cost, load := m.cost.at(now), m.place.load()
	if cost == 0 && load > 0 {
		return (unknown + load) / m.weight
	}
	return cost * (load + 1) / m.weight
}
