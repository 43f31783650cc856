package config

import (
	"slices"
	"strings"
)

// The checks below report a block where somebody wrote it, and not again in every
// route that starts from it.

func (l *loader) checkLimits(path string, r *RateLimiting) {
	rate := func(at string, r Rate) {
		if r.RequestsPerMinute == 0 && !l.has(under(at, "requests_per_minute")) {
			l.fault(at, "needs requests_per_minute")
		}
	}
	if r.Default != nil {
		rate(under(path, "default"), *r.Default)
	}
	for _, glob := range sorted(r.Paths) {
		rate(under(under(path, "paths"), glob), r.Paths[glob])
	}
}

func (l *loader) checkAuth(path string, a *Auth) {
	if a.ValidateURL == "" {
		l.fault(under(path, "validate_url"), "is empty: without one no token could be valid")
	}
	carried := map[string]string{}
	for _, name := range sorted(a.Headers) {
		header := strings.ToLower(a.Headers[name])
		if other, twice := carried[header]; twice && header != "" {
			l.fault(under(under(path, "headers"), name), "%s carries %s already", a.Headers[name], other)
		}
		carried[header] = name
	}
}

func (l *loader) checkCORS(path string, c *CORS) {
	origins := under(path, "allow_origins")
	all := slices.Contains(c.AllowOrigins, "*")
	if l.has(origins) && len(c.AllowOrigins) == 0 {
		l.fault(origins, `is empty: list some origins, or "*"`)
	}
	for _, list := range []struct {
		key   string
		words []string
	}{
		{"allow_origins", c.AllowOrigins}, {"allow_methods", c.AllowMethods},
		{"allow_headers", c.AllowHeaders}, {"expose_headers", c.ExposeHeaders},
	} {
		if at := under(path, list.key); l.has(at) && len(list.words) > 1 && slices.Contains(list.words, "*") {
			l.fault(at, `"*" allows all: list nothing beside it`)
		}
	}
	if len(l.present(path, "allow_credentials", "expose_headers")) > 0 && c.AllowCredentials && slices.Contains(c.ExposeHeaders, "*") {
		l.fault(under(path, "expose_headers"), `"*" means nothing with allow_credentials: list them`)
	}
	if len(l.present(path, "allow_credentials", "allow_origins")) > 0 && c.AllowCredentials && all {
		l.warn(under(path, "allow_credentials"), `with the origin "*" lets every site act as its visitor: name the origins`)
	}
}

func (l *loader) checkCache(path string, c *Cache) {
	if len(l.present(path, "max_body", "max_bytes")) > 0 && c.MaxBody > c.MaxBytes {
		l.warn(under(path, "max_body"), "is larger than max_bytes, which holds for all bodies together")
	}
}

func (l *loader) checkTransform(path string, t *Transform) {
	for _, edit := range []struct {
		verb  string
		names []string
	}{
		{"set", sorted(t.Request.Set)}, {"add", sorted(t.Request.Add)}, {"remove", t.Request.Remove},
	} {
		at := under(under(path, "request"), edit.verb)
		host := func(name string) bool { return strings.EqualFold(name, "host") }
		if l.has(at) && slices.ContainsFunc(edit.names, host) {
			l.fault(at, "cannot change Host: the route's rewrite.host does")
		}
	}
}
