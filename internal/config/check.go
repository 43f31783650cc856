package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
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
	l.checkListeners()
	l.checkTLS()
	l.checkPolicies()
	for _, name := range sorted(l.cfg.Services) {
		l.checkService(under("services", name), l.cfg.Services[name])
	}
	for i, r := range l.cfg.Routing {
		l.checkRoute(item("routing", i), r)
	}
	l.checkTable()
	l.checkUse()
	l.checkEnvironment()
}

// checkListeners finds ports that are asked for twice, and doors left open.
func (l *loader) checkListeners() {
	type listener struct{ path, host, port string }
	all := []listener{{"server.port", l.cfg.Server.Host, strconv.Itoa(l.cfg.Server.Port)}}
	for _, at := range []listener{{path: "admin.listen", host: l.cfg.Admin.Listen}, {path: "probe.listen", host: l.cfg.Probe.Listen}} {
		if host, port, err := net.SplitHostPort(at.host); err == nil {
			all = append(all, listener{at.path, host, port})
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.port != "0" && a.port == b.port && overlap(a.host, b.host) {
				late, early := a.path, b.path
				if !l.has(late) { // then it is the other that somebody wrote
					late, early = early, late
				}
				l.fault(late, "port %s is taken by %s already", a.port, early)
			}
		}
	}
	host, _, err := net.SplitHostPort(l.cfg.Admin.Listen)
	if err == nil && !loopback(host) && l.cfg.Admin.TokenFile == "" {
		l.warn("admin.listen", "can be reached from other machines and asks for no token: set admin.token_file, or listen on 127.0.0.1")
	}
	for i, prefix := range l.cfg.TrustedProxies {
		if prefix.Bits() == 0 && prefix.IsValid() {
			l.warn(item("trusted_proxies", i), "trusts everyone: any client may then pretend to be another")
		}
	}
}

// overlap reports whether two hosts can stand for the same address.
func overlap(a, b string) bool { return a == b || unspecified(a) || unspecified(b) }

func unspecified(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
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
func (l *loader) checkTable() {
	rules := []route.Rule[struct{}]{}
	for _, r := range l.cfg.Routing {
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
	l.faultTable("routing", err)
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

// checkUse finds services that no request can reach.
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
	for _, later := range []struct{ name, what string }{
		{"REDIS_URL", "Redis"}, {"CONSUL_HTTP_ADDR", "Consul"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "tracing"},
	} {
		if l.environ[later.name] != "" {
			l.warnings = append(l.warnings, Problem{Message: later.name + ": is set, but nothing uses it: " + later.what + " is not supported yet"})
		}
	}
}
