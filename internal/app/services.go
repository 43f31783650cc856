package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"outrider/discovery"
	"outrider/inbound"
	"outrider/internal/config"
	"outrider/internal/identity"
	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/outbound/balance"
)

// service is an outbound service and what the proxy knows of it besides.
type service struct {
	*outbound.Service
	name   string
	label  string            // in metrics
	policy string            // of its balancing
	tls    *identity.Client  // nil: not spoken to by TLS
	panic  atomic.Bool       // so few endpoints are healthy that health is disregarded
	ladder *discovery.Ladder // nil: not found in the registry
	state  *appState         // nil: not the app
	stop   context.CancelFunc
}

// service returns the service of these settings: the last generation's, where they
// are the same.
func (b *builder) service(c *config.Service) (*service, error) {
	if b.broken[c.Name] {
		return nil, errBroken
	}
	return b.g.services.take(b.last.services, b.serviceKey(c), func() (*service, error) { return b.p.newService(c, b.around().edit(c)) })
}

// serviceKey describes a service in full. What breakers stand before it belongs to
// that: a balancer keeps each that it was ever given, and would show those of a
// former configuration for ever.
func (b *builder) serviceKey(c *config.Service) string {
	zone := b.around().zone
	if c.Consul != nil && b.g.mesh != nil {
		return keyOf(c, b.breakers[c.Name], zone, b.g.cfg.Identity)
	}
	return keyOf(c, b.breakers[c.Name], zone)
}

// routeBreakers lists, for each service, the breakers that routes put before it.
func (b *builder) routeBreakers() map[string][]string {
	all := map[string][]string{}
	for _, r := range b.g.cfg.Routing {
		for _, w := range choices(r) {
			c, ok := b.g.cfg.Services[w.Service]
			if !ok {
				continue
			}
			if settings := b.override(r, c).Breaker; settings != nil {
				all[w.Service] = append(all[w.Service], keyOf(settings))
			}
		}
	}
	for name, settings := range all {
		slices.Sort(settings)
		all[name] = slices.Compact(settings)
	}
	return all
}

// choices are the services that a route may lead to.
func choices(r *config.Route) []config.Weighted {
	if len(r.Split) > 0 {
		return r.Split
	}
	return []config.Weighted{{Service: r.Service, Weight: 1}}
}

// around is what only the whole configuration says of how services are met: where we
// are, and as whom.
type around struct {
	zone   string
	mesh   *identity.Mesh // nil: as nobody
	strict bool           // beside mesh: by mutual TLS or not at all
}

func (b *builder) around() around {
	a := around{mesh: b.g.mesh, strict: b.g.cfg.Identity.MTLS == identity.Strict}
	if own := b.g.cfg.Service; own != nil {
		a.zone = own.Zone
	}
	return a
}

// edit adds that to a service.
func (a around) edit(c *config.Service) func(*outbound.Config) {
	return func(o *outbound.Config) {
		o.Balance.Zone = a.zone
		if c.Consul != nil && a.mesh != nil {
			o.Mesh = a.mesh.Towards(c.Consul.Service, a.strict)
		}
	}
}

