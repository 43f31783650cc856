package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
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
	// Change has it known by other tags, meta, weight or zone from now on.
	Change(r consul.Registration) error
	// Beat has it say now how the instance is: that has changed.
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

// openRegistry makes the registry that a configuration asks for. It opens no
// connection.
func (p *Proxy) openRegistry(c *config.Consul) (err error) {
	if c != nil {
		p.home = c.Datacenter
		p.registry, err = p.o.Registry(*c)
	}
	return err
}

// openStore opens the store of snapshots, whose folder it makes where there is none.
func (p *Proxy) openStore(c *config.Consul) (err error) {
	if c == nil || c.SnapshotDir == "" {
		return nil
	}
	if p.store, err = discovery.OpenStore(c.SnapshotDir); err != nil {
		return fmt.Errorf("consul.snapshot_dir: %w", err)
	}
	return nil
}

// closeRegistry gives its connections back.
func (p *Proxy) closeRegistry() {
	if p.registry != nil {
		p.registry.Close()
	}
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
