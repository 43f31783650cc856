package cache

import (
	"net/http"

	"outrider/internal/mesh"
)

// shareable reports whether the answer to req may be another client's too.
func shareable(req *http.Request) bool {
	if req.ContentLength != 0 || (req.Body != nil && req.Body != http.NoBody) {
		return false // the key does not know the body
	}
	if call := mesh.From(req); call != nil && (call.Personal || call.Subject != "") {
		return false // whatever is left of the fields that made it so
	}
	for name := range req.Header {
		if setsApart(name) {
			return false
		}
	}
	return true
}

// setsApart reports whether a request with this field is no business of a shared
// cache. Many services know neither case nor the difference of - and _ in a name
// (RFC 3875, section 4.1.18).
func setsApart(name string) bool {
	var room [len("x-http-method-override")]byte // the longest below
	if len(name) > len(room) {
		return false
	}
	for i := range len(name) {
		room[i] = fold(name[i])
	}
	switch string(room[:len(name)]) {
	case "authorization", "cookie", "x-api-key", "x-auth-token": // speaks for somebody
		return true
	case "range", "if-range", "if-match", "if-unmodified-since", "upgrade": // only the origin can answer
		return true
	case "x-http-method", "x-http-method-override", "x-method-override",
		"x-original-url", "x-rewrite-url": // frameworks obey them, so the key would lie
		return true
	}
	return false
}

func fold(b byte) byte {
	if b == '_' {
		return '-'
	}
	return lower(b)
}

// askedBy returns what the client asks of caches.
func askedBy(h http.Header) directives {
	lines := h["Cache-Control"]
	asked := parseDirectives(lines)
	if len(lines) == 0 {
		asked.noCache = pragmaNoCache(h) // RFC 9111, section 5.4
	}
	return asked
}

// keyOf returns the key of what req asks for.
func (c *Cache) keyOf(req *http.Request) string {
	var room [320]byte
	key := append(room[:0], c.scope...)
	key = append(key, '\n')
	key = append(key, serviceOf(req)...)
	key = append(key, '\n')
	key = append(key, schemeOf(req)...)
	key = append(key, "://"...)
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	for i := range len(host) {
		key = append(key, lower(host[i]))
	}
	path := req.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	key = append(key, path...)
	if req.URL.RawQuery != "" || req.URL.ForceQuery {
		key = append(key, '?')
		key = append(key, req.URL.RawQuery...)
	}
	// what services build links and redirects from; a line each, empty where absent
	for _, name := range [...]string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix"} {
		key = append(key, '\n')
		for _, value := range req.Header[name] {
			key = append(key, value...)
			key = append(key, ',')
		}
	}
	return string(key)
}

// serviceOf returns what tells services apart: two routes may strip their prefixes
// to the same path of different ones. A route to no single service stands for itself.
func serviceOf(req *http.Request) string {
	call := mesh.From(req)
	switch {
	case call == nil || call.Route == nil:
		return ""
	case call.Route.Service == "":
		return call.Route.Name
	}
	return string(call.Route.Service)
}

func schemeOf(req *http.Request) string {
	if req.URL.Scheme != "" {
		return req.URL.Scheme
	}
	if call := mesh.From(req); call != nil && call.Secure {
		return "https"
	}
	return "http"
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
