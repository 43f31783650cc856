package http1

import (
	"net/http"
)

// appendTarget appends the request target of req, made anew from its URL: the
// authority for CONNECT, an asterisk, or the origin form. It reports false, and
// has appended anything, where the URL has none.
func appendTarget(b []byte, req *http.Request) ([]byte, bool) {
	u := req.URL
	if req.Method == http.MethodConnect {
		return append(b, u.Host...), u.Host != "" && all(u.Host, hostByte)
	}
	if req.Method == http.MethodOptions && u.RawQuery == "" && !u.ForceQuery && (u.Path == "*" || u.Path == "") {
		return append(b, '*'), true // the server itself (RFC 9112, section 3.2.4)
	}
	path := u.Path
	if u.RawPath != "" || !all(path, pathByte) {
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	if u.Opaque != "" || path[0] != '/' || !all(path, targetByte) {
		return b, false
	}
	b = append(b, path...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(b, '?')
	}
	return appendQuery(b, u.RawQuery)
}

// appendQuery appends a query. What HTTP/2 lets through and HTTP/1.1 does not is
// escaped; white space and control characters have no place in either.
func appendQuery(b []byte, query string) ([]byte, bool) {
	if all(query, targetByte) { // nearly always
		return append(b, query...), true
	}
	const hex = "0123456789ABCDEF"
	for i := range len(query) {
		switch c := query[i]; {
		case classes[c]&targetByte != 0:
			b = append(b, c)
		case c == '#' || c >= 0x80:
			b = append(b, '%', hex[c>>4], hex[c&0xf])
		default:
			return b, false
		}
	}
	return b, true
}
