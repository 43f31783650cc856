package config

import (
	"slices"
	"strings"
)

// arrange puts every middleware list into the order in which it acts.
func (l *loader) arrange() {
	for i, r := range l.cfg.Routing {
		r.Middleware = l.inOrder(under(item("routing", i), "middleware"), r.Middleware)
	}
	if in := l.cfg.Inbound; in != nil {
		in.Middleware = l.inOrder("inbound.middleware", in.Middleware)
		for i, r := range in.Routing {
			r.Middleware = l.inOrder(under(item("inbound.routing", i), "middleware"), r.Middleware)
		}
	}
}

func (l *loader) inOrder(path string, names []string) []string {
	acts := arrange(names)
	known := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	switch {
	case len(known) != len(acts):
		l.fault(path, "names something twice")
	case !slices.Equal(known, acts):
		l.warn(path, "acts in the order %s, whatever order it is written in", strings.Join(acts, ", "))
	}
	return acts
}

// checkMiddleware checks that what a route lists is there, and that what it sets up
// is listed. Every is what acts on the route besides; that has been checked already.
func (l *loader) checkMiddleware(path string, r *Route, every []string) {
	list := under(path, "middleware")
	limits := &l.cfg.RateLimiting
	if r.RateLimiting != nil {
		limits = r.RateLimiting
	}
	always := func(name string) bool { return slices.Contains(every, name) }
	acts := func(name string) bool { return r.Lists(name) || always(name) }
	if r.Lists(MiddlewareRateLimit) || acts(MiddlewareRateLimit) && r.RateLimiting != nil {
		l.checkRateLimit(list, limits, acts(MiddlewareAuth))
	}
	if r.Lists(MiddlewareAuth) && !always(MiddlewareAuth) && r.Auth == nil {
		l.checkAuthService(list)
	}
	if told := always(MiddlewareAuth) && always(MiddlewareCache); !told && acts(MiddlewareAuth) && acts(MiddlewareCache) {
		l.warnUselessCache(list)
	}
	for _, block := range []struct{ key, name string }{
		{"auth", MiddlewareAuth},
		{"rate_limiting", MiddlewareRateLimit},
		{"circuit_breaker", MiddlewareCircuitBreaker},
		{"cache", MiddlewareCache},
		{"transform", MiddlewareTransform},
		{"cors", MiddlewareCORS},
	} {
		if l.has(under(path, block.key)) && !acts(block.name) {
			l.warn(under(path, block.key), "has no effect: the route's middleware does not list %s", block.name)
		}
	}
}

// checkRateLimit checks what rate-limit in the list at path needs.
func (l *loader) checkRateLimit(path string, limits *RateLimiting, authed bool) {
	if limits.Default == nil {
		where := "neither rate_limiting.default nor one in this route"
		if path == everyRequest {
			where = "no rate_limiting.default"
		}
		l.fault(path, "lists rate-limit, but there is %s", where)
	}
	if limits.Key == "subject" && !authed {
		l.fault(path, "lists rate-limit by subject without auth, which finds the subject")
	}
}

// checkAuthService warns where auth, in the list at path, asks a service that nobody
// named.
func (l *loader) checkAuthService(path string) {
	if _, ok := l.cfg.Services["auth-service"]; !ok && !l.has("auth.validate_url") {
		l.warn(path, "lists auth, but auth.validate_url is not set and no service is named auth-service: %s is looked up in DNS", l.cfg.Auth.ValidateURL)
	}
}

func (l *loader) warnUselessCache(path string) {
	l.warn(path, "lists cache beside auth: an answer to somebody's token is never kept for others, so the cache does nothing here")
}
