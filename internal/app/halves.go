package app

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"outrider/inbound"
	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/identity"
	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/policy"
)

// suffix tells the halves of one sidecar apart in Via: an app that copies the fields of
// a request onto its own calls makes no loop.
var suffix = map[string]string{"ingress": "", "inbound": "-in", "outbound": "-out"}

// loopback is where the app's own calls come from.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// anyPath is the pattern of every path.
const anyPath = "/**"

// ingress is the inbound stack on the outbound one.
func (b *builder) ingress() {
	cfg := b.g.cfg
	paths := b.pathLimits("ingress")
	routes := b.routes(cfg.Routing, b.origin)
	if len(b.faults) > 0 {
		return // not every route is whole
	}
	guard := b.guard(paths, routes)
	b.way("ingress").guard = guard
	b.g.passages[serverKey] = b.serve("ingress", bridge.ForwardConfig{TrustedProxies: cfg.TrustedProxies, Gateway: true}, guard)
}

// inbound is what stands before the app.
func (b *builder) inbound() {
	cfg := b.g.cfg
	app, err := b.appService()
	if err != nil {
		b.fault(0, fmt.Errorf("service: %w", err))
		return
	}
	b.g.app = app
	shed := policy.NewShed(cfg.Inbound.MaxConcurrent)
	toApp := func(r *config.Route, out *inbound.Route) error {
		out.Is.Service = mesh.Service(cfg.Service.Name)
		if r.Redirect != nil || r.Respond != nil {
			return b.origin(r, out)
		}
		to := planned{service: app, weight: 1, override: outbound.Override{Timeout: r.Timeout}}
		b.plan(out).choices, b.plan(out).shed = []planned{to}, shed
		origin := mesh.Stack(app.RoundTripper(to.override),
			b.p.tel.Active(cfg.Service.Name),
			// Below every rule: what they refuse takes no place.
			shed.Layer(),
		)
		var err error
		out.Origin, err = outbound.Split([]outbound.Choice{{Service: out.Is.Service, Weight: 1, Origin: origin}}, nil)
		return err
	}
	paths := b.pathLimits("inbound")
	routes := b.routes(inboundRoutes(cfg.Inbound), toApp)
	if len(b.faults) > 0 {
		return
	}
	guard := b.guard(paths, routes)
	b.way("inbound").guard = guard
	b.g.passages[inboundKey] = b.serve("inbound", bridge.ForwardConfig{
		TrustedProxies: cfg.TrustedProxies,
		TrustIdentity:  func(mesh.Identity) bool { return true }, // who has one has shown our authority's certificate
	}, guard)
}

// inboundRoutes are the rules of inbound.routing, and one for all else.
func inboundRoutes(in *config.Inbound) []*config.Route {
	if slices.ContainsFunc(in.Routing, func(r *config.Route) bool { return everything(r) && len(r.Hosts) == 0 }) {
		return in.Routing
	}
	return append(slices.Clone(in.Routing), &config.Route{Path: anyPath, Middleware: in.Middleware})
}

// outbound is what the app calls by.
func (b *builder) outbound() {
	cfg := b.g.cfg
	rules := outboundRoutes(cfg)
	routes := append(b.routes(rules, b.origin), b.undeclared(rules)...)
	if len(b.faults) > 0 {
		return
	}
	guard := b.guard(nil, routes)
	b.way("outbound").guard = guard
	// The app itself is believed: what it was told with a request it may tell with its own.
	forward := bridge.ForwardConfig{TrustedProxies: append(slices.Clone(cfg.TrustedProxies), loopback...), FromApp: true}
	b.g.passages[outboundKey] = b.serve("outbound", forward, guard)
	for name, s := range cfg.Services {
		if s.Listen != "" {
			b.g.passages[ownPort(name)] = b.serve("outbound", forward, mesh.Stack(guard, addressed(name)))
		}
	}
}

// outboundRoutes are the rules of routing, and one for each service by its name as
// Host that says what is not said already.
func outboundRoutes(cfg *config.Config) []*config.Route {
	routes := slices.Clone(cfg.Routing)
	said := map[string]bool{}
	for _, r := range cfg.Routing {
		if everything(r) {
			for _, host := range r.Hosts {
				said[host] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Services)) {
		if !said[name] {
			routes = append(routes, &config.Route{Line: cfg.Services[name].Line, Path: anyPath, Hosts: []string{name}, Service: name})
		}
	}
	return routes
}

// everything reports whether a rule takes every request to its hosts.
func everything(r *config.Route) bool {
	return r.Path == anyPath && len(r.Methods)+len(r.Headers)+len(r.Query) == 0
}

// addressed has every request go to the service of that name, whatever its Host was.
func addressed(name string) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			req.Host = name
			return next.RoundTrip(req)
		})
	}
}

// appService reaches the app. It is one address, tried once: whoever called tries
// another instance, and knows best whether that is safe.
func (b *builder) appService() (*service, error) {
	cfg := b.g.cfg
	c := config.DefaultService()
	c.Name, c.URL, c.Timeout = appName, "http://"+cfg.Service.App, cfg.Inbound.Timeout
	c.Retries.Attempts, c.Outlier, c.MaxConnections = 0, nil, 0
	c.HealthCheck = cfg.Service.HealthCheck
	return b.g.services.take(b.last.services, keyOf("app", c), func() (*service, error) { return b.p.newApp(c, cfg.Service.App) })
}

// appName stands for the app where services are listed. No service can have it.
const appName = "(app)"

// appCheck is how an app is watched for which no check is configured: it is well
// while it accepts connections.
var appCheck = config.HealthCheck{Path: "/", Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 1, Unhealthy: 2}

// identity reads who this proxy is to others, where it speaks mutual TLS.
func (b *builder) identity() {
	id := b.g.cfg.Identity
	if id.MTLS == identity.Off || id.Provider != "files" {
		return
	}
	if b.last.mesh != nil && keyOf(b.last.cfg.Identity) == keyOf(id) {
		b.g.mesh = b.last.mesh // its files are read again on their own
		return
	}
	m, err := identity.NewMesh(identity.MeshFiles{
		CertFile: id.CertFile, KeyFile: id.KeyFile, CAFile: id.CAFile,
		Warn: func(err error) { b.p.log.Warn("identity", "warning", err.Error()) },
	})
	if err != nil {
		b.fault(0, fmt.Errorf("identity: %w", err))
		return
	}
	b.g.mesh = m
}
