package balance

// leastConnections picks the endpoint with the fewest requests for its weight. It
// looks at all of them.
type leastConnections struct{ rand func() uint64 }

func (leastConnections) arrange(usable []*member) []*member { return usable }

func (l leastConnections) pick(order []*member, q query) *member {
	var best *member
	var least, weight float64 // weight: of all that are as good as the best
	for _, m := range order {
		if !q.allows(m) {
			continue
		}
		load := m.place.load() / m.weight
		switch {
		case best == nil || load < least:
			best, least, weight = m, load, m.weight
		case load == least:
			// Ties fall by weight, else idle endpoints would share alike.
			weight += m.weight
			if l.chance() < m.weight/weight {
				best = m
			}
		}
	}
	return best
}

// chance returns a random number from 0 to 1, exclusive.
func (l leastConnections) chance() float64 { return float64(l.rand()>>11) / (1 << 53) }
