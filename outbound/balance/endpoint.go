package balance

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"outrider/internal/mesh"
)

// endpoint is what is kept of an endpoint for as long as it is in the set, whatever
// snapshots come and go.
type endpoint struct {
	info  mesh.Endpoint // as it was when it joined
	seed  uint64        // of its points on a ring: its address, hashed
	place places
	cost  ewma
	fails recent

	successes atomic.Uint64
	failures  atomic.Uint64
	streak    atomic.Int64 // failures in a row

	warm         atomic.Int64  // instant at which its slow start ends; zero without. Written under Balancer.mu
	ejectedUntil atomic.Int64  // instant; zero when not ejected. Written under Balancer.mu
	ejections    int           // in its record, less what has been forgiven. Protected by Balancer.mu
	returned     time.Duration // when the last ejection ended. Protected by Balancer.mu
	out          bool          // unhealthy or withdrawn, as was said last. Protected by Balancer.mu
	withdrawn    bool          // as was said last. Protected by Balancer.mu
	generation   uint64        // of the last set that had it. Protected by Balancer.mu

	circuits atomic.Pointer[[]*circuit] // by view

	dial      func(mesh.Endpoint) Transport
	dialOnce  sync.Once
	transport atomic.Pointer[Transport] // nil before it is used
}

func newEndpoint(info mesh.Endpoint, cfg Config) *endpoint {
	e := &endpoint{info: info, seed: xxhash.Sum64String(info.Address), dial: cfg.Dial}
	e.place.open(cfg.MaxConnections, cfg.MaxPending)
	return e
}

// same reports whether info is about this very address: another one, even under the
// same ID, has a history and a transport of its own.
func (e *endpoint) same(info mesh.Endpoint) bool {
	return e.info.Scheme == info.Scheme && e.info.Address == info.Address && e.info.Host == info.Host
}

// via returns the endpoint's transport.
func (e *endpoint) via() Transport {
	e.dialOnce.Do(func() {
		t := e.dial(e.info)
		e.transport.Store(&t)
	})
	return *e.transport.Load()
}

// circuit returns the breaker of this endpoint for a view; nil without one.
func (e *endpoint) circuit(v *view) *circuit {
	if v.index == noBreaker {
		return nil
	}
	return (*e.circuits.Load())[v.index]
}

// leave is called when the endpoint is no longer in the set: who waits for it goes
// elsewhere.
func (e *endpoint) leave() {
	e.place.leave()
	e.closeIdle()
}

// release gives a place back. The last request of an endpoint that has left closes
// the connections that have become idle since.
func (e *endpoint) release() {
	if e.place.release() == 0 && e.place.left.Load() {
		e.closeIdle()
	}
}

func (e *endpoint) closeIdle() {
	if t := e.transport.Load(); t != nil {
		(*t).CloseIdleConnections()
	}
}
