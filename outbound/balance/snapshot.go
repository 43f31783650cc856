package balance

import (
	"math"
	"time"

	"outrider/internal/mesh"
)

// snapshot is the set of endpoints as requests see it, and never changes: another
// one takes its place.
type snapshot struct {
	all     []*member
	present int           // how many are not withdrawn
	healthy int           // how many of them are healthy and not ejected
	ejected int           // how many of them are ejected
	panic   bool          // health is disregarded
	slowed  bool          // who is in slow start is held back
	near    group         // the usable ones of our zone, or of all zones
	far     group         // the usable ones of the other zones
	share   float64       // of the requests, that near gets
	spare   group         // those that are only ejected: for who has tried all others
	renew   time.Duration // when this snapshot has to be replaced for the time that has passed
}

// member is an endpoint as one snapshot has it: what was said of it last, and what
// outlives the snapshot.
type member struct {
	*endpoint
	said   mesh.Endpoint
	weight float64 // from 1 to maxWeight
}

const (
	never     = time.Duration(math.MaxInt64)
	maxWeight = 1 << 20 // keeps sums of weights far from overflow
)

// current returns the snapshot that holds at the instant now.
func (b *Balancer) current(now time.Duration) *snapshot {
	s := b.snapshot.Load()
	// Whoever has the lock publishes a newer one: nobody queues for it here.
	if now < s.renew || !b.mu.TryLock() {
		return s
	}
	defer b.mu.Unlock()
	return b.publish(b.snapshot.Load().all, now)
}

// publish makes the snapshot of all members as they are at the instant now. b.mu is
// held.
func (b *Balancer) publish(all []*member, now time.Duration) *snapshot {
	s := &snapshot{all: all, renew: never}
	present := presentOf(all)
	healthy, spare := b.sort(s, present, now)
	s.present, s.healthy = len(present), len(healthy)
	s.panic = s.healthy*100 < b.cfg.PanicThreshold*s.present
	usable := healthy
	switch {
	case s.panic:
		usable = present
	case s.healthy == 0: // ejection never takes the last: the others left or fell ill since
		usable = spare
	}
	b.slows(s, usable, now)
	b.divide(s, usable, present, now)
	if len(spare) > 0 {
		s.spare = group{picker: b.spare.arrange(spare, present), members: spare, flight: b.parts()}
	}
	if was := b.snapshot.Swap(s); was.panic != s.panic {
		b.tellPanic(s)
	}
	return s
}

// presentOf returns those that are not withdrawn. To withdraw one is an operator's
// order, not a doubt about its health: nothing overrides it, and it is no sign of
// trouble among the rest.
func presentOf(all []*member) []*member {
	withdrawn := 0
	for _, m := range all {
		if m.said.Withdrawn {
			withdrawn++
		}
	}
	if withdrawn == 0 {
		return all
	}
	present := make([]*member, 0, len(all)-withdrawn)
	for _, m := range all {
		if !m.said.Withdrawn {
			present = append(present, m)
		}
	}
	return present
}

// sort returns the healthy ones, and those that would be but for their ejection. Whose
// ejection is over returns. b.mu is held.
func (b *Balancer) sort(s *snapshot, present []*member, now time.Duration) (healthy, spare []*member) {
	healthy = make([]*member, 0, len(present))
	for _, m := range present {
		until := m.ejectedUntil.Load()
		switch {
		case until > int64(now):
			s.ejected++
			s.renew = min(s.renew, time.Duration(until))
			if !m.said.Unhealthy {
				spare = append(spare, m)
			}
			continue
		case until > 0:
			b.giveBack(m.endpoint)
		}
		if !m.said.Unhealthy {
			healthy = append(healthy, m)
		}
	}
	return healthy, spare
}

// usable reports whether m is among those that requests go to.
func (s *snapshot) usable(m *member) bool {
	if m.said.Withdrawn {
		return false
	}
	return s.panic || !m.said.Unhealthy && (s.healthy == 0 || m.ejectedUntil.Load() == 0)
}

// tellPanic reports that panic began or ended. b.mu is held.
func (b *Balancer) tellPanic(s *snapshot) {
	b.cfg.Log.Warn("panic threshold crossed", "service", b.cfg.Service,
		"panic", s.panic, "healthy", s.healthy, "endpoints", s.present)
	if f := b.cfg.Events.Panic; f != nil {
		f(s.panic)
	}
}
