package discovery

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"outrider/internal/mesh"
)

// between lies between two saves of one service, at least.
const between = time.Second

// shelf is a snapshot that may be used.
type shelf struct {
	set []mesh.Endpoint
	at  time.Time
}

// keep has to do with the disk, which may be slow: it reads the snapshot and uses it
// where the catalogue keeps silent, and then writes what is believed, until ctx ends.
func (w *vigil) keep(ctx context.Context) {
	patience := time.NewTimer(orDefault(w.SnapshotAfter, time.Second))
	defer patience.Stop()
	old, lack := w.load()
	if !w.recall(old) {
		select {
		case <-w.first:
		case <-w.refused:
			w.fallBack(lack)
		case <-patience.C:
			w.fallBack(lack)
		case <-ctx.Done():
		}
	}
	w.write(ctx)
}

// load reads the snapshot. It returns nil and why where there is none to use.
func (w *vigil) load() (_ *shelf, lack string) {
	if w.Store == nil {
		return nil, "there are no snapshots (consul.snapshot_dir is not set)"
	}
	set, at, err := w.Store.Load(w.name())
	switch {
	case err == nil && len(set) == 0:
		w.blank = true
		return nil, fmt.Sprintf("the snapshot of %s in %s, of %s, is empty", w.service, w.Store.dir, at.Format(time.RFC3339))
	case err == nil:
		return &shelf{set, at}, ""
	case none(err):
		w.blank = true
		return nil, fmt.Sprintf("there is no snapshot of %s in %s", w.service, w.Store.dir)
	}
	w.log.Warn("the snapshot cannot be used, it counts as none", "error", err)
	return nil, fmt.Sprintf("the snapshot of %s in %s cannot be used", w.service, w.Store.dir)
}

// name returns what the Store knows the service by.
func (w *vigil) name() mesh.Service { return cmp.Or(mesh.Service(w.Name), w.service) }

// recall keeps the snapshot for the first answer, and reports whether that has come
// meanwhile.
func (w *vigil) recall(old *shelf) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shelf = old
	if !w.heard {
		return false
	}
	now := time.Now()
	w.compare(now)
	if len(w.suspects) > 0 {
		signal(w.wake)
		w.publish(now)
	}
	return true
}

// fallBack uses the snapshot, or says clearly that there is none.
//
// An empty one counts as none: to pass it would only make a proxy that knows nothing
// look like one that does.
func (w *vigil) fallBack(lack string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard {
		return
	}
	w.loud = true
	now := time.Now()
	old := w.shelf
	w.shelf = nil
	if old == nil {
		w.lack = lack
		w.publishState()
		w.log.Warn("nothing is known of the service", "error", w.trouble())
		return
	}
	w.answered = old.at
	w.enter(Snapshot)
	for _, e := range old.set {
		s := &suspect{endpoint: e, place: -1}
		w.suspects = append(w.suspects, s)
		if w.Probe != nil && plain(e) { // else the catalogue's last word stands
			w.unasked++
			w.queue.set(s, now.Add(rand.N(time.Second)))
		}
	}
	w.log.Warn("the catalogue does not answer, endpoints are those of the snapshot",
		"endpoints", len(old.set), "age", max(0, now.Sub(old.at)).Round(time.Second), "error", w.trouble())
	signal(w.wake)
	w.publish(now)
}

// write saves the set when it has changed, and from time to time, until ctx ends.
func (w *vigil) write(ctx context.Context) {
	if w.Store == nil {
		return
	}
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		again.Reset(jitter(w.saveEvery())) // or every proxy on a disk would write in the same second
		select {
		case <-w.changed:
		case <-again.C:
		case <-ctx.Done():
			return
		}
		w.save()
		if !wait(ctx, between) {
			return
		}
	}
}

// saveEvery returns how old a file may become while the catalogue confirms it. Half of
// DoubtFor at most, or it could never be compared with a first answer.
func (w *vigil) saveEvery() time.Duration {
	return min(orDefault(w.SaveEvery, 5*time.Minute), orDefault(w.DoubtFor, 10*time.Minute)/2)
}

// save writes the set, where the disk does not have it yet. An empty one too: what is
// honestly gone must not come back from an old file when the catalogue is away; where
// there is none, and the service may be a name that somebody made up, none is made. One
// that is doubted is no honest empty set, its endpoints are in the file.
//
// A disk that fails costs the snapshot, nothing else.
func (w *vigil) save() {
	set, at, due := w.unwritten()
	if !due {
		return
	}
	var err error
	if len(set) > 0 || !w.blank {
		err = w.Store.Save(w.name(), set, at) // not under the lock: a disk may be slow
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	failed := err != nil
	if failed {
		w.pending = true
		w.unsaved++
	} else {
		w.saved, w.blank = at, len(set) == 0
	}
	switch {
	case failed && !w.unable:
		w.log.Warn("the snapshot cannot be written: a restart while the catalogue is away would not know these endpoints", "error", err)
	case !failed && w.unable:
		w.log.Info("the snapshot can be written again")
	}
	w.unable = failed
	w.publishState()
}

// unwritten returns what save has to write: the set as the catalogue has it, with the
// doubted.
func (w *vigil) unwritten() (set []mesh.Endpoint, at time.Time, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Store == nil || !w.heard || !w.pending && w.answered.Sub(w.saved) < w.saveEvery()/2 {
		return nil, time.Time{}, false
	}
	set = make([]mesh.Endpoint, len(w.answer), len(w.answer)+len(w.suspects))
	copy(set, w.answer)
	for _, s := range w.suspects {
		if !s.out {
			set = append(set, s.endpoint)
		}
	}
	w.pending = false
	return set, w.answered, true
}
