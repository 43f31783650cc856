package identity

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The bounds of the SPIFFE ID specification, section 2.3, in bytes.
const (
	maxSPIFFE      = 2048
	maxTrustDomain = 255
)

const spiffeScheme = "spiffe"

// spiffeID is a workload's SPIFFE ID, valid by the specification's section 2.
type spiffeID struct {
	domain string // the trust domain
	path   string // with the leading slash
}

// parseSPIFFE reads the URI of a certificate. The specification allows few
// characters and no escapes, so that equal IDs are equal strings.
func parseSPIFFE(u *url.URL) (spiffeID, error) {
	id := spiffeID{domain: u.Host, path: u.EscapedPath()}
	switch {
	case u.Scheme != spiffeScheme:
		return spiffeID{}, errors.New("its scheme is not spiffe")
	case u.Opaque != "" || u.Host == "":
		return spiffeID{}, errors.New("it has no trust domain")
	case u.User != nil:
		return spiffeID{}, errors.New("it has a user")
	case u.RawQuery != "" || u.ForceQuery:
		return spiffeID{}, errors.New("it has a query")
	case u.Fragment != "":
		return spiffeID{}, errors.New("it has a fragment")
	case len(id.domain) > maxTrustDomain:
		return spiffeID{}, fmt.Errorf("its trust domain is longer than %d bytes", maxTrustDomain)
	case len(spiffeScheme+"://")+len(id.domain)+len(id.path) > maxSPIFFE:
		return spiffeID{}, fmt.Errorf("it is longer than %d bytes", maxSPIFFE)
	}
	for i := range len(id.domain) { // a port's colon is none of them
		if c := id.domain[i]; !spiffeChar(c) || 'A' <= c && c <= 'Z' {
			return spiffeID{}, fmt.Errorf("its trust domain has the character %q: a-z, 0-9, dot, hyphen and underscore are allowed", c)
		}
	}
	return id, id.checkPath()
}

// checkPath refuses what makes two paths of one. Without a path it is the trust
// domain itself, which serves nobody.
func (id spiffeID) checkPath() error {
	if id.path == "" {
		return errors.New("it has no path: it names a trust domain, not a service")
	}
	for segment := range strings.SplitSeq(id.path[1:], "/") {
		switch segment {
		case "":
			return errors.New("its path has an empty segment")
		case ".", "..":
			return errors.New("its path has a dot segment")
		}
		for i := range len(segment) {
			if !spiffeChar(segment[i]) {
				return fmt.Errorf("its path has the character %q: letters, digits, dot, hyphen and underscore are allowed", segment[i])
			}
		}
	}
	return nil
}

func spiffeChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}

// String returns the ID as the certificate has it.
func (id spiffeID) String() string { return spiffeScheme + "://" + id.domain + id.path }

// serves reports whether this is service's ID: in Consul's form, where the path ends
// in /svc/SERVICE, or in the shortest, where SERVICE is the whole path.
func (id spiffeID) serves(service string) bool {
	if service == "" || strings.Contains(service, "/") {
		return false
	}
	parent, ok := strings.CutSuffix(id.path, "/"+service)
	return ok && (parent == "" || strings.HasSuffix(parent, "/svc"))
}