// newService makes a service; edits have the last word.
func (p *Proxy) newService(c *config.Service, edits ...func(*outbound.Config)) (*service, error) {
	s := &service{name: c.Name, label: c.Name, policy: c.LoadBalancing.Policy, stop: func() {}}
	resolver, secure, err := p.resolver(c, s)
	if err != nil {
		return nil, err
	}
	var tlsFor func(string) *tls.Config
	if secure || c.TLS != nil {
		var files identity.ClientFiles
		if c.TLS != nil {
			files = identity.ClientFiles{CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, ServerName: c.TLS.ServerName}
		}
		if s.tls, err = identity.NewClient(files); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		tlsFor = s.tls.TLS
	}
	cfg := outbound.Config{
		Name:           mesh.Service(c.Name),
		Resolver:       resolver,
		HealthCheck:    healthCheck(c.HealthCheck),
		Timeout:        c.Timeout,
		ConnectTimeout: c.ConnectTimeout,
		PerTryTimeout:  c.PerTryTimeout,
		IdleTimeout:    c.IdleTimeout,
		Retry:          retry(c.Retries),
		Balance:        p.balancing(c, s),
		Breaker:        breaker(c.CircuitBreaker),
		MaxConnections: c.MaxConnections,
		MaxPending:     c.MaxPending,
		TLS:            tlsFor,
		Host:           c.Host,
		Events:         p.outboundEvents(s),
		Log:            p.log,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	s.Service, err = outbound.NewService(cfg)
	return s, err
}

func (p *Proxy) balancing(c *config.Service, s *service) balance.Config {
	return balance.Config{
		Policy:         c.LoadBalancing.Policy,
		HashOn:         c.LoadBalancing.HashOn,
		PanicThreshold: c.LoadBalancing.PanicThreshold,
		SlowStart:      c.LoadBalancing.SlowStart,
		ZoneFirst:      c.LoadBalancing.ZoneFirst,
		Outlier:        outlier(c.Outlier),
		Events:         p.balanceEvents(s),
	}
}

// resolver returns what finds the service's endpoints, and whether any of them is
// spoken to by TLS.
func (p *Proxy) resolver(c *config.Service, s *service) (discovery.Resolver, bool, error) {
	if c.Consul != nil {
		return p.catalogued(c, s), false, nil
	}
	instances := c.Instances
	if c.URL != "" {
		instances = []config.Endpoint{{URL: c.URL}}
	}
	var all discovery.Several
	secure := false
	for _, i := range instances {
		address, err := discovery.Parse(i.URL)
		if err != nil {
			return nil, false, err
		}
		secure = secure || address.Scheme == "https"
		all = append(all, &discovery.DNS{
			Address: address,
			Weight:  i.Weight,
			Zone:    i.Zone,
			Lookup:  p.o.Lookup,
			Failed:  func(err error) { s.ResolveFailed(err) },
			Log:     p.log,
		})
	}
	return all, secure, nil
}

// origin is what a route leads to: a redirect, a direct response, or services.
func (b *builder) origin(r *config.Route, out *inbound.Route) error {
	switch {
	case r.Redirect != nil:
		var err error
		out.Origin, err = redirect(r)
		return err
	case r.Respond != nil:
		out.Origin = respond(r.Respond)
		return nil
	}
	var split []outbound.Choice
	for _, w := range choices(r) {
		c, ok := b.g.cfg.Services[w.Service]
		if !ok {
			return fmt.Errorf("there is no service %q", w.Service)
		}
		s, err := b.service(c)
		if err != nil {
			return err
		}
		to := planned{service: s, weight: w.Weight, is: c, override: b.override(r, c)}
		b.plan(out).choices = append(b.plan(out).choices, to)
		split = append(split, outbound.Choice{
			Service: mesh.Service(w.Service),
			Weight:  w.Weight,
			Origin:  mesh.Stack(s.RoundTripper(to.override), b.p.tel.Active(w.Service)),
		})
	}
	var err error
	out.Origin, err = outbound.Split(split, nil)
	return err
}

// override is what the route says of its service otherwise than the service itself.
func (b *builder) override(r *config.Route, c *config.Service) outbound.Override {
	o := outbound.Override{Timeout: r.Timeout}
	if r.Retries != nil {
		changed := retry(*r.Retries)
		o.Retry = &changed
	}
	if !r.Lists("circuit-breaker") {
		return o
	}
	switch {
	case r.CircuitBreaker != nil:
		o.Breaker = breaker(r.CircuitBreaker)
	case c.CircuitBreaker == nil:
		o.Breaker = breaker(&b.g.cfg.CircuitBreaker)
	}
	return o
}

// authOrigin reaches the authentication service: one of the configuration's services
// of that name, else whatever DNS says.
func (b *builder) authOrigin(u *url.URL) (*service, http.RoundTripper, string, error) {
	c, ok := b.g.cfg.Services[u.Hostname()]
	if !ok {
		own := config.DefaultService()
		own.Name, own.URL, own.Host = u.Hostname(), u.Scheme+"://"+u.Host, "preserve"
		c = own
	}
	s, err := b.service(c)
	if err != nil {
		return nil, nil, "", err
	}
	return s, mesh.Stack(s.RoundTripper(outbound.Override{}), b.p.tel.Active(c.Name)), b.serviceKey(c), nil
}
