package app

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"outrider/inbound"
	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/identity"
	"outrider/internal/mesh"
	"outrider/internal/route"
	"outrider/internal/why"
	"outrider/policy"
	"outrider/policy/cache"
)

// builder makes one generation. It goes on after a fault, to find all of them.
type builder struct {
	p    *Proxy
	g    *generation
	last *generation

	breakers map[string][]string // by service, what routes put before it
	broken   map[string]bool     // services that could not be made
	shares   map[*mesh.Route]float64
	faults   config.Problems
}

// errBroken says that a service could not be made, which is among the faults already.
var errBroken = errors.New("the service could not be made")

// build makes a generation and starts nothing. last, which may be nil, is where it
// takes over from. Its error is config.Problems.
func (p *Proxy) build(cfg *config.Config, last *generation) (*generation, error) {
	if last == nil {
		last = &generation{over: make(chan struct{})}
		close(last.over)
	}
	g := &generation{
		cfg:      cfg,
		passages: map[string]passage{},
		ways:     map[string]*way{},
		services: shelf[*service]{},
		limiters: shelf[*policy.Limiter]{},
		auths:    shelf[*policy.Auth]{},
		stores:   shelf[cache.Store]{},
		finders:  shelf[*finder]{},
		inFlight: newInFlight(),
		before:   last.over,
		over:     make(chan struct{}),
	}
	b := &builder{p: p, g: g, last: last, broken: map[string]bool{}, shares: map[*mesh.Route]float64{}}
	b.breakers = b.routeBreakers()
	b.serverTLS()
	b.identity()
	b.services()
	if cfg.Service == nil {
		b.ingress()
	} else {
		b.inbound()
		b.outbound()
	}
	if len(b.faults) > 0 {
		slices.SortStableFunc(b.faults, func(x, y config.Problem) int { return cmp.Compare(x.Line, y.Line) })
		return nil, b.faults
	}
	return g, nil
}

// fault notes what is wrong, and where; nil is nothing.
func (b *builder) fault(line int, err error) {
	switch err := err.(type) { //nolint:errorlint // only what is joined at the top stands in several places
	case nil:
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			b.fault(line, one)
		}
	case *route.RuleError:
		b.faults = append(b.faults, config.Problem{File: b.g.cfg.File, Line: err.Line, Message: err.Message})
	default:
		if !errors.Is(err, errBroken) {
			b.faults = append(b.faults, config.Problem{File: b.g.cfg.File, Line: line, Message: err.Error()})
		}
	}
}

// observed has a request that never reached the stack meet those of its layers that
// count, note and trace, as if it had.
func observed(layers ...mesh.Layer) func(*http.Request, *mesh.Fault) {
	return func(req *http.Request, f *mesh.Fault) {
		refusal := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, f })
		_, _ = mesh.Stack(refusal, layers...).RoundTrip(req) //nolint:bodyclose // there is no response
	}
}

// who names a way in for people.
func who(direction string, cfg *config.Config) string {
	if cfg.Service == nil {
		return direction
	}
	return direction + " of " + cfg.Service.Name
}

func (b *builder) serverTLS() {
	t := b.g.cfg.Server.TLS
	if t == nil {
		return
	}
	if b.last.tls != nil && keyOf(b.last.cfg.Server.TLS) == keyOf(t) {
		b.g.tls = b.last.tls // its files are read again on their own
		return
	}
	files := identity.ServerFiles{
		ClientCAFile: t.ClientCAFile,
		MinVersion:   t.MinVersion,
		Warn:         func(err error) { b.p.log.Warn("server.tls", "warning", err.Error()) },
	}
	line := 0
	for _, c := range t.Certs {
		files.Certs = append(files.Certs, identity.CertFiles{CertFile: c.CertFile, KeyFile: c.KeyFile})
		line = cmp.Or(line, c.Line)
	}
	server, err := identity.NewServer(files)
	if err != nil {
		b.fault(line, fmt.Errorf("server.tls: %w", err))
		return
	}
	b.g.tls = server
}

// services makes every service of the configuration.
func (b *builder) services() {
	for _, name := range slices.Sorted(maps.Keys(b.g.cfg.Services)) {
		c := b.g.cfg.Services[name]
		if _, err := b.service(c); err != nil {
			b.fault(c.Line, fmt.Errorf("services.%s: %w", name, err))
			b.broken[name] = true
		}
	}
}

