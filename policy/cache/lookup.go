package cache

import (
	"net/http"
	"time"
)

// choose returns the entry that answers a request with header h at now, or why
// there is none. Variants are newest first, and the newest that matches counts
// (RFC 9111, sections 4 and 4.1).
func choose(variants []*Entry, h http.Header, asked directives, now time.Time) (*Entry, reason) {
	if len(variants) == 0 {
		return nil, uriMiss
	}
	for _, e := range variants {
		if !e.matches(h) {
			continue
		}
		age := e.age(now)
		switch {
		case age >= e.Lifetime:
			return nil, stale
		case !asked.accepts(age, e.Lifetime):
			return nil, request
		}
		return e, 0
	}
	return nil, varyMiss
}

// accepts reports whether the client takes an answer of this age (RFC 9111,
// section 5.2.1). It gets nothing stale, so max-stale has nothing to say.
func (d directives) accepts(age, lifetime time.Duration) bool {
	switch {
	case d.noCache:
		return false
	case d.maxAge.given && (d.maxAge.value == 0 || age > d.maxAge.value):
		return false
	case d.minFresh.given && lifetime-age < d.minFresh.value:
		return false
	}
	return true
}
