package tracecontext

import (
	"encoding/hex"
	"net/http"
	"strings"
)

// The fields of B3 over several headers, as net/http spells them.
const (
	b3Single  = "B3"
	b3Trace   = "X-B3-Traceid"
	b3Span    = "X-B3-Spanid"
	b3Parent  = "X-B3-Parentspanid"
	b3Sampled = "X-B3-Sampled"
	b3Flags   = "X-B3-Flags"
)

// ParseB3 reads the value of a b3 header: trace-span, trace-span-sampled,
// trace-span-sampled-parent, or the decision alone. A trace ID of 64 bits is filled
// up with zeroes on the left.
func ParseB3(s string) (Context, bool) {
	s = trim(s)
	trace, rest, more := strings.Cut(s, "-")
	if !more {
		return decision(s)
	}
	span, rest, more := strings.Cut(rest, "-")
	c, ok := b3IDs(trace, span)
	if !ok || !more {
		return c, ok
	}
	sampled, parent, more := strings.Cut(rest, "-")
	d, ok := decision(sampled)
	if !ok {
		return Context{}, false
	}
	var ignored SpanID // it tells nothing about us
	if more && !unhex(ignored[:], parent) {
		return Context{}, false
	}
	c.Decided, c.Sampled, c.Debug = d.Decided, d.Sampled, d.Debug
	return c, true
}

// decision reads B3's sampling state.
func decision(s string) (Context, bool) {
	switch s {
	case "0", "false":
		return Context{Decided: true}, true
	case "1", "true":
		return Context{Decided: true, Sampled: true}, true
	case "d":
		return Context{Decided: true, Sampled: true, Debug: true}, true
	}
	return Context{}, false
}

func b3IDs(trace, span string) (c Context, ok bool) {
	if len(trace) == 16 {
		ok = unhex(c.Trace[8:], trace)
	} else {
		ok = unhex(c.Trace[:], trace)
	}
	if !ok || !unhex(c.Span[:], span) || !c.Valid() {
		return Context{}, false
	}
	return c, true
}

// extractB3 reads either form, the single header first. A header that came twice
// says nothing.
func extractB3(h http.Header) (Context, bool) {
	if lines := h[b3Single]; len(lines) > 0 {
		if c, ok := ParseB3(only(lines)); ok {
			return c, true
		}
	}
	return extractB3Multi(h)
}

func extractB3Multi(h http.Header) (Context, bool) {
	var c Context
	trace, span := only(h[b3Trace]), only(h[b3Span])
	if trace != "" || span != "" {
		var ok bool
		if c, ok = b3IDs(trace, span); !ok {
			return Context{}, false
		}
	}
	if d, ok := decision(only(h[b3Sampled])); ok {
		c.Decided, c.Sampled, c.Debug = true, d.Sampled, d.Debug
	}
	if only(h[b3Flags]) == "1" { // debug, which says more than X-B3-Sampled
		c.Decided, c.Sampled, c.Debug = true, true, true
	}
	return c, c.Valid() || c.Decided
}

// only returns the one line there is; of none or several, nothing.
func only(lines []string) string {
	if len(lines) != 1 {
		return ""
	}
	return trim(lines[0])
}

// b3Size is the longest single header that we write.
const b3Size = 32 + 1 + 16 + 2

func (c Context) appendB3(b []byte) []byte {
	b = hex.AppendEncode(b, c.Trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, c.Span[:])
	return append(b, '-', c.b3State())
}

// b3State says the decision in B3's letter.
func (c Context) b3State() byte {
	switch {
	case c.Debug:
		return 'd'
	case c.Sampled:
		return '1'
	}
	return '0'
}
