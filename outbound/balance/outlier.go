package balance

import "time"

const (
	maxEjections   = 10              // by which the time of an ejection is multiplied at most
	longestEjected = 5 * time.Minute // or BaseEjection, where that is longer
)

// judge counts an exchange for or against the endpoint, which may eject it.
func (b *Balancer) judge(e *endpoint, now time.Duration, v verdict) {
	switch v {
	case ignored, unrelated:
	case succeeded:
		e.successes.Add(1)
		if e.streak.Load() != 0 { // else the line need not move between processors
			e.streak.Store(0)
		}
	case failed:
		e.failures.Add(1)
		streak, limit := e.streak.Add(1), int64(b.cfg.Outlier.ConsecutiveFailures)
		// Where the bounds forbid it the next try is a whole streak away, so that an
		// outage does not queue at the lock.
		if limit > 0 && streak%limit == 0 {
			b.eject(e, now)
		}
	}
}

// eject takes e out for a while, if the bounds let it.
func (b *Balancer) eject(e *endpoint, now time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.snapshot.Load()
	if now >= s.renew {
		s = b.publish(s.all, now)
	}
	out := e.place.left.Load() || e.withdrawn || e.ejectedUntil.Load() != 0
	most := max(1, s.present*b.cfg.Outlier.MaxEjectedPercent/100)
	if out || s.healthy < 2 || s.ejected >= most {
		return
	}
	d := b.sentence(e, now)
	e.ejectedUntil.Store(int64(now + d))
	b.cfg.Log.Warn("endpoint ejected", "service", b.cfg.Service, "endpoint", e.info.Address, "for", d)
	if f := b.cfg.Events.Ejected; f != nil {
		f(e.info, d)
	}
	b.publish(s.all, now)
}

// sentence adds an ejection to the endpoint's record and returns its time. b.mu is
// held.
func (b *Balancer) sentence(e *endpoint, now time.Duration) time.Duration {
	base := b.cfg.Outlier.BaseEjection
	forgiven := (now - e.returned) / base
	e.ejections = max(0, e.ejections-int(min(forgiven, maxEjections)))
	e.ejections = min(e.ejections+1, maxEjections)
	d := min(base, longestEjected) * time.Duration(e.ejections)
	d = max(base, min(d, longestEjected))
	// What was ejected together need not return together.
	return d + time.Duration(below(b.cfg.Rand, uint64(d/10+1)))
}

// giveBack returns e to the set: its time is over. b.mu is held.
func (b *Balancer) giveBack(e *endpoint) {
	e.returned = time.Duration(e.ejectedUntil.Load())
	e.streak.Store(0)
	e.ejectedUntil.Store(0)
	b.cfg.Log.Info("endpoint returned", "service", b.cfg.Service, "endpoint", e.info.Address)
	if f := b.cfg.Events.Returned; f != nil {
		f(e.info)
	}
}
