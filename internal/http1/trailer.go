package http1

import (
	"net/http"
	"strings"
)

// announced adds the names in list, a Trailer field's value, to trailer.
func announced(trailer http.Header, list string) flaw {
	for more := true; more; {
		var name string
		name, list, more = strings.Cut(list, ",")
		if name = strings.Trim(name, " \t"); name == "" {
			continue
		}
		if !all(name, tokenByte) {
			return badTrailer
		}
		name = http.CanonicalHeaderKey(name)
		if name == "Content-Length" || name == "Transfer-Encoding" || name == "Trailer" {
			return badTrailer
		}
		trailer[name] = nil
	}
	return sound
}

// parseTrailer parses b, a trailer section with its empty line. It returns nil
// where that has no field. The strings are substrings of one allocation.
func parseTrailer(b []byte, fields int) (http.Header, flaw) {
	var h head
	if f := h.fieldLines(b, 0); f != sound {
		return nil, f
	}
	if len(h.lines) > fields {
		return nil, trailerTooLong
	}
	if len(h.lines) == 0 {
		return nil, sound
	}
	s := string(b)
	trailer := make(http.Header, len(h.lines))
	for i := range h.lines {
		l := &h.lines[i]
		if id(l.known).framing() {
			return nil, badTrailer
		}
		name := l.text(s)
		trailer[name] = append(trailer[name], s[l.value:l.valueEnd])
	}
	return trailer, sound
}
