package balance

import "time"

// coldest is the fraction of its weight with which an endpoint begins its slow start.
const coldest = 0.1

// warmth returns the fraction of its weight that e has at the instant now. It grows
// with time, as in Envoy's slow start with an aggression of one: in an endpoint that
// has just begun, caches are empty and code is not compiled yet.
func (b *Balancer) warmth(e *endpoint, now time.Duration) float64 {
	left := time.Duration(e.warm.Load()) - now
	if left <= 0 {
		return 1
	}
	return max(coldest, 1-float64(left)/float64(b.cfg.SlowStart))
}

// warmUp begins e's slow start. b.mu is held.
func (b *Balancer) warmUp(e *endpoint, now time.Duration) {
	if b.cfg.SlowStart > 0 {
		e.warm.Store(int64(now + b.cfg.SlowStart))
	}
}

// step is how often a snapshot is renewed at most because somebody gets warmer.
func (b *Balancer) step() time.Duration { return max(b.cfg.SlowStart/10, 100*time.Millisecond) }

// slows decides whether usable ones in slow start are held back: not where they are
// most of them, as after a restart of the whole service. The few others could not carry
// the load, and where all are held back, nobody is.
func (b *Balancer) slows(s *snapshot, usable []*member, now time.Duration) {
	if b.cfg.SlowStart == 0 {
		return
	}
	cold, first := 0, never
	for _, m := range usable {
		if warm := time.Duration(m.warm.Load()); warm > now {
			cold++
			first = min(first, warm)
		}
	}
	s.slowed = cold > 0 && 2*cold <= len(usable)
	if cold > 0 {
		s.renew = min(s.renew, max(first, now+b.step()))
	}
}

// warmth is the Balancer's, and 1 where nobody is held back.
func (q query) warmth(m *member) float64 {
	if !q.slowed {
		return 1
	}
	return q.view.b.warmth(m.endpoint, q.now)
}

// passesOver reports, at random, whether the request leaves out m because of its slow
// start: who is looked at half as often is picked half as often.
func (q query) passesOver(m *member) bool {
	if !q.slowed {
		return false
	}
	warmth := q.view.b.warmth(m.endpoint, q.now)
	return warmth < 1 && fraction(q.view.b.cfg.Rand()) >= warmth
}