// guard orders the rules before what they guard.
func (b *builder) guard(paths mesh.Layer, routes []inbound.Route) *inbound.Guard {
	limits := b.g.cfg.Limits
	guard, err := inbound.New(inbound.Config{
		Limits: inbound.Limits{
			URIBytes:    int(limits.URIBytes),
			HeaderCount: limits.HeaderCount,
			HeaderBytes: int(limits.HeaderBytes),
			BodyBytes:   int64(limits.BodyBytes),
		},
		PathLimits: paths,
		Routes:     routes,
	})
	b.fault(0, err)
	return guard
}

// way returns what is known of a way in, made at its first use.
func (b *builder) way(direction string) *way {
	if b.g.ways[direction] == nil {
		b.g.ways[direction] = &way{direction: direction}
	}
	return b.g.ways[direction]
}

// serve makes the handler of one address.
func (b *builder) serve(direction string, forward bridge.ForwardConfig, stack http.RoundTripper) passage {
	cfg := b.g.cfg
	observe := b.p.tel.Requests(b.observation(direction))
	traces := b.traces(direction)
	forward.Pseudonym = b.p.name + suffix[direction]
	forward.Protected = identityHeaders(cfg)
	way := b.way(direction)
	// Above every rule: they all ask who the client is.
	way.pseudonym, way.hops, way.forward = forward.Pseudonym, bridge.NewHops(forward.Protected), bridge.Forward(forward)
	note := b.p.decisions.Layer(why.Config{
		Hop: way.pseudonym, Who: who(direction, cfg), Direction: direction, File: cfg.File, Because: b.g.because,
	})
	var reserved mesh.Layer
	if direction == "inbound" {
		reserved = b.p.reserved(b.g)
	}
	edge := bridge.Config{
		Stack: mesh.Stack(stack,
			// Above all others: it sees what each of them answers.
			observe,
			// Above every rule, which the proxies' own questions do not meet.
			reserved,
			note,
			way.forward,
			// Above every rule that edits the request: it tells what came in. Below the
			// forwarding layer: X-Request-ID is believed only from who may say it.
			traces,
		),
		Pseudonym: forward.Pseudonym,
		Protected: forward.Protected,
		Identify:  identity.Peer,
		Refused:   observed(observe, note, traces),
		Log:       b.p.log,
	}
	return passage{bridge.NewEdge(edge), bridge.New(edge)}
}

// routes makes each rule; origin says what is behind it.
func (b *builder) routes(of []*config.Route, origin func(*config.Route, *inbound.Route) error) []inbound.Route {
	made := make([]inbound.Route, len(of))
	for i, r := range of {
		var err error
		made[i], err = b.route(r, origin)
		b.fault(r.Line, err)
	}
	return made
}

// route makes one rule, its layers in policies.go.
func (b *builder) route(r *config.Route, origin func(*config.Route, *inbound.Route) error) (inbound.Route, error) {
	out := inbound.Route{
		Match: route.Match{Path: r.Path, Hosts: r.Hosts, Methods: r.Methods, Headers: values(r.Headers), Query: values(r.Query)},
		Is:    &mesh.Route{Name: r.Path, Line: r.Line, Service: mesh.Service(r.Service)},
	}
	b.share(r, out.Is)
	p := &plan{rule: r, key: b.keyOfRule(r)}
	b.g.remember(out.Is, p)
	out.Rewrite.StripPath = r.StripPath
	if r.Rewrite != nil {
		out.Rewrite.Path, out.Rewrite.Host = r.Rewrite.Path, r.Rewrite.Host
	}
	var errs []error
	for _, add := range []func(*config.Route, *inbound.Route) error{origin, b.cors, b.limit, b.auth, b.transform, b.cache} {
		errs = append(errs, add(r, &out))
	}
	p.made = out
	return out, errors.Join(errs...)
}

func values(in map[string]config.Match) map[string]route.Value {
	out := make(map[string]route.Value, len(in))
	for name, m := range in {
		out[name] = route.Value{Exact: m.Exact, Regex: m.Regex}
	}
	return out
}
