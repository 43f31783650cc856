package discovery

import (
	"context"
	"slices"
	"strings"
	"sync"

	"outrider/internal/mesh"
)

// Memory is a registry in memory: what is registered in it, its Watch finds. It stands
// in for a catalogue where all proxies are in one process. The zero Memory is empty
// and ready; it is safe for concurrent use.
type Memory struct {
	mu       sync.Mutex // protects services, and each of them
	services map[mesh.Service]*listing
}

// listing is one service of a Memory.
type listing struct {
	endpoints map[string]mesh.Endpoint // by ID
	changed   chan struct{}            // closed at the next change
}

var _ Resolver = (*Memory)(nil)

// Register makes e an endpoint of s, in place of the one of that ID.
func (m *Memory) Register(s mesh.Service, e mesh.Endpoint) {
	m.change(s, func(of map[string]mesh.Endpoint) { of[e.ID] = e })
}

// SetHealth says how an endpoint is; note says why it is not well. An endpoint that is
// not registered stays so.
func (m *Memory) SetHealth(s mesh.Service, id string, well bool, note string) {
	m.change(s, func(of map[string]mesh.Endpoint) {
		if e, ok := of[id]; ok {
			e.Unhealthy, e.HealthNote = !well, note
			of[id] = e
		}
	})
}

// Deregister takes an endpoint out.
func (m *Memory) Deregister(s mesh.Service, id string) {
	m.change(s, func(of map[string]mesh.Endpoint) { delete(of, id) })
}

func (m *Memory) change(s mesh.Service, edit func(map[string]mesh.Endpoint)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.listing(s)
	edit(of.endpoints)
	close(of.changed)
	of.changed = make(chan struct{})
}

// listing returns the service's, made where there is none. m.mu is held.
func (m *Memory) listing(s mesh.Service) *listing {
	of := m.services[s]
	if of == nil {
		of = &listing{endpoints: map[string]mesh.Endpoint{}, changed: make(chan struct{})}
		if m.services == nil {
			m.services = map[mesh.Service]*listing{}
		}
		m.services[s] = of
	}
	return of
}

// Watch passes the endpoints by ID. Of changes that come while update runs, only what
// they lead to is passed.
func (m *Memory) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	for {
		set, changed := m.look(s)
		update(set)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// look returns the endpoints of the moment, and a channel that is closed when there
// are others.
func (m *Memory) look(s mesh.Service) ([]mesh.Endpoint, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.listing(s)
	set := make([]mesh.Endpoint, 0, len(of.endpoints))
	for _, e := range of.endpoints {
		set = append(set, e)
	}
	slices.SortFunc(set, func(a, b mesh.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return set, of.changed
}
