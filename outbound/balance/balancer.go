package balance

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// Balancer spreads requests over the endpoints of one service. It is safe for
// concurrent use.
type Balancer struct {
	cfg      Config
	key      *keySource // nil where the policy asks for none
	epoch    time.Time  // instants are durations since then: monotonic, and one word
	snapshot atomic.Pointer[snapshot]
	flight   [2]atomic.Int64 // requests in flight, in our zone and elsewhere; not counted without key
	ended    sync.Pool       // exchanges, for other requests

	mu         sync.Mutex           // protects all below, and publishing a snapshot
	near       policy               // of the groups, each with turns of its own
	far        policy               // likewise
	spare      policy               // likewise
	known      map[string]*endpoint // by ID
	views      []*view              // one for each distinct Breaker; a view's index is its place
	generation uint64               // of the set: an endpoint that is behind has left
	begun      bool                 // there has been an endpoint
	closed     bool
}

// New returns a Balancer without endpoints. It refuses an unknown policy, a missing
// Dial and numbers out of range.
func New(cfg Config) (*Balancer, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	b := &Balancer{cfg: cfg, epoch: time.Now(), known: map[string]*endpoint{}}
	for _, p := range []*policy{&b.near, &b.far, &b.spare} {
		var err error
		if *p, err = newPolicy(cfg.Policy, cfg.Rand); err != nil {
			return nil, err
		}
	}
	if cfg.Policy == RingHash {
		key, err := newKeySource(cfg.HashOn)
		if err != nil {
			return nil, err
		}
		b.key = key
	}
	b.snapshot.Store(&snapshot{renew: never, share: 1})
	return b, nil
}

// Update replaces the set of endpoints. Those that stay, by ID and address, keep
// their load history, breakers, ejection and transport. Of several with one ID the
// first counts; without an ID the address stands for it.
func (b *Balancer) Update(set []mesh.Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.replace(set)
	}
}

// replace makes set the endpoints. b.mu is held.
func (b *Balancer) replace(set []mesh.Endpoint) {
	now, was := b.now(), b.snapshot.Load().all
	b.generation++
	all := make([]*member, 0, len(set))
	members := make([]member, len(set)) // one allocation instead of one each
	for i, info := range set {
		if info.ID == "" {
			info.ID = info.Address
		}
		e := b.known[info.ID]
		if e != nil && e.generation == b.generation {
			continue
		}
		if e == nil || !e.same(info) {
			e = b.join(info, now)
			b.known[info.ID] = e
		}
		e.generation = b.generation
		b.heard(e, info, now)
		members[i] = member{endpoint: e, said: info, weight: float64(min(info.Share(), maxWeight))}
		all = append(all, &members[i])
	}
	b.begun = b.begun || len(all) > 0
	b.publish(all, now)
	for _, m := range was {
		if m.generation == b.generation {
			continue
		}
		if b.known[m.info.ID] == m.endpoint { // else another address has its ID now
			delete(b.known, m.info.ID)
		}
		m.leave()
	}
}

// heard notes what is said of e. One that was ill, or withdrawn, and is no longer
// begins anew: the failures that it was ejected for are those of its illness, and what
// was done to it may have left it cold. b.mu is held.
func (b *Balancer) heard(e *endpoint, info mesh.Endpoint, now time.Duration) {
	if info.Withdrawn != e.withdrawn {
		e.withdrawn = info.Withdrawn
		if e.withdrawn {
			e.place.dismiss()
		} else {
			e.place.readmit()
		}
	}
	out := info.Unhealthy || info.Withdrawn
	recovered := e.out && !out
	e.out = out
	if !recovered {
		return
	}
	b.warmUp(e, now)
	if until := e.ejectedUntil.Load(); until > 0 {
		e.ejectedUntil.Store(min(until, int64(now))) // publish, which follows, gives it back
	}
}

// Close makes all endpoints leave: their idle connections are closed, and requests
// from now on fail with NoEndpoints. Those in flight are left to end.
func (b *Balancer) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.replace(nil)
}

// Through returns the balancer as seen through a circuit breaker per endpoint; nil
// is without one. Views with equal settings share their breakers. Their state is
// kept as long as the Balancer is, so settings are to come from a configuration,
// not from requests.
func (b *Balancer) Through(settings *Breaker) http.RoundTripper {
	if settings == nil {
		return &view{b: b, index: noBreaker}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	full := settings.complete()
	for _, v := range b.views {
		if v.breaker == full {
			return v
		}
	}
	v := &view{b: b, breaker: full, index: len(b.views)}
	b.views = append(b.views, v)
	for _, e := range b.known {
		e.circuits.Store(b.circuits(e))
	}
	return v
}

// join makes what is kept of a new endpoint. b.mu is held.
func (b *Balancer) join(info mesh.Endpoint, now time.Duration) *endpoint {
	e := newEndpoint(info, b.cfg)
	e.place.total = b.part(info.Zone)
	e.circuits.Store(b.circuits(e))
	if b.begun { // who was there before us is no newcomer, as far as we know
		b.warmUp(e, now)
	}
	return e
}

// circuits returns a breaker of e for each view: those that e has, and new ones for
// the rest. b.mu is held.
func (b *Balancer) circuits(e *endpoint) *[]*circuit {
	all := make([]*circuit, len(b.views))
	had := 0
	if old := e.circuits.Load(); old != nil {
		had = copy(all, *old)
	}
	for i := had; i < len(all); i++ {
		all[i] = b.newCircuit(e.info, b.views[i].breaker)
	}
	return &all
}

// now returns the present instant.
func (b *Balancer) now() time.Duration { return time.Since(b.epoch) }
