package config

import "time"

// notYet is what every refused feature has in common.
const notYet = "is not supported yet"

// checkSupported refuses by name what the schema has and the proxy does not do yet.
// A value that asks for nothing passes.
func (l *loader) checkSupported() {
	l.refuse(l.cfg.JWT != nil, "jwt", "authentication by signed token")
	l.refuse(l.has("redis.url") && l.cfg.Redis.URL != "", "redis.url", "Redis")
	l.refuse(l.cfg.Redis.Budget != 5*time.Millisecond, "redis.budget", "Redis")
	l.refuse(l.cfg.Identity.Provider == "consul", "identity.provider", "a certificate from Consul")
	l.checkStores("", &l.cfg.RateLimiting, &l.cfg.Cache)
	for i, r := range l.cfg.Routing {
		l.checkStores(item("routing", i), r.RateLimiting, r.Cache)
	}
	if l.cfg.Inbound != nil {
		for i, r := range l.cfg.Inbound.Routing {
			l.checkStores(item("inbound.routing", i), r.RateLimiting, r.Cache)
		}
	}
}

// refuse reports the feature that the value at path would need.
func (l *loader) refuse(asked bool, path, feature string) {
	if asked {
		l.fault(path, "%s %s", feature, notYet)
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
