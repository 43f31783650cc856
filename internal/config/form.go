package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"outrider/policy"
)

// conform checks text against a form that a tag of the schema names. It returns
// what is wanted instead; empty when all is well. Where a key may be left out,
// empty text is the same as that.
func conform(form, text string) string {
	optional := slices.Contains([]string{"host", "authority", "listen", "endpoint", "url", "collector", "path", "hash", "file", "live-file", "id", "word", "meta-value", ""}, form)
	if text == "" && optional {
		return ""
	}
	switch form {
	case "host":
		return unless(isHost(text), "a host name or an address")
	case "authority":
		return unless(isAuthority(text), "host or host:port")
	case "listen":
		return unless(isListen(text), "host:port, with a port from 0 to 65535")
	case "endpoint":
		return conformEndpoint(text)
	case "url":
		return conformURL(text)
	case "collector":
		return conformCollector(text)
	case "path":
		return unless(isPath(text), "a path that begins with /, without query, fragment or spaces")
	case "name":
		return unless(serviceName.MatchString(text), "a service name: letters, digits, - _ and ., at most 253")
	case "header":
		return unless(httpguts.ValidHeaderFieldName(text), "a header name such as X-User-Id")
	case "edit":
		return conformEdit(text)
	case "identity":
		return unless(conformEdit(text) == "" && !strings.EqualFold(text, "host"), "a header that can carry identity, such as X-User-Id")
	case "value":
		return unless(httpguts.ValidHeaderFieldValue(text), "a header value, which has no control characters")
	case "method":
		return unless(httpguts.ValidHeaderFieldName(text), "a method such as GET") // both are tokens: RFC 9110, section 9.1
	case "origin":
		return unless(isOrigin(text), "*, or an origin such as https://app.example.com or https://*.example.com")
	case "retry":
		return unless(isRetry(text), "connect, reset, or a status from 400 to 599")
	case "hash":
		return unless(text == "client_ip" || named(text, "header:") || named(text, "cookie:"), "client_ip, header:NAME or cookie:NAME")
	case "limit":
		_, err := policy.ParseKey(text)
		return unless(err == nil, "client_ip, subject or header:NAME, which is not Host")
	default:
		return conformRegistry(form, text)
	}
}

func unless(ok bool, want string) string {
	if ok {
		return ""
	}
	return want
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)

// hostName is looser than RFC 1123 by the underscore, which container names have.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

// isHost takes names and addresses, IPv6 without brackets.
func isHost(text string) bool {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.IsValid()
	}
	return len(text) <= 253 && hostName.MatchString(text) && !dotted.MatchString(text)
}

// dotted is what could only be a mistyped IPv4 address.
var dotted = regexp.MustCompile(`^[0-9.]+$`)

// splitPort splits host:port; without a port, and with brackets taken off, the
// port is empty.
func splitPort(text string) (host, port string, ok bool) {
	if inner, rest, bracketed := strings.Cut(text, "]"); bracketed {
		inner, opened := strings.CutPrefix(inner, "[")
		port, ported := strings.CutPrefix(rest, ":")
		addr, err := netip.ParseAddr(inner)
		return inner, port, opened && err == nil && addr.Is6() && (rest == "" || ported && port != "")
	}
	host, port, ported := strings.Cut(text, ":")
	return host, port, !strings.Contains(port, ":") && (!ported || port != "")
}

func isPort(text string, least int64) bool {
	n, ok := whole(text)
	return ok && n >= least && n <= 65535
}

func isAuthority(text string) bool {
	host, port, ok := splitPort(text)
	return ok && isHost(host) && (port == "" || isPort(port, 1))
}

// isListen takes an empty host for every address.
func isListen(text string) bool {
	host, port, ok := splitPort(text)
	return ok && (host == "" || isHost(host)) && isPort(port, 0)
}

func isPath(text string) bool {
	return strings.HasPrefix(text, "/") && !strings.ContainsAny(text, "?#") &&
		strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) < 0
}

// conformEndpoint checks the address of a service.
func conformEndpoint(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || !oneOf("http|https|h2c", u.Scheme) || !isAuthority(u.Host):
		return "a URL of http, https or h2c with a host, such as http://users:3002"
	case u.User != nil:
		return "a URL without user and password: set the Authorization header by transform instead"
	case (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return "a URL without path and query, such as http://users:3002: a path is set by a route's rewrite"
	default:
		return ""
	}
}

// conformURL checks a URL that is asked as it stands.
func conformURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || !oneOf("http|https", u.Scheme) || !isAuthority(u.Host):
		return "a URL of http or https with a host, such as http://auth-service/validate"
	case u.User != nil:
		return "a URL without user and password"
	case strings.Contains(text, "#"):
		return "a URL without a fragment"
	default:
		return ""
	}
}

// conformEdit checks the name of a header that a transformation or a direct
// response may set.
func conformEdit(text string) string {
	if !httpguts.ValidHeaderFieldName(text) {
		return "a header name such as X-User-Id"
	}
	switch strings.ToLower(text) {
	case "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
		"proxy-authenticate", "proxy-authorization":
		return "another header: this one belongs to the connection or frames the message, and the proxy sets it itself"
	default:
		return ""
	}
}

// isOrigin asks the layer itself.
func isOrigin(text string) bool {
	_, err := policy.NewCORS(policy.CORSConfig{AllowOrigins: []string{text}})
	return err == nil
}

func isRetry(text string) bool {
	status, ok := whole(text)
	return text == "connect" || text == "reset" || ok && status >= 400 && status <= 599
}

// named reports whether text is the prefix and a name, which is a token.
func named(text, prefix string) bool {
	name, ok := strings.CutPrefix(text, prefix)
	return ok && httpguts.ValidHeaderFieldName(name)
}

// userinfo is the part of a URL that may hold a password.
var userinfo = regexp.MustCompile(`://[^/?#@\s]*@`)

func maskUserinfo(text string) string { return userinfo.ReplaceAllString(text, "://"+redacted+"@") }
