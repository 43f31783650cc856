package app

import (
	"errors"
	"slices"

	"outrider/internal/config"
	"outrider/internal/mesh"
)

// because returns the setting that is responsible for a fault and who set it, such as
// "gateway.yml:12 (services.orders.timeout)"; empty where none is: the client is, or
// we are. Without a fault it is what kept a failure from being repeated.
func (g *generation) because(call *mesh.Call, f *mesh.Fault) string {
	keys := g.responsible(call, f)
	if len(keys) == 0 {
		return ""
	}
	if from := g.cfg.Origin(keys...); from.Key != "" {
		return from.String() + " (" + from.Key + ")"
	}
	return keys[len(keys)-1] + ", by default"
}

// responsible are the keys that may have set what a fault came of, the strongest
// first.
func (g *generation) responsible(call *mesh.Call, f *mesh.Fault) []string {
	p := g.plans[call.Route]
	if f == nil {
		return g.unrepeated(p, call)
	}
	switch f.Kind {
	case mesh.URITooLong:
		return []string{"limits.uri_bytes"}
	case mesh.BodyTooLarge:
		return []string{"limits.body_bytes"}
	case mesh.HeaderTooLarge:
		if call.Fields > g.cfg.Limits.HeaderCount {
			return []string{"limits.header_count"}
		}
		return []string{"limits.header_bytes"}
	case mesh.Shed:
		return []string{"inbound.max_concurrent"}
	case mesh.NoRoute:
		if p != nil {
			return []string{p.key}
		}
		return []string{"inbound.routing", "routing"}
	case mesh.Limited:
		return g.limited(p, f)
	}
	if p == nil || f.ByClient && f.Kind != mesh.RequestTimeout {
		return nil
	}
	switch f.Kind {
	case mesh.Unauthenticated:
		return g.listing(p, config.MiddlewareAuth)
	case mesh.NotCached:
		return g.listing(p, config.MiddlewareCache)
	case mesh.AuthFailed:
		return g.authFailed(p, f)
	}
	for _, c := range p.choices {
		if mesh.Service(c.name) == call.Service || c.is == nil {
			return g.ofService(p.key, c, f)
		}
	}
	return nil
}

// unrepeated is the budget that kept an attempt from being repeated.
func (g *generation) unrepeated(p *plan, call *mesh.Call) []string {
	if p == nil || call.Acts&mesh.NoBudget == 0 {
		return nil
	}
	service := config.Key("services", string(call.Service))
	return []string{config.Key(p.key, "retries", "budget"), config.Key(service, "retries", "budget")}
}

// limited is the limit that was reached, of those that the request met.
func (g *generation) limited(p *plan, f *mesh.Fault) []string {
	if _, ok := g.cfg.RateLimiting.Paths[f.Rule]; ok && (p == nil || p.limit == nil || p.limit.Name() != f.Rule) {
		return []string{config.Key("rate_limiting.paths", f.Rule)}
	}
	if p == nil {
		return nil
	}
	return []string{config.Key(p.key, "rate_limiting"), "rate_limiting.default"}
}

// listing is the middleware list that has a rule's requests meet a layer.
func (g *generation) listing(p *plan, name string) []string {
	keys := []string{config.Key(p.key, "middleware")}
	if in := g.cfg.Inbound; in != nil && slices.Contains(in.Middleware, name) {
		return append([]string{"inbound.middleware"}, keys...)
	}
	return keys
}

// authFailed is what the authentication service is asked by: the bound that passed, or
// where it is.
func (g *generation) authFailed(p *plan, f *mesh.Fault) []string {
	own := config.Key(p.key, "auth")
	var below *mesh.Fault
	if !errors.As(f.Err, &below) {
		return []string{config.Key(own, "validate_url"), "auth.validate_url"}
	}
	if below.Kind == mesh.ResponseTimeout && below.Err != nil { // the check's own; the service's has no further cause
		return []string{config.Key(own, "timeout"), "auth.timeout"}
	}
	if _, ok := g.cfg.Services[p.asks.name]; !ok {
		return []string{config.Key(own, "validate_url"), "auth.validate_url"}
	}
	return g.ofService("", planned{service: p.asks, is: g.cfg.Services[p.asks.name]}, below)
}

// ofService are the keys of a service, or of the rule at key in place of it, that a
// fault at its endpoints came of.
func (g *generation) ofService(key string, c planned, f *mesh.Fault) []string {
	service := config.Key("services", c.name)
	if c.is == nil { // the app
		service = "inbound"
	}
	switch f.Kind {
	case mesh.ResponseTimeout:
		return []string{config.Key(key, "timeout"), config.Key(service, "timeout")}
	case mesh.RequestTimeout:
		var below *mesh.Fault
		if errors.As(f.Err, &below) {
			return g.ofService(key, c, below)
		}
		return nil
	case mesh.PerTryTimeout:
		return []string{config.Key(service, "per_try_timeout")}
	case mesh.ConnectTimeout:
		return []string{config.Key(service, "connect_timeout")}
	case mesh.IdleTimeout:
		return []string{config.Key(service, "idle_timeout")}
	case mesh.Overflow:
		return []string{config.Key(service, "max_connections")}
	case mesh.BreakerOpen:
		return []string{
			config.Key(key, "circuit_breaker", "failure_threshold"), config.Key(service, "circuit_breaker", "failure_threshold"),
			"circuit_breaker.failure_threshold",
		}
	case mesh.TLSCertificate, mesh.TLSFailed:
		return append([]string{config.Key(service, "tls")}, whereabouts(c)...)
	case mesh.NoEndpoints, mesh.Refused, mesh.Unreachable, mesh.Reset, mesh.BadResponse, mesh.ResponseTooLarge, mesh.UnsupportedUpgrade:
		return whereabouts(c)
	}
	return nil
}

// whereabouts are the keys that may say where a service's endpoints are.
func whereabouts(c planned) []string {
	if c.is == nil {
		return []string{"service.app"}
	}
	key := config.Key("services", c.name)
	return []string{config.Key(key, "url"), config.Key(key, "instances"), config.Key(key, "consul"), key}
}
