package discovery

import (
	"math/rand/v2"
	"slices"
	"time"

	"outrider/internal/mesh"
)

// Doubt is what a sudden loss meets: when more than DoubtAbove percent of the
// endpoints that could be used have vanished, they stay in the set until probes have
// spoken. One that fails ProbeFailures probes in a row leaves; one that the catalogue
// names again, by its ID or its address, is ordinary again.
//
// Sudden is what happens within window: what vanished in the last ten seconds and has
// not come back counts together, as a share of what there was. So a wipe is doubted
// that arrives as several updates, and brings back for probing what the first of them
// took away. A fleet that leaves in good order, at most half of it in ten seconds, is
// believed step by step; replacements that arrive meanwhile count for it.
//
// Doubt ends, DoubtFor at the latest, because an address may be given to another
// service: a probe says that something answers there, not who. Until then a client of
// orders might talk to a stranger; identities (mutual TLS) rule that out, plain HTTP
// does not. So the bound is on time, and an endpoint in use is trusted for that long
// only. While the catalogue itself is away the time stands still: to drop endpoints
// because of what it said before would let an error change the set.

// window is what counts as at once.
const window = 10 * time.Second

// soon is the longest wait before the first probe of a doubted endpoint.
const soon = 250 * time.Millisecond

// departed is an endpoint that the catalogue was believed about.
type departed struct {
	endpoint mesh.Endpoint
	at       time.Time
}

// tally counts what became of the doubted, from the first until none is left.
type tally struct{ doubted, returned, left, expired int }

// plain reports whether nothing was said against e. What was unhealthy or withdrawn
// and then vanishes is believed to be gone.
func plain(e mesh.Endpoint) bool { return !e.Unhealthy && !e.Withdrawn }

// lost returns who has vanished from former, or from the suspects of the snapshot,
// and out of how many that could have. Suspects that are named again are acquitted.
// w.mu is held.
func (w *vigil) lost(former []mesh.Endpoint, first bool, now time.Time) (lost []*suspect, of int) {
	for _, e := range former {
		if plain(e) {
			of++
		}
		if w.rounds[e.ID] == w.round {
			continue
		}
		delete(w.rounds, e.ID)
		if plain(e) {
			lost = append(lost, &suspect{endpoint: e, place: -1})
		}
	}
	for id, d := range w.gone {
		if now.Sub(d.at) >= window {
			delete(w.gone, id)
		}
	}
	if len(lost)+len(w.suspects)+len(w.gone) == 0 {
		return nil, of
	}
	named := w.named()
	lost = slices.DeleteFunc(lost, func(s *suspect) bool { return named(s.endpoint) })
	for id, d := range w.gone {
		if named(d.endpoint) {
			delete(w.gone, id)
		}
	}
	missed, more := w.reconsider(named, first)
	return append(lost, missed...), of + more
}

// reconsider acquits the suspects that are named again and, at the first answer, sorts
// those of the snapshot: it returns who of them is missed now, out of how many. w.mu is
// held.
func (w *vigil) reconsider(named func(mesh.Endpoint) bool, first bool) (missed []*suspect, of int) {
	stay := w.suspects[:0]
	for _, s := range w.suspects {
		known := named(s.endpoint)
		used := first && plain(s.endpoint) && s.note == "" // whom our own probes call unhealthy nobody misses
		if used {
			of++
		}
		switch {
		case used && !known:
			missed = append(missed, s)
		case first || s.out:
			w.acquit(s)
		case known:
			w.tally.returned++
			w.acquit(s)
		default:
			stay = append(stay, s)
		}
	}
	clear(w.suspects[len(stay):])
	w.suspects = stay
	return missed, of
}

// named returns whether the last answer names an endpoint, by its ID or, for a
// process that was registered anew, by its address. w.mu is held.
func (w *vigil) named() func(mesh.Endpoint) bool {
	addresses := make(map[string]struct{}, len(w.answer))
	for _, e := range w.answer {
		addresses[e.Address] = struct{}{}
	}
	return func(e mesh.Endpoint) bool {
		if _, ok := addresses[e.Address]; ok && e.Address != "" {
			return true
		}
		return w.rounds[e.ID] == w.round
	}
}

// judge decides whether a loss is sudden. w.mu is held.
func (w *vigil) judge(lost []*suspect, of int, now time.Time) {
	above := orDefault(w.DoubtAbove, 50)
	if len(lost) == 0 {
		return
	}
	before := len(w.gone) + len(w.suspects)
	if w.Probe == nil || (len(lost)+before)*100 <= above*(of+before) {
		for _, s := range lost {
			w.acquit(s)
			if w.Probe != nil && above < 100 {
				w.gone[s.endpoint.ID] = departed{s.endpoint, now}
			}
		}
		return
	}
	if w.tally.doubted == 0 {
		w.log.Warn("most endpoints have vanished from the catalogue at once: they stay until probes agree",
			"vanished", len(lost)+before, "of", of+before, "at_most", orDefault(w.DoubtFor, 10*time.Minute).String())
	}
	for _, d := range w.gone {
		w.doubt(&suspect{endpoint: d.endpoint, unseen: true, place: -1}, now)
	}
	clear(w.gone)
	for _, s := range lost {
		w.doubt(s, now)
	}
}

// doubt keeps s in the set until probes have spoken. w.mu is held.
func (w *vigil) doubt(s *suspect, now time.Time) {
	w.tally.doubted++
	s.doubted, s.until = true, now.Add(orDefault(w.DoubtFor, 10*time.Minute))
	w.suspects = append(w.suspects, s)
	w.queue.set(s, now.Add(rand.N(soon)))
}

// compare doubts the first answer where a snapshot that is hardly older says
// otherwise: the proxy may have been restarted just when the catalogue was wiped. An
// older one has no say: addresses may have changed hands meanwhile. w.mu is held.
func (w *vigil) compare(now time.Time) {
	old := w.shelf
	w.shelf = nil
	if old == nil || now.Sub(old.at) > orDefault(w.DoubtFor, 10*time.Minute) || len(w.suspects)+len(w.gone) > 0 {
		return
	}
	named := w.named()
	var lost []*suspect
	of := 0
	for _, e := range old.set {
		if !plain(e) {
			continue
		}
		of++
		if !named(e) {
			lost = append(lost, &suspect{endpoint: e, unseen: true, place: -1})
		}
	}
	w.judge(lost, of, now)
}

// prolong lets doubt last longer by the time that the catalogue was away. w.mu is
// held.
func (w *vigil) prolong(away time.Duration) {
	for _, s := range w.suspects {
		s.until = s.until.Add(away)
	}
}

// expire ends doubts that have lasted too long. w.mu is held.
func (w *vigil) expire(now time.Time) {
	if !w.heard || w.failure != nil {
		return
	}
	expired := 0
	for _, s := range w.suspects { // the eldest first
		if s.until.After(now) {
			break
		}
		if !s.out {
			w.acquit(s)
			expired++
		}
	}
	if expired > 0 {
		w.tally.expired += expired
		w.dirty, w.pending = true, true
		w.log.Warn("doubt has lasted long enough, the catalogue is believed: endpoints leave that still answer probes",
			"endpoints", expired)
	}
}

// endTally logs how a doubt ended. w.mu is held.
func (w *vigil) endTally() {
	if !w.heard || len(w.suspects) > 0 || w.tally.doubted == 0 {
		return
	}
	w.log.Info("no endpoint is doubted any more", "returned", w.tally.returned,
		"left_after_probes", w.tally.left, "expired", w.tally.expired)
	w.tally = tally{}
}
