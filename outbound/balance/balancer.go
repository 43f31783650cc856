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
	policy   policy
	epoch    time.Time // instants are durations since then: monotonic, and one word
	snapshot atomic.Pointer[snapshot]

	mu     sync.Mutex           // protects all below, and publishing a snapshot
	known  map[string]*endpoint // by ID
	views  []*view              // one for each distinct Breaker; a view's index is its place
	closed bool
}

// New returns a Balancer without endpoints. It refuses an unknown policy, a missing
// Dial and numbers out of range.
func New(cfg Config) (*Balancer, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p, err := newPolicy(cfg.Policy, cfg.Rand)
	if err != nil {
		return nil, err
	}
	b := &Balancer{cfg: cfg, policy: p, epoch: time.Now()}
	b.snapshot.Store(&snapshot{renew: never})
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
	known := make(map[string]*endpoint, len(set))
	all := make([]*member, 0, len(set))
	members := make([]member, len(set)) // one allocation instead of one each
	for i, info := range set {
		if info.ID == "" {
			info.ID = info.Address
		}
		if known[info.ID] != nil {
			continue
		}
		e := b.known[info.ID]
		if e == nil || !e.same(info) {
			e = b.join(info)
		}
		b.heard(e, info.Unhealthy)
		known[info.ID] = e
		members[i] = member{endpoint: e, said: info, weight: float64(min(info.Share(), maxWeight))}
		all = append(all, &members[i])
	}
	left := b.known
	b.known = known
	b.publish(all, b.now())
	for id, e := range left {
		if known[id] != e {
			e.leave()
		}
	}
}

// heard notes what is said of e's health. One that was ill and has recovered begins
// anew: the failures that it was ejected for are those of its illness. b.mu is held.
func (b *Balancer) heard(e *endpoint, unhealthy bool) {
	recovered := e.unhealthy && !unhealthy
	e.unhealthy = unhealthy
	if recovered && e.ejectedUntil.Load() > 0 {
		e.ejectedUntil.Store(int64(b.now())) // publish, which follows, gives it back
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
func (b *Balancer) join(info mesh.Endpoint) *endpoint {
	e := newEndpoint(info, b.cfg)
	e.circuits.Store(b.circuits(e))
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
