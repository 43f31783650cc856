package policy

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"outrider/internal/mesh"
	"outrider/internal/route"
)

// RedirectConfig says where requests are sent instead, in the words of the Gateway
// API's HTTPRequestRedirectFilter. What is empty stays as the request had it.
type RedirectConfig struct {
	Pattern route.Pattern // what the route matched: gives Path its tail
	Scheme  string        // http or https
	Host    string        // a hostname, without port
	Port    int           // zero: see Redirect
	Path    string        // a replacement as route.CheckReplacement accepts it; its final /** is what Pattern's ** matched
	Status  int           // 301, 302, 303, 307 or 308. Zero means 302
}

// Redirect returns an origin that answers with another Location, which keeps the
// query. Its port is Port; without one it is the usual port of Scheme; without that
// too it is the port in the request's Host: the listener's as the client knows it
// (RFC 9110, section 7.2), even where ports are mapped on the way. The usual port of
// a scheme is left out.
//
// Scheme, host and port are those that the client used. A proxy that we trust may
// have told them: they are in X-Forwarded-Proto, -Host and -Port then, checked, as
// the forwarding layer leaves them.
func Redirect(c RedirectConfig) http.RoundTripper {
	if c.Status == 0 {
		c.Status = http.StatusFound
	}
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		header := http.Header{"Location": {c.location(req)}}
		return reply(req, c.Status, header, ""), nil
	})
}

func (c *RedirectConfig) location(req *http.Request) string {
	u := url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery}
	if c.Path != "" {
		route.Rewrite(&u, c.Pattern, c.Path)
	}
	host, port := authorityOf(req)
	if c.Host != "" {
		host = c.Host
	}
	if host == "" { // HTTP/1.0 without Host: a reference that keeps the authority
		return u.String()
	}
	u.Scheme = c.Scheme
	if u.Scheme == "" {
		u.Scheme = schemeOf(req)
	} else {
		port = ""
	}
	if c.Port != 0 {
		port = strconv.Itoa(c.Port)
	}
	u.Host = joinHost(host, withoutDefault(u.Scheme, port))
	return u.String()
}

// schemeOf returns the scheme that the client used.
func schemeOf(req *http.Request) string {
	call := mesh.From(req)
	if told := req.Header.Get("X-Forwarded-Proto"); told != "" && call.Trusted {
		return told
	}
	if call.Secure {
		return "https"
	}
	return "http"
}

// authorityOf returns the host, without brackets, and the port that the client used,
// empty for the usual one.
func authorityOf(req *http.Request) (host, port string) {
	if !mesh.From(req).Trusted {
		return splitHost(req.Host)
	}
	host, port = splitHost(cmp.Or(req.Header.Get("X-Forwarded-Host"), req.Host))
	return host, cmp.Or(req.Header.Get("X-Forwarded-Port"), port)
}

// withoutDefault returns port, or nothing where it is the scheme's own.
func withoutDefault(scheme, port string) string {
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return ""
	}
	return port
}

// splitHost splits an authority; host is without brackets.
func splitHost(authority string) (host, port string) {
	if host, port, err := net.SplitHostPort(authority); err == nil {
		return host, port
	}
	return strings.Trim(authority, "[]"), ""
}

func joinHost(host, port string) string {
	switch {
	case port != "":
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// RespondConfig is an answer.
type RespondConfig struct {
	Status  int               // zero means 200
	Headers map[string]string // Content-Type, for a body without it, is text/plain in UTF-8
	Body    string            // not sent with 204 and 304, nor to HEAD
}

// Respond returns an origin that gives every request the same answer.
func Respond(c RespondConfig) http.RoundTripper {
	if c.Status == 0 {
		c.Status = http.StatusOK
	}
	header := make(http.Header, len(c.Headers)+2)
	if c.Body != "" {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	for name, value := range c.Headers {
		header.Set(name, value)
	}
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		return reply(req, c.Status, header.Clone(), c.Body), nil // layers above edit it in place
	})
}

// reply returns a response, header being its own. It has no protocol version, since
// nobody sent it: the edge adds a Via only to what it forwards.
func reply(req *http.Request, status int, header http.Header, body string) *http.Response {
	if call := mesh.From(req); call != nil && call.Acts&mesh.Preflight == 0 {
		call.Acts |= mesh.Direct
	}
	resp := &http.Response{
		Status:     strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode: status,
		Header:     header,
		Body:       http.NoBody,
		Request:    req,
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		// RFC 9110, section 8.6: 204 has no Content-Length, and that of a 304 would
		// speak of a representation that we do not know.
		header.Del("Content-Length")
		return resp
	}
	resp.ContentLength = int64(len(body))
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if body != "" && req.Method != http.MethodHead {
		resp.Body = io.NopCloser(strings.NewReader(body))
	}
	return resp
}
