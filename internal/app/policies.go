package app

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"outrider/inbound"
	"outrider/internal/config"
	"outrider/internal/mesh"
	"outrider/internal/route"
	"outrider/policy"
	"outrider/policy/cache"
	"outrider/policy/transform"
)

// limiter returns the limiter of these settings: the last generation's, with its
// clients, where they are the same. Whose it is tells apart those that happen to
// have the same settings.
func (b *builder) limiter(whose string, c policy.LimitConfig) (*policy.Limiter, error) {
	key := keyOf(whose, c.Name, c.Rate, c.Key.String())
	return b.g.limiters.take(b.last.limiters, key, func() (*policy.Limiter, error) { return policy.NewLimiter(c) })
}

func rate(r config.Rate) policy.Rate {
	return policy.Rate{PerMinute: r.RequestsPerMinute, Burst: r.Burst}
}

// pathLimits are the limits under rate_limiting.paths: on every request, by address.
func (b *builder) pathLimits(direction string) mesh.Layer {
	paths := b.g.cfg.RateLimiting.Paths
	var limits []policy.PathLimit
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		r := paths[path]
		l, err := b.limiter("path", policy.LimitConfig{Name: path, Rate: rate(r), Key: policy.ClientIP()})
		b.fault(r.Line, err)
		limits = append(limits, policy.PathLimit{Path: path, Line: r.Line, Limiter: l})
	}
	if limits == nil || len(b.faults) > 0 {
		return nil
	}
	layer, err := policy.PathLimits(limits)
	b.fault(0, err)
	if err == nil {
		b.way(direction).paths, err = pathTable(limits)
		b.fault(0, err)
	}
	return layer
}

// limit is the route's own limit, or the default: one bucket a client over all
// routes that share it.
func (b *builder) limit(r *config.Route, out *inbound.Route) error {
	if !r.Lists("rate-limit") {
		return nil
	}
	settings, whose, name := &b.g.cfg.RateLimiting, "default", "default"
	if r.RateLimiting != nil {
		settings, whose, name = r.RateLimiting, keyOf(r.Path, r.Hosts, r.Methods, r.Headers, r.Query), r.Path
		if _, taken := b.g.cfg.RateLimiting.Paths[name]; taken {
			name = "route " + name // both act, and a client has to tell them apart
		}
	}
	if settings.Default == nil {
		return fmt.Errorf("rate-limit is listed, and there is no rate_limiting.default")
	}
	key, err := policy.ParseKey(settings.Key)
	if err != nil {
		return err
	}
	l, err := b.limiter(whose, policy.LimitConfig{Name: name, Rate: rate(*settings.Default), Key: key})
	if err != nil {
		return err
	}
	b.plan(out).limit = l
	if key.BySubject() {
		out.SubjectLimit = l.Layer()
	} else {
		out.AddressLimit = l.Layer()
	}
	return nil
}

func (b *builder) auth(r *config.Route, out *inbound.Route) error {
	if !r.Lists("auth") {
		return nil
	}
	settings := &b.g.cfg.Auth
	if r.Auth != nil {
		settings = r.Auth
	}
	u, err := url.Parse(settings.ValidateURL)
	if err != nil {
		return err
	}
	to, origin, originKey, err := b.authOrigin(u)
	if err != nil {
		return err
	}
	a, err := b.g.auths.take(b.last.auths, keyOf(settings, originKey), func() (*policy.Auth, error) {
		return policy.NewAuth(policy.AuthConfig{
			URL:         u,
			Origin:      origin,
			Timeout:     settings.Timeout,
			TTL:         settings.CacheTTL,
			NegativeTTL: settings.NegativeTTL,
			MaxCached:   settings.MaxCached,
			Headers:     settings.Headers,
			Checked:     b.p.tel.AuthCheck,
			Log:         b.p.log,
		})
	})
	if err != nil {
		return err
	}
	b.plan(out).auth, b.plan(out).asks = a, to
	out.Auth = a.Layer()
	return nil
}

// identityHeaders are the names that only the proxy vouches for.
func identityHeaders(cfg *config.Config) []string {
	names := map[string]bool{}
	add := func(a *config.Auth) {
		if a == nil {
			return
		}
		for _, name := range a.Headers {
			names[http.CanonicalHeaderKey(name)] = true
		}
	}
	add(&cfg.Auth)
	routes := cfg.Routing
	if cfg.Inbound != nil {
		routes = append(slices.Clone(routes), cfg.Inbound.Routing...)
	}
	for _, r := range routes {
		add(r.Auth)
	}
	return slices.Sorted(maps.Keys(names))
}

