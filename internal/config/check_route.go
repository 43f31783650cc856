package config

import (
	"net/http"
	"strings"
)

// checkRoute checks what one route says.
func (l *loader) checkRoute(path string, r *Route) {
	l.checkPath(path, r)
	ways := l.present(path, "service", "split", "redirect", "respond")
	switch {
	case len(ways) == 0:
		l.fault(path, "needs one of service, split, redirect, respond")
	case len(ways) > 1:
		l.fault(path, "has %s: a request can go one way only", strings.Join(ways, " and "))
	}
	if l.has(under(path, "service")) {
		l.checkReference(under(path, "service"), r.Service)
	}
	l.checkSplit(under(path, "split"), r)
	l.checkRule(path, r, nil)
}

// checkRule checks what a route says whose requests go anywhere. Every is the
// middleware that acts on it besides its own.
func (l *loader) checkRule(path string, r *Route, every []string) {
	l.checkAnswer(path, r)
	l.checkRewrite(path, r)
	l.checkMiddleware(path, r, every)
	l.checkOverrides(path, r)
	l.checkRouteTracing(path, r)
}

func (l *loader) checkPath(path string, r *Route) {
	if r.Path == "" && !l.has(under(path, "path")) {
		l.fault(path, "needs a path, such as /api/users/**")
	} else if r.Path == "" {
		l.fault(under(path, "path"), "is empty: write one such as /api/users/**")
	}
}

// checkReference checks that a service of this name is there.
func (l *loader) checkReference(path, name string) {
	if _, ok := l.cfg.Services[name]; ok {
		return
	}
	advice := ""
	if near := nearest(name, sorted(l.cfg.Services)); near != "" {
		advice = ", did you mean " + near + "?"
	}
	l.fault(path, "there is no service %q%s", l.shown(name), advice)
}

func (l *loader) checkSplit(path string, r *Route) {
	if !l.has(path) {
		return
	}
	total, named := 0, map[string]bool{}
	for i, part := range r.Split {
		at := item(path, i)
		total += part.Weight
		switch {
		case !l.has(under(at, "service")):
			l.fault(at, "needs a service")
		case named[part.Service]:
			l.fault(under(at, "service"), "%s has a share of this split already", l.shown(part.Service))
		default:
			l.checkReference(under(at, "service"), part.Service)
		}
		named[part.Service] = true
	}
	if total == 0 {
		l.fault(path, "no part has a weight: no request could go anywhere")
	}
}

// checkAnswer checks redirects and direct responses, which ask no service.
func (l *loader) checkAnswer(path string, r *Route) {
	if r.Redirect == nil && r.Respond == nil {
		return
	}
	if r.StripPath {
		l.fault(under(path, "strip_path"), "has no effect: this route asks no service")
	}
	for _, key := range l.present(path, "rewrite", "timeout", "retries", "circuit_breaker", "cache") {
		l.fault(under(path, key), "has no effect: this route asks no service")
	}
	for _, name := range []string{MiddlewareCache, MiddlewareCircuitBreaker} {
		if r.Lists(name) {
			l.fault(under(path, "middleware"), "%s has no effect: this route asks no service", name)
		}
	}
	if d := r.Redirect; d != nil {
		at := under(path, "redirect")
		if len(l.present(at, "scheme", "host", "port", "path")) == 0 {
			l.fault(at, "leads back to the same URL: change its scheme, host, port or path")
		}
		l.checkTail(under(at, "path"), d.Path, r.Path)
	}
	if d := r.Respond; d != nil && d.Body != "" && (d.Status == http.StatusNoContent || d.Status == http.StatusNotModified) {
		l.fault(under(under(path, "respond"), "body"), "an answer of status %d has no body", d.Status)
	}
}

func (l *loader) checkRewrite(path string, r *Route) {
	if r.Rewrite == nil {
		return
	}
	at := under(path, "rewrite")
	if r.StripPath && r.Rewrite.Path != "" {
		l.fault(under(at, "path"), "excludes strip_path: a rewrite says the whole path")
	}
	if len(l.present(at, "path", "host")) == 0 {
		l.fault(at, "changes nothing: give it a path or a host")
	}
	l.checkTail(under(at, "path"), r.Rewrite.Path, r.Path)
}

// checkTail checks a path that a route's requests are sent on with.
func (l *loader) checkTail(path, to, pattern string) {
	stem, tail := strings.CutSuffix(to, "/**")
	switch {
	case strings.Contains(stem, "*"):
		l.fault(path, "* has no meaning here but in ** at the end")
	case tail && !strings.HasSuffix(pattern, "/**"):
		l.fault(path, "** stands for what the route's own ** matched, but its path %s does not end with one", pattern)
	}
}

// checkOverrides checks the blocks of a route that change those above.
func (l *loader) checkOverrides(path string, r *Route) {
	if r.Retries != nil {
		l.checkRetries(under(path, "retries"), *r.Retries)
	}
	if r.RateLimiting != nil {
		at := under(path, "rate_limiting")
		if l.has(under(at, "paths")) {
			l.fault(under(at, "paths"), "belongs to rate_limiting at the top level: it acts on every route")
		}
		l.checkLimits(at, r.RateLimiting)
	}
	if r.Auth != nil {
		l.checkAuth(under(path, "auth"), r.Auth)
	}
	if r.CORS != nil {
		l.checkCORS(under(path, "cors"), r.CORS)
	}
	if r.Cache != nil {
		l.checkCache(under(path, "cache"), r.Cache)
	}
	if r.Transform != nil {
		l.checkTransform(under(path, "transform"), r.Transform)
	}
}
