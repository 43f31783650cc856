package discovery

import (
	"errors"
	"fmt"
	"time"
)

// Mode is the rung of the ladder that a service's endpoints stand on.
type Mode int

// The modes, from nothing known to all known.
const (
	Waiting  Mode = iota // nothing is known: no answer yet, and no snapshot that could be used
	Probing              // the snapshot's endpoints, each probed at least once: own probes say which are healthy
	Snapshot             // the snapshot's endpoints, not all of them probed yet; for good where there is no Probe
	Stale                // the catalogue has answered, and now fails: the last set stays
	Live                 // the catalogue's last answer stands, and nothing has failed since
)

// String returns the mode as metrics call it.
func (m Mode) String() string {
	switch m {
	case Waiting:
		return "waiting"
	case Probing:
		return "probing"
	case Snapshot:
		return "snapshot"
	case Stale:
		return "stale"
	case Live:
		return "live"
	}
	return fmt.Sprintf("mode %d", int(m))
}

// State is where a Ladder stands. The zero State is that of one which has not begun.
type State struct {
	Mode  Mode
	Since time.Time // when Mode began

	// Answered is when the catalogue last confirmed the set: its last proper answer, also
	// one of which a loss is doubted, and in Snapshot and Probing the time in the file.
	// Zero where there is neither.
	Answered time.Time
	Age      time.Duration // since Answered; where that is zero, since Watch began. Never negative

	LastError error // why Mode is not Live; nil in Live, and until something has failed

	Endpoints int // in the set as it was last passed on
	Doubted   int // which the catalogue has lost and probes have not, with those still to be probed
	Unsaved   int // snapshots that could not be written since Watch began

	begun time.Time
}

// publishState makes the state known. w.mu is held, or nothing runs yet.
func (w *vigil) publishState() {
	s := &State{
		Mode:      w.mode,
		LastError: w.trouble(),
		Since:     w.since,
		Answered:  w.answered,
		Endpoints: w.passed,
		Unsaved:   w.unsaved,
		begun:     w.begun,
	}
	if w.heard {
		s.Doubted = len(w.suspects)
	}
	w.state.Store(s)
}

// trouble returns why the catalogue's word is not to be had. w.mu is held.
func (w *vigil) trouble() error {
	err := w.failure
	if err == nil && w.loud {
		err = errSilent
	}
	if w.lack != "" {
		return fmt.Errorf("the catalogue does not answer and %s: %s: %w", w.lack, remedy, err)
	}
	return err
}

// errSilent is why a snapshot is used where no query has failed.
var errSilent = errors.New("the catalogue has not answered yet")

// remedy says what to do when nothing is known.
const remedy = "requests get 503 until it does; check consul.address"

// enter changes the mode. w.mu is held.
func (w *vigil) enter(m Mode) {
	if w.mode != m {
		w.mode, w.since = m, time.Now()
	}
}
