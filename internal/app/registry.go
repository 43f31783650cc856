package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"outrider/discovery"
	"outrider/discovery/consul"
	"outrider/internal/config"
	"outrider/internal/identity"
	"outrider/internal/mesh"
)

// Registry is where services are found and where this one is made known: Consul, or
// what stands in for it.
type Registry interface {
	// Resolver finds a service. It keeps its endpoints where it cannot.
	Resolver(q consul.Query, hear consul.Hear) discovery.Resolver
	// Registrar makes an instance known for as long as it runs.
	Registrar(r consul.Registration, health consul.Health) (Registrar, error)
	// Forgetful reports whether it may fail to answer, or lose what it knew: then what is
	// known is kept beside it.
	Forgetful() bool
	// Close gives connections back.
	Close()
}

// Registrar keeps an instance known.
type Registrar interface {
	// Run registers, says again and again how the instance is, and deregisters when ctx
	// ends.
	Run(ctx context.Context) error
	// Beat has it say so now: something has changed.
	Beat()
	// Registered reports whether the instance is known.
	Registered() bool
}

// consulRegistry makes clients of Consul.
func consulRegistry(log *slog.Logger) func(config.Consul) (Registry, error) {
	return func(c config.Consul) (Registry, error) {
		var settings func(string) *tls.Config
		if c.TLS != nil {
			client, err := identity.NewClient(identity.ClientFiles{
				CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, ServerName: c.TLS.ServerName,
			})
			if err != nil {
				return nil, fmt.Errorf("consul.tls: %w", err)
			}
			settings = client.TLS
		}
		client, err := consul.New(consul.Config{
			Address: c.Address, Scheme: c.Scheme, Token: c.Token, TokenFile: c.TokenFile, Datacenter: c.Datacenter,
			TLS: settings, Stale: c.Stale, MaxWatches: c.MaxWatches, Log: log,
		})
		if err != nil {
			return nil, err
		}
		return consulClient{client}, nil
	}
}

// consulClient is a Client as a Registry.
type consulClient struct{ *consul.Client }

func (c consulClient) Resolver(q consul.Query, hear consul.Hear) discovery.Resolver {
	return c.Client.Resolver(q, hear)
}

func (c consulClient) Registrar(r consul.Registration, health consul.Health) (Registrar, error) {
	registrar, err := c.Client.Registrar(r, health)
	return consulRegistrar{registrar}, err
}

// consulRegistrar is a consul.Registrar as a Registrar.
type consulRegistrar struct{ *consul.Registrar }

func (r consulRegistrar) Registered() bool { return r.Status().Registered }

func (consulClient) Forgetful() bool { return true }

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
	return &memoryRegistrar{memory: m, is: r, health: health, beat: make(chan struct{}, 1)}, nil
}

func (memory) Forgetful() bool { return false }

func (memory) Close() {}

// memoryRegistrar keeps an instance in memory up to date.
type memoryRegistrar struct {
	memory
	is     consul.Registration
	health consul.Health
	beat   chan struct{}
	known  atomic.Bool
}

func (r *memoryRegistrar) Run(ctx context.Context) error {
	name := mesh.Service(r.is.Name)
	at := mesh.Endpoint{
		ID: r.is.ID, Scheme: "http", Address: net.JoinHostPort(r.is.Address, fmt.Sprint(r.is.Port)), Host: r.is.Name,
		Weight: r.is.Weight, Zone: r.is.Zone, Meta: r.is.Meta,
	}
	ok, note := r.health()
	at.Unhealthy, at.HealthNote = !ok, note
	r.Register(name, at)
	r.known.Store(true)
	defer func() {
		r.known.Store(false)
		r.Deregister(name, r.is.ID)
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.beat:
		}
		ok, note := r.health()
		r.SetHealth(name, r.is.ID, ok, note)
	}
}

func (r *memoryRegistrar) Registered() bool { return r.known.Load() }

func (r *memoryRegistrar) Beat() {
	select {
	case r.beat <- struct{}{}:
	default: // one is due already
	}
}

// openRegistry makes the registry and the store of snapshots that a configuration
// asks for. It opens no connection.
func (p *Proxy) openRegistry(c *config.Consul) error {
	if c == nil {
		return nil
	}
	var err error
	if p.registry, err = p.o.Registry(*c); err != nil {
		return err
	}
	p.home = c.Datacenter
	if c.SnapshotDir == "" {
		return nil
	}
	if p.store, err = discovery.OpenStore(c.SnapshotDir); err != nil {
		return fmt.Errorf("consul.snapshot_dir: %w", err)
	}
	return nil
}

// catalogued returns what finds a service in the registry, and keeps it reachable
// while the registry is not.
func (p *Proxy) catalogued(c *config.Service, s *service) discovery.Resolver {
	q := consul.Query{
		Service: c.Consul.Service, Datacenter: c.Consul.Datacenter, Namespace: c.Consul.Namespace,
		Partition: c.Consul.Partition, Tag: c.Consul.Tag, Filter: c.Consul.Filter,
	}
	if c.TLS != nil {
		q.Scheme = "https"
	}
	if !p.registry.Forgetful() {
		return p.registry.Resolver(q, consul.Hear{Failed: s.ResolveFailed})
	}
	s.ladder = &discovery.Ladder{Store: p.store, Name: c.Consul.Service + " " + keyOf(p.home, q), Probe: reachable, Places: p.probes, Log: p.log}
	s.ladder.Inner = p.registry.Resolver(q, consul.Hear{
		Answered: s.ladder.Answered,
		Failed: func(err error) {
			s.ladder.Failed(err)
			s.ResolveFailed(err)
		},
	})
	return s.ladder
}

const reachTimeout = 2 * time.Second

// reachable reports whether something accepts connections at an endpoint.
func reachable(ctx context.Context, e mesh.Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	_, err := connects(ctx, e, "")
	return err
}
