package config

import (
	"errors"
	"net/url"
	"strings"

	"outrider/internal/route"
)

// warn notes what is allowed and yet most likely not meant.
func (l *loader) warn(path, format string, args ...any) {
	l.warnings = append(l.warnings, l.problem(path, format, args...))
}

// check makes every check that takes more than one value.
func (l *loader) check() {
	l.checkSupported()
	l.checkMode()
	l.checkListeners()
	l.checkTLS()
	l.checkIdentity()
	l.checkConsul()
	l.checkTracing()
	l.checkPolicies()
	l.checkAccess()
	for _, name := range sorted(l.cfg.Services) {
		l.checkService(under("services", name), l.cfg.Services[name])
	}
	for i, r := range l.cfg.Routing {
		l.checkRoute(item("routing", i), r)
	}
	l.checkTable("routing", l.cfg.Routing)
	if l.cfg.Mode == Run {
		l.checkRun()
	} else {
		l.checkUse()
	}
	l.checkEnvironment()
}

// checkTLS checks the ingress's certificates.
func (l *loader) checkTLS() {
	t := l.cfg.Server.TLS
	if t == nil {
		return
	}
	if len(t.Certs) == 0 {
		l.fault("server.tls", "needs certs: [{cert_file: , key_file: }]")
	}
	for i, c := range t.Certs {
		path := item("server.tls.certs", i)
		for _, f := range []struct{ key, file string }{{"cert_file", c.CertFile}, {"key_file", c.KeyFile}} {
			if f.file == "" && !l.has(under(path, f.key)) {
				l.fault(path, "needs %s", f.key)
			}
		}
	}
}

// checkPolicies checks the blocks that hold for all routes.
func (l *loader) checkPolicies() {
	l.checkLimits("rate_limiting", &l.cfg.RateLimiting)
	l.checkAuth("auth", &l.cfg.Auth)
	l.checkCORS("cors", &l.cfg.CORS)
	l.checkCache("cache", &l.cfg.Cache)
	l.checkTransform("transform", &l.cfg.Transform)

	paths := []route.Rule[struct{}]{}
	for _, glob := range sorted(l.cfg.RateLimiting.Paths) {
		paths = append(paths, route.Rule[struct{}]{Match: route.Match{Path: glob}, Line: l.cfg.RateLimiting.Paths[glob].Line})
	}
	_, err := route.NewTable(paths)
	l.faultTable("rate_limiting.paths", err)
}

// checkTable finds routes with bad conditions, and routes that no request reaches.
func (l *loader) checkTable(path string, routes []*Route) {
	rules := []route.Rule[struct{}]{}
	for _, r := range routes {
		if r.Path == "" {
			continue // reported already
		}
		rules = append(rules, route.Rule[struct{}]{Line: r.Line, Match: route.Match{
			Path:    r.Path,
			Hosts:   r.Hosts,
			Methods: r.Methods,
			Headers: values(r.Headers),
			Query:   values(r.Query),
		}})
	}
	_, err := route.NewTable(rules)
	l.faultTable(path, err)
}

func values(in map[string]Match) map[string]route.Value {
	out := make(map[string]route.Value, len(in))
	for name, m := range in {
		out[name] = route.Value{Exact: m.Exact, Regex: m.Regex}
	}
	return out
}

// faultTable reports what a route table refuses.
func (l *loader) faultTable(path string, err error) {
	if err == nil {
		return
	}
	parts := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts = joined.Unwrap()
	}
	for _, part := range parts {
		if rule, ok := errors.AsType[*route.RuleError](part); ok {
			l.faultAt(rule.Line, "%s: %s", path, rule.Message)
			continue
		}
		l.fault(path, "%v", part)
	}
}

// checkUse finds services that no request to an ingress can reach. In run, each is
// reached by its name.
func (l *loader) checkUse() {
	used := map[string]bool{}
	auth := func(a *Auth) {
		if u, err := url.Parse(a.ValidateURL); err == nil {
			used[u.Hostname()] = true
		}
	}
	auth(&l.cfg.Auth)
	for _, r := range l.cfg.Routing {
		used[r.Service] = true
		for _, part := range r.Split {
			used[part.Service] = true
		}
		if r.Auth != nil {
			auth(r.Auth)
		}
	}
	for _, name := range sorted(l.cfg.Services) {
		if !used[name] {
			l.warn(under("services", name), "no route leads to this service")
		}
	}
	if len(l.cfg.Routing) == 0 {
		l.warn("routing", "there are no routes: every request will be answered 404")
	}
}

// checkEnvironment finds variables that were meant for us and do nothing.
func (l *loader) checkEnvironment() {
	known := []string{}
	for _, s := range settings() {
		known = append(known, s.variable())
	}
	for _, name := range sorted(l.environ) {
		if !strings.HasPrefix(name, prefix) || l.environ[name] == "" || oneOf(strings.Join(known, "|"), name) {
			continue
		}
		advice := ""
		if near := nearest(name, known); near != "" {
			advice = ", did you mean " + near + "?"
		}
		l.warnings = append(l.warnings, Problem{Message: name + ": no setting has this name" + advice})
	}
	if l.environ["REDIS_URL"] != "" {
		l.warnings = append(l.warnings, Problem{Message: "REDIS_URL: is set, but nothing uses it: Redis is not supported yet"})
	}
}
