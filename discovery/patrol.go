package discovery

import (
	"container/heap"
	"context"
	"strings"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// gather is how long changes of the set by probes are gathered, so that 10,000
// endpoints that leave one by one are not 10,000 sets of 10,000.
const gather = 100 * time.Millisecond

// idle is how long patrol rests where nothing is to come; it is woken before.
const idle = time.Hour

// suspect is an endpoint that we probe ourselves: doubted, or of the snapshot.
type suspect struct {
	endpoint mesh.Endpoint
	doubted  bool      // the catalogue has lost it
	until    time.Time // doubted: when doubt ends
	unseen   bool      // doubted, was not in use, and no probe has found it yet
	asked    bool      // a probe has ended
	failures int       // in a row
	note     string    // of the snapshot: why probes call it unhealthy; empty: they do not
	out      bool      // suspected no longer

	due   time.Time // of the next probe
	place int       // in the queue; -1: not in it
}

// judged returns the endpoint with what its operator should know.
func (s *suspect) judged() mesh.Endpoint {
	e := s.endpoint
	switch {
	case s.unseen:
		e.Unhealthy, e.HealthNote = true, "vanished from the catalogue, no probe has found it yet"
	case s.doubted:
		e.HealthNote = "vanished from the catalogue, stays while it answers probes"
	case s.note != "" && plain(e):
		e.Unhealthy, e.HealthNote = true, s.note
	}
	return e
}

// patrol probes suspects, ends doubts and passes on what came of it, until ctx ends.
func (w *vigil) patrol(ctx context.Context) {
	if w.Probe == nil {
		return
	}
	var probes sync.WaitGroup
	defer probes.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		pause, due := w.tend()
		places := w.places
		if !due {
			places = nil
		}
		timer.Reset(pause)
		select {
		case places <- struct{}{}:
			s := w.take()
			probes.Go(func() {
				defer func() { <-w.places }()
				w.examine(ctx, s)
			})
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// tend does what is due and no probe. It returns how long nothing else will be, and
// whether a probe is due.
func (w *vigil) tend() (pause time.Duration, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.expire(now)
	pause = idle
	if w.dirty {
		if pause = w.published.Add(gather).Sub(now); pause <= 0 {
			w.publish(now)
			pause = idle
			signal(w.changed)
		}
	}
	if !w.dirty && w.heard && w.failure == nil && len(w.suspects) > 0 { // where dirty, publish tidies them up first
		pause = min(pause, w.suspects[0].until.Sub(now))
	}
	if len(w.queue) > 0 {
		next := w.queue[0].due.Sub(now)
		if due = next <= 0; !due {
			pause = min(pause, next)
		}
	}
	return pause, due
}

// acquit ends the suspicion against s; publish takes it out of the set. w.mu is held.
func (w *vigil) acquit(s *suspect) {
	s.out = true
	if s.place >= 0 {
		heap.Remove(&w.queue, s.place)
	}
}

// take removes the suspect that has been due longest from the queue; nil: nobody is
// any more.
func (w *vigil) take() *suspect {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return nil
	}
	return heap.Pop(&w.queue).(*suspect)
}

// examine probes s once and takes note of what came of it.
func (w *vigil) examine(ctx context.Context, s *suspect) {
	if s == nil {
		return
	}
	probing, cancel := context.WithTimeout(ctx, orDefault(w.ProbeTimeout, time.Second))
	defer cancel()
	err := w.Probe(probing, s.endpoint)
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.out || ctx.Err() != nil {
		return
	}
	w.conclude(s, err)
	if !s.out {
		every := orDefault(w.PatrolEvery, 10*time.Second)
		if s.doubted {
			every = orDefault(w.ProbeEvery, 2*time.Second)
		}
		w.queue.set(s, time.Now().Add(jitter(every)))
	}
	signal(w.wake)
}

// conclude enters a probe's outcome. w.mu is held.
func (w *vigil) conclude(s *suspect, err error) {
	if !s.asked {
		s.asked = true
		defer w.askedOne()
	}
	if err == nil {
		w.dirty = w.dirty || s.unseen || s.note != ""
		s.failures, s.unseen, s.note = 0, false, ""
		return
	}
	s.failures++
	if s.failures < orDefault(w.ProbeFailures, 2) {
		return
	}
	switch {
	case s.doubted: // the catalogue and the probes agree
		w.acquit(s)
		w.tally.left++
		w.dirty, w.pending = true, true
	case s.note == "":
		s.note = "probe: " + strings.Join(strings.Fields(err.Error()), " ") // one line
		w.dirty = true
	}
}

// askedOne takes note that one more endpoint of the snapshot has been probed. w.mu is
// held.
func (w *vigil) askedOne() {
	if w.heard {
		return
	}
	if w.unasked--; w.unasked == 0 {
		w.enter(Probing)
		w.log.Info("every endpoint of the snapshot has been probed", "endpoints", w.passed)
		w.publishState()
	}
}

// queue is a heap of suspects by when they are due.
type queue []*suspect

// set puts s in its place.
func (q *queue) set(s *suspect, due time.Time) {
	s.due = due
	if s.place < 0 {
		heap.Push(q, s)
	} else {
		heap.Fix(q, s.place)
	}
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	s := x.(*suspect)
	s.place = len(*q)
	*q = append(*q, s)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.place = -1
	return s
}
