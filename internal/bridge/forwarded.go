package bridge

import (
	"net/netip"
	"strings"
)

// appendElement appends what we add to Forwarded (RFC 7239, section 4).
func (f *forwarder) appendElement(b []byte, peer netip.AddrPort, o origin) []byte {
	b = append(b, "for="...)
	if peer.IsValid() {
		b = append(b, '"') // a colon is no token
		b = netip.AddrPortFrom(plainAddr(peer), peer.Port()).AppendTo(b)
		b = append(b, '"')
	} else {
		b = append(b, "unknown"...)
	}
	b = append(b, f.by...)
	return appendOrigin(b, o)
}

// elements returns a chain of X-Forwarded-For as Forwarded. The first is the
// client's own, so what it asked for stands there.
func elements(chain string, o origin) string {
	var b []byte
	for entry := range tokens([]string{chain}) {
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		opening := len(b) == 0
		b = append(b, "for="...)
		addr, ok := nodeAddr(entry)
		switch {
		case !ok:
			b = append(b, "unknown"...)
		case addr.Is6():
			b = append(addr.AppendTo(append(b, `"[`...)), `]"`...)
		default:
			b = addr.AppendTo(b)
		}
		if opening {
			b = appendOrigin(b, o)
		}
	}
	return string(b)
}

// appendOrigin appends what the request was addressed to.
func appendOrigin(b []byte, o origin) []byte {
	if o.host != "" {
		b = appendPair(b, ";host=", o.host)
	}
	b = append(b, ";proto="...)
	return append(b, o.proto...)
}

// appendPair appends a parameter, its value quoted where it is no token (RFC 9110,
// section 5.6.6).
func appendPair(b []byte, name, value string) []byte {
	b = append(b, name...)
	if isToken(value) {
		return append(b, value...)
	}
	b = append(b, '"')
	for i := range len(value) {
		if c := value[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, value[i])
	}
	return append(b, '"')
}

// report is an element of Forwarded: what one proxy says about the request that it got.
type report struct{ node, proto, host string }

// parseReports returns the elements of Forwarded. It refuses a field whose quotes do
// not match: what follows would be read as part of them.
func parseReports(field string) (reports []report, ok bool) {
	members, ok := split(field, ',')
	if !ok {
		return nil, false
	}
	for _, member := range members {
		var r report
		params, _ := split(member, ';')
		for _, param := range params {
			name, value, _ := strings.Cut(param, "=")
			value = unquote(strings.Trim(value, " \t"))
			switch strings.ToLower(strings.Trim(name, " \t")) {
			case "for":
				r.node = value
			case "proto":
				r.proto = value
			case "host":
				r.host = value
			}
		}
		reports = append(reports, r)
	}
	return reports, true
}

// chainOf returns the nodes as X-Forwarded-For has them; what is no address counts
// as unknown.
func chainOf(reports []report) string {
	var b strings.Builder
	for i, r := range reports {
		if i > 0 {
			b.WriteString(", ")
		}
		if addr, ok := nodeAddr(r.node); ok {
			b.WriteString(addr.String())
			continue
		}
		b.WriteString("unknown")
	}
	return b.String()
}

// split cuts s at sep outside quoted strings, and drops what is empty. It reports
// whether every quoted string ends.
func split(s string, sep byte) (parts []string, ok bool) {
	quoted, start := false, 0
	add := func(end int) {
		if part := strings.Trim(s[start:end], " \t"); part != "" {
			parts = append(parts, part)
		}
		start = end + 1
	}
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			add(i)
		}
	}
	if start <= len(s) {
		add(len(s))
	}
	return parts, !quoted
}

// unquote returns the text of a quoted string, and any other value as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
