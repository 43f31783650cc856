package discovery

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"outrider/internal/mesh"
)

// Memory is a registry in memory: what is registered in it, its Watch finds. It
// stands in for Consul in the demo and in tests. The zero Memory is empty and ready,
// and safe for concurrent use.
type Memory struct {
	mu       sync.Mutex // protects all below
	services map[mesh.Service]*remembered
	changed  chan struct{} // closed at the next change; nil: nobody waits
}

var _ Resolver = (*Memory)(nil)

// remembered is what is registered of a service, ordered by ID: never none, and
// never changed in place.
type remembered struct{ set []mesh.Endpoint }

// Register puts e into the set of s, in place of what had its ID. An empty ID means
// the address. Meta is the caller's to keep.
func (m *Memory) Register(s mesh.Service, e mesh.Endpoint) {
	e.ID = cmp.Or(e.ID, e.Address)
	e.Meta = maps.Clone(e.Meta)
	m.change(s, func(set []mesh.Endpoint) []mesh.Endpoint {
		at, found := find(set, e.ID)
		if found {
			set[at] = e
			return set
		}
		return slices.Insert(set, at, e)
	})
}

// SetHealth says whether an endpoint is healthy, and why not; of one that is healthy
// note is dropped. An ID that is not registered is passed over.
func (m *Memory) SetHealth(s mesh.Service, id string, ok bool, note string) {
	if ok {
		note = ""
	}
	m.change(s, func(set []mesh.Endpoint) []mesh.Endpoint {
		at, found := find(set, id)
		if !found || set[at].Unhealthy == !ok && set[at].HealthNote == note {
			return nil
		}
		set[at].Unhealthy, set[at].HealthNote = !ok, note
		return set
	})
}

// Deregister takes an endpoint out of the set of s. An ID that is not registered is
// passed over.
func (m *Memory) Deregister(s mesh.Service, id string) {
	m.change(s, func(set []mesh.Endpoint) []mesh.Endpoint {
		at, found := find(set, id)
		if !found {
			return nil
		}
		return slices.Delete(set, at, at+1)
	})
}

// Watch passes the set of s. A service that nobody has registered is an empty set. A
// receiver that is slower than the changes gets the last of them.
func (m *Memory) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	var last *remembered
	for first := true; ; first = false {
		now, changed := m.look(s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if first || now != last {
			last = now
			update(now.copy())
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// look returns what is registered of s, nil for nothing, and what is closed when that
// may have changed.
func (m *Memory) look(s mesh.Service) (*remembered, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.services[s], m.changed
}

// change puts what edit makes of a copy of the set in its place, and wakes who
// watches. Where edit returns nil, nothing has changed.
func (m *Memory) change(s mesh.Service, edit func([]mesh.Endpoint) []mesh.Endpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	set := edit(m.services[s].copy())
	switch {
	case set == nil:
		return
	case len(set) == 0:
		delete(m.services, s)
	case m.services == nil:
		m.services = map[mesh.Service]*remembered{s: {set}}
	default:
		m.services[s] = &remembered{set}
	}
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// copy returns the set, which is never nil, for somebody to keep.
func (r *remembered) copy() []mesh.Endpoint {
	if r == nil {
		return []mesh.Endpoint{}
	}
	return slices.Clone(r.set)
}

// find returns where in the set id is, or belongs.
func find(set []mesh.Endpoint, id string) (int, bool) {
	return slices.BinarySearchFunc(set, id, func(e mesh.Endpoint, id string) int { return strings.Compare(e.ID, id) })
}
