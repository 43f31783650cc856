package route

import (
	"net/url"
	"strings"
)

// normalizeQuery returns the normal form of a raw query, which is raw itself where
// nothing needs an escape.
func normalizeQuery(raw string) (string, error) {
	foreign := 0
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == ' ' || control(c):
			return "", malformed("The query has a space or a control character.")
		case !qchar(c):
			foreign++
		}
	}
	if foreign == 0 {
		return raw, nil
	}
	out := make([]byte, 0, len(raw)+2*foreign)
	for i := range len(raw) {
		if qchar(raw[i]) {
			out = append(out, raw[i])
		} else {
			out = escape(out, raw[i])
		}
	}
	return string(out), nil
}

// first returns the first value of a parameter in a raw query, read as
// url.ParseQuery does: what it would leave out, a pair with a semicolon or an
// invalid escape, does not count. It allocates only to decode escapes.
func first(query, name string) (value string, ok bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" || strings.Contains(pair, ";") {
			continue
		}
		key, raw, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != name {
			continue
		}
		if value, err := url.QueryUnescape(raw); err == nil {
			return value, true
		}
	}
	return "", false
}
