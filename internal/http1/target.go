package http1

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// target parses the request target into the URL, as net/url would, and finds the
// Host (RFC 9112, sections 3.2 and 3.3). All its bytes are of class targetByte.
func (h *head) target(req *http.Request) flaw {
	d, t := &h.said, req.RequestURI
	switch {
	case d.hosts > 1:
		return manyHosts
	case d.hosts == 0 && req.ProtoMinor > 0:
		return noHost
	case d.hosts == 1 && !validAuthority(d.host):
		return badHost
	}
	req.Host = d.host
	switch {
	case req.Method == http.MethodConnect:
		return h.authority(req)
	case t[0] == '/':
		return h.origin(t)
	case t == "*":
		if req.Method != http.MethodOptions {
			return targetForm
		}
		h.url.Path = "*"
		return sound
	}
	return h.absolute(req)
}

// origin parses a target in origin form. Only a path with an escape costs an
// allocation.
func (h *head) origin(t string) flaw {
	u := &h.url
	path, query, found := strings.Cut(t, "?")
	if strings.IndexByte(path, '%') >= 0 {
		parsed, err := url.ParseRequestURI(t)
		if err != nil {
			return badTarget
		}
		*u = *parsed
		return sound
	}
	u.Path, u.RawQuery, u.ForceQuery = path, query, found && query == ""
	if !all(path, pathByte) {
		u.RawPath = path // as net/url has it where its own escaping would be another
	}
	return sound
}

// absolute parses a target in absolute form, whose authority is the host,
// whatever the Host says (RFC 9112, section 3.2.2).
func (h *head) absolute(req *http.Request) flaw {
	parsed, err := url.ParseRequestURI(req.RequestURI)
	switch {
	case err != nil:
		return badTarget
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return badTarget
	case parsed.Opaque != "" || parsed.User != nil || !validAuthority(parsed.Host):
		return badTarget
	}
	h.url = *parsed
	req.Host = parsed.Host
	return sound
}

// authority parses the target of CONNECT: a host and a port (RFC 9110, section 9.3.6).
func (h *head) authority(req *http.Request) flaw {
	t := req.RequestURI
	colon := strings.LastIndexByte(t, ':')
	if colon < 1 || colon == len(t)-1 || t[len(t)-1] == ']' || !validAuthority(t) {
		return badTarget
	}
	h.url.Host, req.Host = t, t
	return sound
}

// validAuthority reports whether s is a host, with a port or without: a name or an
// IPv4 address, or an IPv6 address in brackets. What exactly a name is the edge
// decides.
func validAuthority(s string) bool {
	if !all(s, hostByte) {
		return false
	}
	literal, ok := strings.CutPrefix(s, "[")
	if !ok {
		host, port, _ := strings.Cut(s, ":")
		return host != "" && !strings.ContainsAny(host, "[]") && digits(port)
	}
	host, port, ok := strings.Cut(literal, "]")
	addr, err := netip.ParseAddr(host)
	return ok && err == nil && addr.Is6() && (port == "" || port[0] == ':' && digits(port[1:]))
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
