package http1

import (
	"slices"
	"sync"
	"time"
)

const (
	lookEvery = 10 * time.Second // an idle connection is looked at at least so often
	lookMost  = 16               // at most so many at a time
)

// pool keeps an endpoint's idle connections. The newest is used first, so that those
// which are not needed grow old and are closed.
type pool struct {
	max     int
	age     time.Duration // zero or negative: no bound
	timeout time.Duration // negative: no bound

	mu      sync.Mutex // protects all below, for a few instructions at a time
	idle    []*wire    // the newest last
	learner learner
	timer   *time.Timer // for the oldest; nil before there was one
	armed   bool        // the timer runs
	over    bool        // nothing is kept any more
}

func (p *pool) init(c TransportConfig) {
	p.max, p.age, p.timeout = c.MaxIdle, c.MaxAge, c.IdleTimeout
}

// take returns the connection that was used last and is fit for use; nil where none is.
func (p *pool) take(now time.Time) *wire {
	for {
		w, fit := p.pop(now)
		if fit || w == nil {
			return w
		}
		w.socket.close()
	}
}

func (p *pool) pop(now time.Time) (w *wire, fit bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil, false
	}
	w = p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return w, p.fit(w, now)
}

// fit reports whether w may be used for another request. p.mu is held.
func (p *pool) fit(w *wire, now time.Time) bool {
	if p.age > 0 && now.Sub(w.born) >= p.age {
		return false
	}
	limit := p.limit(now)
	return limit < 0 || now.Sub(w.idle) < limit
}

// limit returns how long a connection may be idle; negative is without end. p.mu is
// held.
func (p *pool) limit(now time.Time) time.Duration {
	learnt := p.learner.limit(now)
	if p.timeout < 0 || learnt >= 0 && learnt < p.timeout {
		return learnt
	}
	return p.timeout
}

// put keeps w, whose exchange is over, or closes it. Stated is what the endpoint has
// said of its own idle timeout; negative is nothing.
func (p *pool) put(w *wire, stated time.Duration) {
	w.idle = time.Now()
	if !p.add(w, stated) {
		w.socket.close()
	}
}

func (p *pool) add(w *wire, stated time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stated >= 0 {
		p.learner.said(stated)
	}
	if p.over || len(p.idle) >= p.max || !p.fit(w, w.idle) {
		return false
	}
	p.idle = append(p.idle, w)
	if !p.armed {
		p.arm(w.idle)
	}
	return true
}

// arm starts the timer for the oldest connection. p.mu is held.
func (p *pool) arm(now time.Time) {
	wait := lookEvery
	if limit := p.limit(now); limit >= 0 {
		wait = min(wait, max(limit/8, time.Second), p.idle[0].idle.Add(limit).Sub(now))
	}
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.tend)
	} else {
		p.timer.Reset(wait)
	}
}

// tend runs when the timer goes off. It closes what has been idle for too long, and
// what the endpoint has closed, from which it learns how long that waits.
func (p *pool) tend() {
	now := time.Now()
	old, some := p.expire(now)
	for _, w := range old {
		w.socket.close()
	}
	some = slices.DeleteFunc(some, func(w *wire) bool { return !w.socket.gone() })
	for _, w := range p.remove(some, now) {
		w.socket.close()
	}
}

// expire takes out what has been idle for too long, and returns with that the oldest
// of the rest, to be looked at.
func (p *pool) expire(now time.Time) (old, some []*wire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && !p.fit(p.idle[n], now) {
		n++
	}
	old = slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	return old, slices.Clone(p.idle[:min(len(p.idle), lookMost)])
}

// remove takes those of gone out that are still idle, and returns them. It sets the
// timer for what is left.
func (p *pool) remove(gone []*wire, now time.Time) []*wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := gone[:0]
	for _, w := range gone {
		if i := slices.Index(p.idle, w); i >= 0 {
			p.learner.closed(now.Sub(w.idle), now)
			p.idle = slices.Delete(p.idle, i, i+1)
			found = append(found, w)
		}
	}
	if p.armed = false; len(p.idle) > 0 {
		p.arm(now)
	}
	return found
}

// stale notes that w, which was taken, had been closed by the endpoint, or spoken on.
func (p *pool) stale(w *wire) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learner.closed(now.Sub(w.idle), now)
}

// closeIdle closes what is idle; over has nothing kept any more.
func (p *pool) closeIdle(over bool) {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.over = p.over || over
	if p.timer != nil && p.timer.Stop() {
		p.armed = false // else tend is about to see to it
	}
	p.mu.Unlock()
	for _, w := range idle {
		w.socket.close()
	}
}
