package cache

import (
	"net/http"
	"strings"
	"time"
)

// storable reports whether nothing forbids to keep resp, the answer to a GET
// (RFC 9111, section 3). Whether it is fresh is another question: see lifetime.
func (c *Cache) storable(resp *http.Response) bool {
	h := resp.Header
	switch {
	case !cacheable(resp.StatusCode):
	case resp.ContentLength > c.maxBody:
	case len(resp.Trailer) > 0:
	case len(h["Set-Cookie"]) > 0:
	case len(h["Content-Range"]) > 0:
	case variesByAll(h):
	case eventStream(h):
	default:
		return true
	}
	return false
}

// cacheable reports whether status is one that RFC 9110, section 15.1, calls
// heuristically cacheable, and whole.
func cacheable(status int) bool {
	switch status {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent,
		http.StatusMultipleChoices, http.StatusMovedPermanently, http.StatusPermanentRedirect,
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone,
		http.StatusRequestURITooLong, http.StatusNotImplemented:
		return true
	}
	return false
}

// lifetime returns how long a response with header h is fresh (RFC 9111, section
// 4.2.1), counted from its Date; zero or less means not at all. Only a success or
// a lasting redirect gets ttl: a failure that nobody meant to last does not last.
func lifetime(status int, h http.Header, date time.Time, ttl time.Duration) time.Duration {
	said := parseDirectives(h["Cache-Control"])
	switch {
	case said.noStore || said.private || said.noCache: // no-cache: we do not revalidate
		return 0
	case said.sMaxAge.given:
		return said.sMaxAge.value
	case said.maxAge.given:
		return said.maxAge.value
	case len(h["Expires"]) > 0:
		return expires(h["Expires"], date)
	case pragmaNoCache(h):
		return 0
	}
	switch status {
	case http.StatusOK, http.StatusNonAuthoritativeInfo,
		http.StatusMovedPermanently, http.StatusPermanentRedirect:
		return ttl
	}
	return 0
}

// expires returns the time from date until what an Expires field says. Several
// fields, and one that is no date (such as 0), mean already (RFC 9111, section 5.3).
func expires(lines []string, date time.Time) time.Duration {
	if len(lines) > 1 {
		return 0
	}
	at, err := http.ParseTime(lines[0])
	if err != nil {
		return 0
	}
	return at.Sub(date)
}

func variesByAll(h http.Header) bool {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(name) == "*" {
				return true
			}
		}
	}
	return false
}

func eventStream(h http.Header) bool {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream")
}
