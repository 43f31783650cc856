package discovery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// quiet is how long a catalogue that fails and answers by turns is logged once.
const quiet = time.Minute

// vigil is the state of one Watch of Ladder.
type vigil struct {
	*Ladder
	service mesh.Service
	log     *slog.Logger
	ended   <-chan struct{}
	update  func([]mesh.Endpoint)
	begun   time.Time

	places  chan struct{} // one for each probe under way
	wake    chan struct{} // patrol has something new to look at
	changed chan struct{} // keep has something to write
	blank   bool          // the Store has no file, or an empty one; keep's alone
	first   chan struct{} // closed by the first answer
	refused chan struct{} // closed by the first failure

	mu    sync.Mutex // protects all below and each suspect, and keeps calls of update apart
	mode  Mode
	since time.Time

	heard    bool      // the catalogue has answered
	answered time.Time // when it last did, or the file's time
	failure  error     // since then; nil: none
	failing  time.Time // since when
	loud     bool      // that it fails stands in the log
	warned   time.Time // when it was last logged
	lack     string    // why there is no snapshot to use

	answer []mesh.Endpoint // the catalogue's last, each ID once
	rounds map[string]int  // by ID, the last round that named it
	round  int             // counts the answers

	suspects []*suspect // doubted, or before the first answer the snapshot's; in order
	queue    queue      // of those to be probed, by time
	gone     map[string]departed
	tally    tally
	unasked  int // suspects of the snapshot that no probe has been to yet

	passed    int // endpoints in the last set
	published time.Time
	dirty     bool // the set has changed since

	shelf   *shelf // from disk, until the first answer
	pending bool   // what is on disk is not the set
	saved   time.Time
	unsaved int
	unable  bool // the last save failed
}

func newVigil(ctx context.Context, l *Ladder, s mesh.Service, update func([]mesh.Endpoint)) *vigil {
	now := time.Now()
	w := &vigil{
		Ladder:  l,
		service: s,
		log:     logger(l.Log).With("service", string(s)),
		ended:   ctx.Done(),
		update:  update,
		begun:   now,
		since:   now,
		places:  l.Places,
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		first:   make(chan struct{}),
		refused: make(chan struct{}),
		rounds:  map[string]int{},
		gone:    map[string]departed{},
	}
	if cap(w.places) == 0 {
		w.places = make(chan struct{}, 16)
	}
	return w
}

// receive takes over an answer of the catalogue that differs from the one before.
func (w *vigil) receive(set []mesh.Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	first := !w.heard
	w.hear(now)
	former := w.answer
	w.answer = w.once(set)
	lost, of := w.lost(former, first, now)
	w.judge(lost, of, now)
	if first {
		w.compare(now)
	}
	w.pending = true
	signal(w.changed)
	signal(w.wake)
	w.publish(now)
}

// once returns the set with each ID once, the first, and notes who is in it.
func (w *vigil) once(set []mesh.Endpoint) []mesh.Endpoint {
	w.round++
	kept := set[:0]
	for _, e := range set {
		if w.rounds[e.ID] != w.round {
			w.rounds[e.ID] = w.round
			kept = append(kept, e)
		}
	}
	return kept
}

// confirm takes note of an answer.
func (w *vigil) confirm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard {
		w.hear(time.Now())
		w.publishState()
	}
}

// hear takes note of an answer. w.mu is held.
func (w *vigil) hear(now time.Time) {
	if !w.heard {
		w.heard = true
		close(w.first)
		if w.mode != Waiting || w.loud {
			w.log.Info("the catalogue answers", "after", now.Sub(w.begun))
		}
	} else if w.failure != nil {
		away := now.Sub(w.failing)
		w.prolong(away)
		w.log.Log(context.Background(), w.level(slog.LevelInfo), "the catalogue answers again", "after", away)
	}
	if w.failure != nil {
		signal(w.wake) // what doubt has been held open may end
	}
	w.answered, w.failure, w.loud, w.lack = now, nil, false, ""
	w.enter(Live)
}

// fail takes note that there was no answer. The set stays as it is.
func (w *vigil) fail(err error) {
	select {
	case <-w.ended:
		return // that is what failed
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	began := w.failure == nil
	w.failure = err
	if began {
		w.failing = now
	}
	if !w.heard {
		if began {
			close(w.refused)
		}
		if began && w.loud {
			w.log.Warn("the catalogue fails", "error", err) // by now it was known only that it keeps silent
		}
	} else {
		w.enter(Stale)
		if !w.loud && now.Sub(w.warned) >= quiet {
			w.loud, w.warned = true, now
			w.log.Warn("the catalogue does not answer, the last endpoints stay",
				"endpoints", w.passed, "age", now.Sub(w.answered), "error", err)
		}
	}
	w.publishState()
}

// level returns what level the end of a trouble is logged at: its own only where the
// beginning was logged. w.mu is held.
func (w *vigil) level(of slog.Level) slog.Level {
	if w.loud {
		return of
	}
	return slog.LevelDebug
}

// publish passes the set as it is now. w.mu is held.
func (w *vigil) publish(now time.Time) {
	set := make([]mesh.Endpoint, len(w.answer), len(w.answer)+len(w.suspects))
	copy(set, w.answer)
	stay := w.suspects[:0]
	for _, s := range w.suspects {
		if s.out {
			continue
		}
		stay = append(stay, s)
		// One that was not in use is not put in use unseen, unless there is nobody else.
		if !s.unseen || len(w.answer) == 0 {
			set = append(set, s.judged())
		}
	}
	clear(w.suspects[len(stay):])
	w.suspects = stay
	w.dirty, w.published, w.passed = false, now, len(set)
	w.endTally()
	w.publishState()
	w.update(set)
}

// signal makes who waits on c look, now or when it next does.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
