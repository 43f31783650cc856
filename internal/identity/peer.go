package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"outrider/internal/mesh"
)

// Peer returns whom the other end of a connection proved to be: its SPIFFE ID or,
// where its certificate has none, its first DNS name or, without any, its common
// name. Empty is nobody: no certificate, one that was not verified, or one whose
// names are not valid.
//
// A SPIFFE ID begins with "spiffe://", and nothing else that Peer returns has a
// colon or a slash.
func Peer(state *tls.ConnectionState) mesh.Identity {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	id, err := nameOf(state.VerifiedChains[0][0])
	if err != nil {
		return ""
	}
	return id
}

// nameOf returns whom a certificate names. One that claims a SPIFFE ID wrongly names
// nobody: its other names do not make up for that.
func nameOf(leaf *x509.Certificate) (mesh.Identity, error) {
	id, ok, err := spiffeOf(leaf)
	switch {
	case err != nil:
		return "", err
	case ok:
		return mesh.Identity(id.String()), nil
	}
	for _, name := range leaf.DNSNames {
		if isName(name) {
			return mesh.Identity(strings.ToLower(name)), nil
		}
	}
	switch name := leaf.Subject.CommonName; {
	case len(leaf.DNSNames) > 0:
		return "", fmt.Errorf("none of its DNS names is a host's: %s", quoted(leaf.DNSNames))
	case name == "":
		return "", errors.New("it names nobody: it needs a SPIFFE ID, a DNS name or a common name")
	case !isCommonName(name):
		return "", fmt.Errorf("its common name %.100q cannot be an identity", name)
	default:
		return mesh.Identity(name), nil
	}
}

// spiffeOf returns the certificate's SPIFFE ID, and false where it claims none. It
// must be the only URI (X509-SVID specification, section 2).
func spiffeOf(leaf *x509.Certificate) (spiffeID, bool, error) {
	for _, u := range leaf.URIs {
		if u.Scheme != spiffeScheme {
			continue
		}
		if n := len(leaf.URIs); n > 1 {
			return spiffeID{}, false, fmt.Errorf("it has %d URIs, and beside a SPIFFE ID there may be none", n)
		}
		id, err := parseSPIFFE(u)
		if err != nil {
			return spiffeID{}, false, fmt.Errorf("SPIFFE ID %.200q is not valid: %w", u.String(), err)
		}
		return id, true, nil
	}
	return spiffeID{}, false, nil
}

// maxName bounds names that become identities, in bytes.
const maxName = 255

// isName reports whether s is a host's name. A certificate may hold any text as a
// DNS name, one that looks like a SPIFFE ID among them; a wildcard is no one's name.
func isName(s string) bool {
	for i := range len(s) {
		if !spiffeChar(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// isCommonName reports whether s can stand as an identity: visible, and nothing
// that could be taken for a SPIFFE ID.
func isCommonName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == ':' || c == '/' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// quoted lists names for an error: a few, and of each the beginning.
func quoted(names []string) string {
	const most = 4
	var list []string
	for i, name := range names {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		list = append(list, fmt.Sprintf("%.200q", name))
	}
	return strings.Join(list, ", ")
}