func (b *builder) cors(r *config.Route, out *inbound.Route) error {
	if !r.Lists("cors") {
		return nil
	}
	c := b.g.cfg.CORS
	if r.CORS != nil {
		c = *r.CORS
	}
	maxAge := time.Duration(c.MaxAge)
	if maxAge == 0 { // as it was written; for policy zero is its default
		maxAge = -1
	}
	var err error
	out.CORS, err = policy.NewCORS(policy.CORSConfig{
		AllowOrigins:     c.AllowOrigins,
		AllowMethods:     c.AllowMethods,
		AllowHeaders:     c.AllowHeaders,
		ExposeHeaders:    c.ExposeHeaders,
		AllowCredentials: c.AllowCredentials,
		MaxAge:           maxAge,
	})
	return err
}

func (b *builder) transform(r *config.Route, out *inbound.Route) error {
	if !r.Lists("transform") {
		return nil
	}
	t := b.transformOf(r)
	var err error
	out.Transform, err = transform.New(transform.Config{
		Service:  mesh.Service(r.Service),
		Version:  t.Version,
		Envelope: t.Envelope,
		MaxBody:  int64(t.MaxBody),
		Request:  edit(t.Request),
		Response: edit(t.Response),
	})
	return err
}

// transformOf is what holds for a route that lists transform: its own settings, or
// those for all.
func (b *builder) transformOf(r *config.Route) *config.Transform {
	if r.Transform != nil {
		return r.Transform
	}
	return &b.g.cfg.Transform
}

func edit(e config.HeaderEdit) transform.Edit {
	return transform.Edit{Set: e.Set, Add: e.Add, Remove: e.Remove}
}

// cache gives a route its view of what is stored, which is shared and outlives a
// reload.
func (b *builder) cache(r *config.Route, out *inbound.Route) error {
	if !r.Lists("cache") {
		return nil
	}
	c := b.g.cfg.Cache
	if r.Cache != nil {
		c = *r.Cache
	}
	store, err := b.g.stores.take(b.last.stores, keyOf(c.MaxBytes, c.MaxBody), func() (cache.Store, error) {
		return cache.NewMemory(int64(c.MaxBytes), int64(c.MaxBody)), nil
	})
	if err != nil {
		return err
	}
	kept := cache.New(cache.Config{
		Name:     "outrider",
		Scope:    b.leadsTo(r),
		TTL:      time.Duration(c.TTL),
		MaxBytes: int64(c.MaxBytes),
		MaxBody:  int64(c.MaxBody),
		Store:    store,
		Observed: b.p.tel.CacheRequest,
	})
	b.plan(out).cache = kept
	out.Cache = kept.Layer()
	return nil
}

// leadsTo describes what becomes of a request on this route: by its headers the same
// URL may lead elsewhere on another. Methods are left out, so that a POST on a route
// of its own still invalidates what the GETs' route has stored.
func (b *builder) leadsTo(r *config.Route) string {
	path := ""
	if r.StripPath || r.Rewrite != nil {
		path = r.Path
	}
	var edit any
	if r.Lists("transform") {
		edit = b.transformOf(r).Request
	}
	return keyOf(r.Service, r.Split, path, r.StripPath, r.Rewrite, edit)
}

func redirect(r *config.Route) (http.RoundTripper, error) {
	pattern, err := route.ParsePattern(r.Path)
	if err != nil {
		return nil, err
	}
	d := r.Redirect
	if d.Path != "" {
		if err := route.CheckReplacement(pattern, d.Path); err != nil {
			return nil, fmt.Errorf("redirect.path: %w", err)
		}
	}
	return policy.Redirect(policy.RedirectConfig{
		Pattern: pattern,
		Scheme:  d.Scheme,
		Host:    d.Host,
		Port:    d.Port,
		Path:    d.Path,
		Status:  d.Status,
	}), nil
}

func respond(r *config.Respond) http.RoundTripper {
	return policy.Respond(policy.RespondConfig{Status: r.Status, Headers: r.Headers, Body: r.Body})
}

// setLevel follows logging.level.
func (p *Proxy) setLevel(name string) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err == nil { // validated on loading
		p.o.Level.Set(l)
	}
}
