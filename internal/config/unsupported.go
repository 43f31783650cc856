package config

import "time"

// notYet is what every refused feature has in common.
const notYet = "is not supported yet"

// checkSupported refuses by name what the schema has and the proxy does not do yet.
// A value that asks for nothing passes.
func (l *loader) checkSupported() {
	if l.Mode == Run {
		l.faultAt(0, "the command run %s: ingress is", notYet)
	}
	const run = "what belongs to the command run"
	l.refuse(l.cfg.Service != nil, "service", run)
	l.refuse(l.cfg.Inbound != nil, "inbound", run)
	l.refuse(l.cfg.Outbound != nil, "outbound", run)
	l.refuse(l.cfg.Consul != nil, "consul", "Consul")
	l.refuse(l.cfg.JWT != nil, "jwt", "authentication by signed token")
	l.refuse(l.has("redis.url") && l.cfg.Redis.URL != "", "redis.url", "Redis")
	l.refuse(l.cfg.Redis.Budget != 5*time.Millisecond, "redis.budget", "Redis")
	l.refuse(l.cfg.Identity.Provider != "none", "identity.provider", "the mesh certificate")
	l.refuse(l.cfg.Identity.MTLS != "off", "identity.mtls", "mutual TLS between sidecars")
	l.refuse(l.cfg.Identity.CertFile != "", "identity.cert_file", "the mesh certificate")
	l.refuse(l.cfg.Identity.KeyFile != "", "identity.key_file", "the mesh certificate")
	l.refuse(l.cfg.Identity.CAFile != "", "identity.ca_file", "the mesh certificate")
	l.refuse(l.cfg.Tracing.Endpoint != "", "tracing.endpoint", "tracing")
	l.refuse(l.cfg.Tracing.Protocol != "", "tracing.protocol", "tracing")
	l.refuse(l.cfg.Tracing.Sample != 0, "tracing.sample", "tracing")
	l.refuse(l.cfg.Tracing.Propagators != nil, "tracing.propagators", "tracing")
	for _, name := range sorted(l.cfg.Services) {
		l.checkServiceSupported(under("services", name), l.cfg.Services[name])
	}
	l.checkStores("", &l.cfg.RateLimiting, &l.cfg.Cache)
	for i, r := range l.cfg.Routing {
		l.checkStores(item("routing", i), r.RateLimiting, r.Cache)
	}
}

// refuse reports the feature that the value at path would need.
func (l *loader) refuse(asked bool, path, feature string) {
	if asked {
		l.fault(path, "%s %s", feature, notYet)
	}
}

func (l *loader) checkServiceSupported(path string, s *Service) {
	balancing := under(path, "load_balancing")
	l.refuse(s.Consul != nil, under(path, "consul"), "Consul")
	l.refuse(s.Listen != "", under(path, "listen"), "a port of its own for a service, by the command run,")
	l.refuse(s.LoadBalancing.Policy == "ring_hash", balancing, "ring_hash")
	l.refuse(s.LoadBalancing.HashOn != "", under(balancing, "hash_on"), "ring_hash")
	l.refuse(s.LoadBalancing.ZoneFirst, under(balancing, "zone_first"), "balancing by zone")
	l.refuse(s.LoadBalancing.SlowStart != 0, under(balancing, "slow_start"), "slow start")
	for i, e := range s.Instances {
		l.refuse(e.Zone != "", under(item(under(path, "instances"), i), "zone"), "balancing by zone")
	}
}

// checkStores refuses Redis where it is asked for; a route that inherits it has not
// asked.
func (l *loader) checkStores(path string, limits *RateLimiting, cache *Cache) {
	if at := under(under(path, "rate_limiting"), "store"); limits != nil {
		l.refuse(limits.Store == "redis" && l.has(at), at, "the store redis")
	}
	if at := under(under(path, "cache"), "store"); cache != nil {
		l.refuse(cache.Store == "redis" && l.has(at), at, "the store redis")
	}
}
