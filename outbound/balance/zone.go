package balance

import (
	"sync/atomic"
	"time"
)

// overprovision is by how much a zone is taken to be larger than it need be: with
// 1/1.4, some 71 %, of its weight healthy it still serves all of its requests. It is
// the factor of Envoy's priorities.
const overprovision = 1.4

// group is a part of a snapshot's endpoints that requests choose among.
type group struct {
	picker
	members []*member
	flight  [2]*atomic.Int64 // what is in flight there, in two parts; nil is nothing
}

// inFlight returns how many requests are in flight at the group, and at endpoints that
// were in it.
func (g *group) inFlight() int64 {
	n := int64(0)
	for _, part := range g.flight {
		if part != nil {
			n += part.Load()
		}
	}
	return n
}

// divide makes the groups of the usable members: those of our zone and the rest.
//
// Let H be the weight that is usable in our zone, and T the weight that it has. The
// zone gets the share min(1, 1.4·H/T) of the requests, and the others, all alike, what
// remains: what a zone lost spills over in proportion, and no earlier than it hurts. A
// member in slow start counts with the weight that it has by then. In panic nothing is
// known of anybody's health and so of no zone's; then there are no zones, and likewise
// where either side has no usable member.
//
// A zone that is smaller than its callers need is not noticed: how many of them there
// are is known to none of them. Where zones are small, leave ZoneFirst off.
func (b *Balancer) divide(s *snapshot, usable, present []*member, now time.Duration) {
	near, far := usable, []*member(nil)
	s.share = 1
	if b.cfg.ZoneFirst && b.cfg.Zone != "" && !s.panic {
		near, far = b.byZone(usable)
		if len(near) == 0 || len(far) == 0 {
			near, far = usable, nil
		} else {
			s.share = min(1, overprovision*b.capacity(s, near, now)/b.total(present))
		}
	}
	s.near = group{picker: b.near.arrange(near, present), members: near, flight: b.parts()}
	if len(far) > 0 {
		s.near.flight[remote] = nil
		s.far = group{picker: b.far.arrange(far, present), members: far, flight: b.parts()}
		s.far.flight[local] = nil
	}
}

func (b *Balancer) byZone(usable []*member) (near, far []*member) {
	for _, m := range usable {
		if m.said.Zone == b.cfg.Zone {
			near = append(near, m)
		} else {
			far = append(far, m)
		}
	}
	return near, far
}

// capacity returns the weight of near, and has the snapshot renewed as that grows.
func (b *Balancer) capacity(s *snapshot, near []*member, now time.Duration) float64 {
	sum := 0.0
	for _, m := range near {
		warmth := 1.0
		if s.slowed {
			warmth = b.warmth(m.endpoint, now)
		}
		if warmth < 1 {
			s.renew = min(s.renew, now+b.step())
		}
		sum += m.weight * warmth
	}
	return sum
}

// total returns the weight of our zone.
func (b *Balancer) total(present []*member) float64 {
	sum := 0.0
	for _, m := range present {
		if m.said.Zone == b.cfg.Zone {
			sum += m.weight
		}
	}
	return sum
}

// nearest returns the groups in the order in which q tries them.
func (s *snapshot) nearest(q query) [2]*group {
	if s.share < 1 && q.lot() >= s.share {
		return [2]*group{&s.far, &s.near}
	}
	return [2]*group{&s.near, &s.far}
}

// lot returns the number from 0 to 1, exclusive, that decides which zone q goes to. A
// key always draws the same.
func (q query) lot() float64 {
	if q.keyed {
		return fraction(scramble(q.key))
	}
	return fraction(q.view.b.cfg.Rand())
}

// The parts of the requests in flight.
const (
	local = iota
	remote
)

// parts returns what is in flight at the whole service.
func (b *Balancer) parts() [2]*atomic.Int64 {
	return [2]*atomic.Int64{local: &b.flight[local], remote: &b.flight[remote]}
}

// part returns where the requests at an endpoint of that zone are counted.
func (b *Balancer) part(zone string) *atomic.Int64 {
	switch {
	case b.key == nil: // nobody asks
		return nil
	case zone == b.cfg.Zone:
		return &b.flight[local]
	default:
		return &b.flight[remote]
	}
}
