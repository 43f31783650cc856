package balance

// peeker is a picker that can say whom it would pick, without a turn being taken. It
// is sure where the next request like q goes there whatever is drawn: nobody else
// coming first. Nil and sure is nobody; nil and not sure is one of several.
type peeker interface {
	peek(q query) (m *member, sure bool)
}

func (p p2c) peek(q query) (m *member, sure bool) {
	var two [2]*member
	seen := 0
	for _, m := range p.members {
		if !q.allows(m) {
			continue
		}
		if seen < 2 {
			two[seen] = m
		}
		seen++
	}
	switch {
	case seen < 2:
		return two[0], true
	case seen > 2 || q.slowed:
		return nil, false
	}
	// Equals are told from others by their order making a difference.
	m = lighter(two[0], two[1], q.now)
	if lighter(two[1], two[0], q.now) != m {
		return nil, false
	}
	return m, true
}

func (r *rota) peek(q query) (m *member, sure bool) {
	n := uint64(len(r.order))
	turn := r.turn.Load()
	for i := range n {
		if m := r.order[(turn+1+i)%n]; q.allows(m) {
			return m, i < 8 && !q.slowed // beyond, chance has a say
		}
	}
	return nil, true
}

func (l leastConnections) peek(q query) (m *member, sure bool) {
	least, ties := 0.0, 0
	for _, candidate := range l.members {
		if !q.allows(candidate) {
			continue
		}
		switch load := candidate.busy(q.now) / (candidate.weight * q.warmth(candidate)); {
		case m == nil || load < least:
			m, least, ties = candidate, load, 1
		case load == least:
			ties++
		}
	}
	if ties > 1 || len(l.members) > scanned {
		return nil, ties == 0
	}
	return m, true
}

func (r *ringOrder) peek(q query) (m *member, sure bool) {
	if !q.keyed {
		return r.unkeyed.peek(q)
	}
	return r.pick(q), true // takes no turn and draws nothing
}

// peek is pick for somebody who asks only.
func (b *Balancer) peek(q query) (m *member, sure bool) {
	s := b.current(q.now)
	q.slowed = s.slowed
	groups := []*group{&s.near, &s.far}
	if s.share < 1 && len(s.far.members) > 0 {
		if !q.keyed {
			return nil, false // the zone is drawn
		}
		nearest := s.nearest(q)
		groups = nearest[:]
	}
	for _, q.full = range [...]bool{false, true} {
		for _, q.from = range groups {
			if len(q.from.members) == 0 {
				continue
			}
			p, ok := q.from.picker.(peeker)
			if !ok {
				return nil, false
			}
			if m, sure = p.peek(q); m != nil || !sure {
				return m, sure
			}
		}
	}
	return nil, true
}
