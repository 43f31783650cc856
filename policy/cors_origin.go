package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// origins is a set of origins. It never changes.
type origins struct {
	all   bool
	exact map[string]bool
	wild  []wildOrigin
}

// wildOrigin stands for every origin that has something of a hostname between the
// two.
type wildOrigin struct {
	before string // the scheme, as https://
	after  string // .a.example, or nothing; then a port that is not the scheme's own
}

// parseOrigins reads the origins of a configuration.
func parseOrigins(list []string) (origins, error) {
	set := origins{exact: make(map[string]bool)}
	var errs []error
	if len(list) == 0 {
		errs = append(errs, errors.New(`allowed origins: none: list some, or "*"`))
	}
	for _, s := range list {
		if s == "*" {
			set.all = true
			if len(list) > 1 {
				errs = append(errs, errors.New(`allowed origins: "*" allows all: list nothing beside it`))
			}
			continue
		}
		if err := set.add(s); err != nil {
			errs = append(errs, fmt.Errorf("allowed origins: %q: %w", s, err))
		}
	}
	return set, errors.Join(errs...)
}

// add adds an origin, scheme://host[:port], whose host may be or begin with a
// wildcard. Browsers write origins in lower case and without a default port.
func (o *origins) add(s string) error {
	scheme, authority, ok := strings.Cut(strings.ToLower(s), "://")
	if !ok || !isScheme(scheme) {
		return errors.New(`want "*" or an origin like https://a.example or https://*.a.example`)
	}
	if strings.ContainsAny(authority, "/?#@") {
		return errors.New("an origin ends with its host and port")
	}
	host, port := splitHost(authority)
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return fmt.Errorf("%q is not a port", port)
	}
	port = withoutDefault(scheme, port)
	if isHostname(host) || isIPv6(host) {
		o.exact[scheme+"://"+joinHost(host, port)] = true
		return nil
	}
	name, wild := strings.CutPrefix(host, "*")
	if !wild || name != "" && (name[0] != '.' || !isHostname(name[1:])) {
		return errors.New("the host must be a name or address, *.name or *")
	}
	o.wild = append(o.wild, wildOrigin{before: scheme + "://", after: joinHost(name, port)})
	return nil
}

// allow reports whether origin is in the set. The opaque origin "null" is not, nor
// is none.
func (o *origins) allow(origin string) bool {
	if o.all {
		return origin != "" && origin != "null"
	}
	if o.exact[origin] {
		return true
	}
	for _, w := range o.wild {
		rest, begins := strings.CutPrefix(origin, w.before)
		name, ends := strings.CutSuffix(rest, w.after)
		if begins && ends && isHostname(name) {
			return true
		}
	}
	return false
}

// isHostname reports whether s, not empty, has only the characters of a hostname
// in lower case: no port, path or user can hide in it.
func isHostname(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

func isIPv6(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Is6() && addr.Zone() == ""
}

// isScheme reports whether s is a URI scheme (RFC 3986, section 3.1), in lower case.
func isScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}
