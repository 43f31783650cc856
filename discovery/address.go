package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"outrider/internal/mesh"
)

// Address is where a URL of the configuration points: a name or an IP, yet to be
// resolved.
type Address struct {
	Scheme    string // http, https or h2c
	Host      string // a name or an IP, without brackets
	Port      string // always there
	Authority string // host[:port] as it was written
}

// Parse parses a URL such as http://orders:3003. The port is 80 where it says none,
// and 443 for https. A path, user, query or fragment is an error: an address has
// none.
func Parse(rawURL string) (Address, error) {
	if strings.Contains(rawURL, "@") { // first, and unquoted: an error must not show a password
		return Address{}, errors.New("url with an @: a user and password cannot stand here, credentials go into headers")
	}
	u, err := url.Parse(rawURL)
	if err != nil || !strings.Contains(rawURL, "://") {
		return Address{}, fmt.Errorf("url %q is not of the form http://host:port", rawURL)
	}
	port := "80"
	switch u.Scheme {
	case "http", "h2c":
	case "https":
		port = "443"
	default:
		return Address{}, fmt.Errorf("url %q: scheme %q is not one of http, https, h2c", rawURL, u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return Address{}, fmt.Errorf("url %q has no host", rawURL)
	case u.Path != "" && u.Path != "/":
		return Address{}, fmt.Errorf("url %q has a path: the request's own is used; a route's rewrite can change it", rawURL)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(rawURL, "#"):
		return Address{}, fmt.Errorf("url %q has a query or fragment", rawURL)
	case strings.HasSuffix(u.Host, ":"):
		return Address{}, fmt.Errorf("url %q has a colon but no port", rawURL)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return Address{}, fmt.Errorf("url %q: port %s is not one of 1 to 65535", rawURL, p)
		}
		port = p
	}
	return Address{Scheme: u.Scheme, Host: u.Hostname(), Port: port, Authority: u.Host}, nil
}

// IP returns the host as an IP, and false where it is a name.
func (a Address) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.Host)
	return ip.Unmap(), err == nil
}

// Endpoint returns the endpoint at one of the host's addresses.
func (a Address) Endpoint(ip netip.Addr) mesh.Endpoint {
	address := net.JoinHostPort(ip.String(), a.Port)
	return mesh.Endpoint{
		ID:      a.Scheme + "://" + address,
		Scheme:  a.Scheme,
		Address: address,
		Host:    a.Authority,
	}
}
