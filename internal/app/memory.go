package app

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"outrider/discovery"
	"outrider/discovery/consul"
	"outrider/internal/mesh"
)

// Memory is a registry in memory, for several proxies of one process.
func Memory(m *discovery.Memory) Registry { return memory{m} }

type memory struct{ *discovery.Memory }

// Resolver is the memory itself, by the name that the registry knows the service by.
func (m memory) Resolver(q consul.Query, _ consul.Hear) discovery.Resolver {
	return renamed{m.Memory, mesh.Service(q.Service)}
}

// renamed looks for a service under the registry's name for it.
type renamed struct {
	discovery.Resolver
	name mesh.Service
}

func (r renamed) Watch(ctx context.Context, _ mesh.Service, update func([]mesh.Endpoint)) error {
	return r.Resolver.Watch(ctx, r.name, update)
}

func (m memory) Registrar(r consul.Registration, health consul.Health) (Registrar, error) {
	mr := &memoryRegistrar{memory: m, health: health, beat: make(chan struct{}, 1)}
	mr.is.Store(&r)
	return mr, nil
}

func (memory) Forgetful() bool { return false }

func (memory) Close() {}

// memoryRegistrar keeps an instance in memory up to date.
type memoryRegistrar struct {
	memory
	is     atomic.Pointer[consul.Registration]
	health consul.Health
	beat   chan struct{}
	known  atomic.Bool
}

func (r *memoryRegistrar) Run(ctx context.Context) error {
	defer func() {
		r.known.Store(false)
		r.Deregister(mesh.Service(r.is.Load().Name), r.is.Load().ID)
	}()
	for {
		r.tell()
		select {
		case <-ctx.Done():
			return nil
		case <-r.beat:
		}
	}
}

// tell registers the instance as it is now.
func (r *memoryRegistrar) tell() {
	is := r.is.Load()
	ok, note := r.health()
	r.Register(mesh.Service(is.Name), mesh.Endpoint{
		ID: is.ID, Scheme: "http", Address: net.JoinHostPort(is.Address, fmt.Sprint(is.Port)), Host: is.Name,
		Weight: is.Weight, Zone: is.Zone, Meta: is.Meta, Unhealthy: !ok, HealthNote: note,
	})
	r.known.Store(true)
}

func (r *memoryRegistrar) Change(to consul.Registration) error {
	r.is.Store(&to)
	r.Beat()
	return nil
}

func (r *memoryRegistrar) Registered() bool { return r.known.Load() }

func (r *memoryRegistrar) Beat() {
	select {
	case r.beat <- struct{}{}:
	default: // one is due already
	}
}
