package config

import (
	"slices"
	"strings"
)

// everyRequest is the list whose middleware acts on every request to the app.
const everyRequest = "inbound.middleware"

// checkRun checks what a sidecar has and an ingress has not.
func (l *loader) checkRun() {
	l.checkInstance()
	in, out := l.cfg.Inbound, l.cfg.Outbound
	if in.Listen == "" {
		l.fault("inbound.listen", "is empty: write where others reach the app, such as 0.0.0.0:15006")
	}
	if out.Listen == "" {
		l.fault("outbound.listen", "is empty: write where the app reaches others, such as 127.0.0.1:15001")
	}
	if out.Undeclared == "discover" && l.cfg.Consul == nil {
		l.fault("outbound.undeclared", "discover needs Consul: write a consul block, or set CONSUL_HTTP_ADDR")
	}
	l.checkEvery(in.Middleware)
	for i, r := range in.Routing {
		l.checkInboundRoute(item("inbound.routing", i), r)
	}
	l.checkTable("inbound.routing", in.Routing)
	l.checkHosts()
}

// checkInstance checks what the app is called and where it is.
func (l *loader) checkInstance() {
	s := l.cfg.Service
	if s == nil {
		s = blankOf[Instance]()
	}
	if s.Name == "" {
		l.fault("service.name", "missing: the name under which this service is registered and called")
	}
	host, _, _ := splitPort(s.App)
	switch {
	case s.App == "":
		l.fault("service.app", "missing: where the app that is guarded listens, such as 127.0.0.1:3003")
	case unspecified(host):
		l.fault("service.app", "is no address to call: for an app that listens on every address, write 127.0.0.1 and its port")
	}
	if s.Address != "" && unspecified(s.Address) {
		l.fault("service.address", "is no address that others could call: write this machine's, or leave it out")
	}
	if inner, _, ok := splitPort(l.cfg.Inbound.Listen); ok && loopback(s.Address) && !loopback(inner) {
		l.warn("service.address", "is a loopback address: services on other machines cannot reach it")
	}
	own := 0 // pairs that the proxy adds
	if s.Zone != "" {
		own++
	}
	if l.cfg.Identity.MTLS != "off" {
		own++
	}
	if len(s.Meta)+own > maxMetaPairs {
		l.fault("service.meta", "has %d pairs: Consul keeps %d, of which the zone and mutual TLS take %d here", len(s.Meta), maxMetaPairs, own)
	}
	for _, key := range sorted(s.Meta) {
		if strings.HasPrefix(key, ownMeta) {
			l.fault(under("service.meta", key), "belongs to the proxy: keys that begin with %s are written by it alone", ownMeta)
		}
	}
	l.checkHealthCheck("service.health_check", s.HealthCheck)
}

// checkEvery checks the middleware of every request to the app.
func (l *loader) checkEvery(names []string) {
	lists := func(name string) bool { return slices.Contains(names, name) }
	if lists(MiddlewareCircuitBreaker) {
		l.faultBreaker(everyRequest)
	}
	if lists(MiddlewareRateLimit) {
		l.checkRateLimit(everyRequest, &l.cfg.RateLimiting, lists(MiddlewareAuth))
	}
	if lists(MiddlewareAuth) {
		l.checkAuthService(everyRequest)
	}
	if lists(MiddlewareAuth) && lists(MiddlewareCache) {
		l.warnUselessCache(everyRequest)
	}
}

// faultBreaker refuses a breaker before the app, in the list or block at path.
func (l *loader) faultBreaker(path string) {
	l.faultOnce(path, "the app has no endpoints to break: who calls it breaks, by services.<name>.circuit_breaker; inbound.max_concurrent bounds what the app gets")
}

// faultOnce reports the value at path, and lets no other fault of it follow.
func (l *loader) faultOnce(path, format string, args ...any) {
	l.fault(path, format, args...)
	l.failed[path] = true
}

// checkInboundRoute checks a route to the app: one without a destination, since
// there is but one.
func (l *loader) checkInboundRoute(path string, r *Route) {
	for _, key := range l.present(path, "service", "split") {
		l.faultOnce(under(path, key), "requests that come in go to the app (service.app): leave it out; what the app calls is routed by routing at the top level")
	}
	if l.has(under(path, "retries")) {
		l.faultOnce(under(path, "retries"), "the app is asked once: who calls it tries again, by services.<name>.retries")
	}
	if at := under(path, "circuit_breaker"); l.has(at) {
		l.faultBreaker(at)
	}
	if r.Lists(MiddlewareCircuitBreaker) {
		l.faultBreaker(under(path, "middleware"))
	}
	if ways := l.present(path, "redirect", "respond"); len(ways) > 1 {
		l.fault(path, "has %s: a request can go one way only", strings.Join(ways, " and "))
	}
	l.checkPath(path, r)
	l.checkRule(path, r, l.cfg.Inbound.Middleware)
}

// checkHosts finds services that one Host would name: it has no upper and lower
// case.
func (l *loader) checkHosts() {
	first := map[string]string{}
	for _, name := range sorted(l.cfg.Services) {
		host := strings.ToLower(name)
		if other, twice := first[host]; twice {
			l.fault(under("services", name), "is the same Host as %s, since case does not count there", other)
			continue
		}
		first[host] = name
	}
}
