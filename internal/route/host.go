package route

import (
	"fmt"
	"net/netip"
	"strings"
)

// hostMax is the longest name that DNS has; a longer one meets no rule with a host.
const hostMax = 253

// parseHost returns a configured host in the form that requests' are compared in:
// lower case, without port, trailing dot and brackets. A wildcard keeps its "*".
func parseHost(s string) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(s, "."))
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && addr.Zone() == "" {
		return addr.String(), nil
	}
	switch {
	case host == "*" || host == "":
		return "", fmt.Errorf("host %q: leave hosts out for a rule of every host", s)
	case strings.ContainsAny(host, ":/@"):
		return "", fmt.Errorf("host %q is not a name: write it without scheme and port", s)
	case len(host) > hostMax:
		return "", fmt.Errorf("host %q is longer than %d characters", s, hostMax)
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(host, "*."), ".") {
		if label == "" || len(label) > 63 {
			return "", fmt.Errorf("host %q has a label that is empty or longer than 63 characters", s)
		}
		for i := range len(label) {
			c := label[i]
			switch {
			case c == '*':
				return "", fmt.Errorf("host %q: * stands for whole labels at the beginning: write *.example.com", s)
			case c == '.' || c == '~' || !unreserved(c):
				return "", fmt.Errorf("host %q has a character that names have not; write a name of other letters in its xn-- form", s)
			}
		}
	}
	return host, nil
}

// foldHost writes the host of an authority into buf, in parseHost's form, and
// returns what it wrote: nothing for one that is longer than buf.
func foldHost(authority string, buf []byte) []byte {
	host := authority
	var bracketed bool
	if host, bracketed = strings.CutPrefix(host, "["); bracketed {
		host, _, _ = strings.Cut(host, "]")
	} else if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > len(buf) {
		return nil
	}
	out := buf[:copy(buf, host)]
	if bracketed { // an IPv6 address has many spellings
		if addr, err := netip.ParseAddr(host); err == nil {
			out = addr.AppendTo(buf[:0])
		}
	}
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}
