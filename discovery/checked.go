package discovery

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// Checked asks the endpoints of another resolver how they are, and says so in
// Unhealthy and HealthNote. What Inner itself calls unhealthy stays so.
//
// An endpoint counts as healthy until its first probe has answered, which alone
// decides; from then on it takes Check.Healthy passes or Check.Unhealthy failures
// in a row to change its state. An endpoint that stays in the set keeps its
// history, and one that leaves is probed no longer.
type Checked struct {
	Inner Resolver
	Check Check

	// Probe asks for path at e and returns the status of the answer. It ends when
	// its context does.
	Probe func(ctx context.Context, e mesh.Endpoint, path string) (status int, err error)

	// Concurrent bounds how many probes of one Watch are under way at once, so that
	// a large set is no storm. Zero or less means 64.
	Concurrent int

	Probed  func(e mesh.Endpoint, note string) // each answer, with why it is a failure, "" for a pass; may be called by several goroutines; nil: nobody listens
	Changed func(e mesh.Endpoint)              // a probe changed the state of e; may be called by several goroutines; nil: nobody listens
	Log     *slog.Logger                       // the same for people; nil: nowhere
}

var _ Resolver = (*Checked)(nil)

// Watch passes each set of Inner at once, and again when an endpoint's health
// changes.
func (c *Checked) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	if c.Inner == nil || c.Probe == nil {
		return errors.New("discovery: Checked without Inner or Probe")
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &checking{
		Checked:  c,
		check:    c.Check.withDefaults(),
		log:      logger(c.Log).With("service", string(s)),
		places:   make(chan struct{}, orDefault(c.Concurrent, 64)),
		update:   update,
		patients: map[string]*patient{},
	}
	err := c.Inner.Watch(ctx, s, func(set []mesh.Endpoint) { w.receive(ctx, set) })
	cancel()
	w.probes.Wait()
	return err
}

// checking is the state of one Watch of Checked.
type checking struct {
	*Checked
	check  Check // with defaults
	log    *slog.Logger
	places chan struct{} // one for each probe under way
	probes sync.WaitGroup
	update func([]mesh.Endpoint)

	mu       sync.Mutex // protects all below and each patient, and keeps calls of update apart
	order    []string   // IDs as Inner lists them
	patients map[string]*patient
}

// patient is an endpoint under observation.
type patient struct {
	endpoint mesh.Endpoint // as Inner has it
	leave    context.CancelFunc
	note     string // why the probes call it unhealthy; empty: they do not
	asked    bool   // a probe has answered
	streak   int    // answers in a row that speak against its state
}

// receive takes over a set of Inner.
func (w *checking) receive(ctx context.Context, set []mesh.Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	former := w.patients
	w.patients, w.order = make(map[string]*patient, len(set)), make([]string, 0, len(set))
	for _, e := range set {
		if w.patients[e.ID] != nil {
			continue
		}
		p := former[e.ID]
		delete(former, e.ID)
		if p == nil {
			p = &patient{}
			var life context.Context
			life, p.leave = context.WithCancel(ctx)
			w.probes.Go(func() { w.observe(life, p) })
		}
		p.endpoint = e
		w.patients[e.ID] = p
		w.order = append(w.order, e.ID)
	}
	for _, p := range former {
		p.leave()
	}
	w.publish()
}

// publish passes the set as it is now. w.mu is held.
func (w *checking) publish() {
	set := make([]mesh.Endpoint, len(w.order))
	for i, id := range w.order {
		set[i] = w.patients[id].judged()
	}
	w.update(set)
}

// judged returns the endpoint with its state of health.
func (p *patient) judged() mesh.Endpoint {
	e := p.endpoint
	if !e.Unhealthy && p.note != "" {
		e.Unhealthy, e.HealthNote = true, p.note
	}
	return e
}

// observe probes p until life ends.
func (w *checking) observe(life context.Context, p *patient) {
	// Soon, but not all endpoints of all services in the same instant.
	pause := rand.N(min(time.Second, w.check.Interval))
	for wait(life, pause) {
		w.examine(life, p)
		pause = jitter(w.check.Interval)
	}
}

// examine probes p once and takes note of the answer.
func (w *checking) examine(life context.Context, p *patient) {
	select {
	case w.places <- struct{}{}:
		defer func() { <-w.places }()
	case <-life.Done():
		return
	}
	w.mu.Lock()
	e := p.endpoint
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(life, w.check.Timeout)
	defer cancel()
	fault := w.check.judge(w.Probe(ctx, e, w.check.Path))
	if w.Probed != nil && life.Err() == nil {
		w.Probed(e, fault)
	}
	if e, changed := w.conclude(life, p, fault); changed {
		w.report(e)
	}
}

// conclude enters an answer into p's history. It returns p's endpoint, and whether
// its state has changed.
func (w *checking) conclude(life context.Context, p *patient, fault string) (mesh.Endpoint, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if life.Err() != nil {
		return mesh.Endpoint{}, false // it left meanwhile: the answer may be no more than that
	}
	needed := w.check.Unhealthy
	if fault == "" {
		needed = w.check.Healthy
	}
	if !p.asked {
		needed = 1
	}
	p.asked = true
	if (fault == "") == (p.note == "") {
		p.streak = 0
		return mesh.Endpoint{}, false
	}
	if p.streak++; p.streak < needed {
		return mesh.Endpoint{}, false
	}
	p.streak, p.note = 0, fault
	w.publish()
	return p.judged(), !p.endpoint.Unhealthy // else Inner's word stands
}

// report tells who listens about a change.
func (w *checking) report(e mesh.Endpoint) {
	if e.Unhealthy {
		w.log.Warn("endpoint is unhealthy", "endpoint", e.Address, "note", e.HealthNote)
	} else {
		w.log.Info("endpoint is healthy again", "endpoint", e.Address)
	}
	if w.Changed != nil {
		w.Changed(e)
	}
}
