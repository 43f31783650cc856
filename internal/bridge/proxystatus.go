package bridge

import (
	"strings"

	"outrider/internal/mesh"
)

// maxDetails bounds what Proxy-Status tells, in bytes: causes can quote what an
// endpoint sent.
const maxDetails = 512

// proxyStatus returns the Proxy-Status field for f (RFC 9209). Addresses and
// causes go into it only for a peer that is trusted.
func proxyStatus(f *mesh.Fault, pseudonym string, trusted bool) string {
	if pseudonym == "" {
		pseudonym = defaultPseudonym
	}
	var b strings.Builder
	if isStructuredToken(pseudonym) {
		b.WriteString(pseudonym)
	} else {
		quote(&b, pseudonym)
	}
	b.WriteString("; error=")
	b.WriteString(f.Kind.Token())
	if !trusted {
		return b.String()
	}
	if f.Err != nil {
		b.WriteString("; details=")
		quote(&b, f.Err.Error())
	}
	if f.Endpoint != "" {
		b.WriteString("; next-hop=")
		quote(&b, f.Endpoint)
	}
	return b.String()
}

// isStructuredToken reports whether s is an sf-token (RFC 8941, section 3.3.4).
func isStructuredToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '*'
		if !letter && (i == 0 || !alphanumeric(c) && !strings.ContainsRune("!#$%&'+-.^_`|~:/", rune(c))) {
			return false
		}
	}
	return s != ""
}

// quote writes s as an sf-string (RFC 8941, section 3.3.3), which knows printable
// ASCII only; all else becomes a question mark.
func quote(b *strings.Builder, s string) {
	if len(s) > maxDetails {
		s = s[:maxDetails]
	}
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
