package balance

import "time"

// leastConnections picks the endpoint with the fewest requests for its weight. It looks
// at all of them where they are few, and else at some drawn at random: with eight the
// fullest endpoint has hardly more than with all (Mitzenmacher, 2001), and the cost does
// not grow with the service. It is its own picker.
type leastConnections struct {
	rand    func() uint64
	members []*member
}

const (
	scanned = 64 // endpoints that are looked at, at most
	sampled = 8  // of more than that, unless none of them will do
)

func (l leastConnections) arrange(members, _ []*member) picker {
	return leastConnections{l.rand, members}
}

func (l leastConnections) pick(q query) *member {
	n := uint64(len(l.members))
	best := least{rand: l.rand}
	if n > scanned {
		for range sampled {
			best.consider(l.members[below(l.rand, n)], q)
		}
		if best.member != nil {
			return best.member
		}
	}
	from := uint64(0)
	if n > scanned {
		from = below(l.rand, n)
	}
	for i := range n {
		if best.consider(l.members[(from+i)%n], q); best.seen == scanned {
			break
		}
	}
	return best.member
}

// least is the member with the least load of those that were considered.
type least struct {
	rand   func() uint64
	member *member
	seen   int     // how many were allowed
	load   float64 // of member, for its weight
	weight float64 // of all that are as good
}

func (l *least) consider(m *member, q query) {
	if !q.allows(m) {
		return
	}
	l.seen++
	weight := m.weight * q.warmth(m)
	load := m.busy(q.now) / weight
	switch {
	case l.member == nil || load < l.load:
		l.member, l.load, l.weight = m, load, weight
	case load == l.load:
		// Ties fall by weight, else idle endpoints would share alike.
		l.weight += weight
		if fraction(l.rand()) < weight/l.weight {
			l.member = m
		}
	}
}

// busy returns how many requests m has. One that failed is taken to last on for a
// while: else whoever fails at once would always be the one with the fewest, and draw
// all the rest.
func (m *member) busy(now time.Duration) float64 { return m.place.load() + m.fails.at(now) }
