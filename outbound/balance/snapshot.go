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
	healthy int           // how many are healthy and not ejected
	ejected int           // how many are ejected
	panic   bool          // health is disregarded
	order   []*member     // the usable ones, as the policy arranged them
	spare   []*member     // likewise those that are only ejected: for who has tried all others
	renew   time.Duration // when the first ejection is over and this snapshot with it
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
	healthy := make([]*member, 0, len(all))
	var spare []*member // healthy but for their ejection
	for _, m := range all {
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
	s.healthy = len(healthy)
	s.panic = s.healthy*100 < b.cfg.PanicThreshold*len(all)
	usable := healthy
	switch {
	case s.panic:
		usable = all
	case s.healthy == 0: // ejection never takes the last: the others left or fell ill since
		usable = spare
	}
	s.order = b.policy.arrange(usable)
	s.spare = b.policy.arrange(spare)
	if was := b.snapshot.Swap(s); was.panic != s.panic {
		b.tellPanic(s)
	}
	return s
}

// usable reports whether m is among those that requests go to.
func (s *snapshot) usable(m *member) bool {
	return s.panic || !m.said.Unhealthy && (s.healthy == 0 || m.ejectedUntil.Load() == 0)
}

// tellPanic reports that panic began or ended. b.mu is held.
func (b *Balancer) tellPanic(s *snapshot) {
	b.cfg.Log.Warn("panic threshold crossed", "service", b.cfg.Service,
		"panic", s.panic, "healthy", s.healthy, "endpoints", len(s.all))
	if f := b.cfg.Events.Panic; f != nil {
		f(s.panic)
	}
}
