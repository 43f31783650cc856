package balance

import "time"

// p2c draws two at random and picks the one with less load, by peak EWMA: nearly as
// good as looking at all (Mitzenmacher, The Power of Two Choices in Randomized Load
// Balancing, 2001), at the cost of two, and without the herd that runs to whoever looks
// best. It is its own picker.
type p2c struct {
	rand    func() uint64
	members []*member
}

const (
	draws = 8 // until we look at all, because few are usable
	// unknown is the load, in nanoseconds, of an endpoint that has its first request and
	// no history: it gets the second one when it has answered. A newcomer is so neither
	// flooded nor left out, as in Finagle.
	unknown = 1e15
)

func (p p2c) arrange(members, _ []*member) picker { return p2c{p.rand, members} }

func (p p2c) pick(q query) *member {
	n := uint64(len(p.members))
	if n <= 2 {
		return p.sample(q)
	}
	var first *member
	for range draws {
		m := p.members[below(p.rand, n)]
		switch {
		case m == first || !q.allows(m) || q.passesOver(m):
		case first == nil:
			first = m
		default:
			return lighter(first, m, q.now)
		}
	}
	return p.sample(q)
}

// sample draws two from those that q allows, however few they are.
func (p p2c) sample(q query) *member {
	var two [2]*member
	seen := uint64(0)
	for _, m := range p.members {
		if !q.allows(m) || q.passesOver(m) {
			continue
		}
		if seen < 2 {
			two[seen] = m
		} else if i := below(p.rand, seen+1); i < 2 { // each that was seen is as likely to stay
			two[i] = m
		}
		seen++
	}
	if seen == 0 && q.slowed {
		q.slowed = false // rather one in slow start than none
		return p.sample(q)
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
	x, y := a.outlook(now), b.outlook(now)
	if y.expects(x.cost) < x.expects(y.cost) {
		return b
	}
	return a
}

// outlook is what is known of a member when it is compared.
type outlook struct {
	last   float64 // cost in nanoseconds when it was observed last; zero is never
	cost   float64 // what has become of it
	load   float64 // requests that it has
	weight float64
}

func (m *member) outlook(now time.Duration) outlook {
	o := outlook{load: m.place.load(), weight: m.weight}
	o.last, o.cost = m.cost.read(now)
	return o
}

// expects returns what one more request would have to expect, in nanoseconds for the
// weight, where the other one in question has that cost.
func (o outlook) expects(other float64) float64 {
	switch {
	case o.load == 0:
		return o.cost / o.weight
	case o.last == 0:
		return (unknown + o.load) / o.weight
	}
	// A cost that went down only because nothing was observed tempts one request, to
	// learn the new one. Until that is answered we know no reason to think the endpoint
	// better than the other: else a burst after a pause would go to whoever has rested
	// longest, and one that answers nobody would draw ever more.
	return max(o.cost, min(o.last, other)) * (o.load + 1) / o.weight
}
