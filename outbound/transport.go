package outbound

import (
	"context"
	"net"
	"net/http"

	"outrider/internal/mesh"
)

// Where the Host field of a request comes from; anything else is a literal.
const (
	HostPreserve = "preserve" // the client's or, where it sent none, the service's; the default
	HostService  = "service"  // the endpoint's configured authority
)

// transport carries requests to one endpoint, by the protocols that it is met with:
// HTTP/1.1 or, for gRPC, HTTP/2 where the scheme is http; HTTP/2 where it is h2c; what
// the handshake agrees on where it is https. An upgrade needs HTTP/1.1 whatever the
// scheme.
type transport struct {
	endpoint mesh.Endpoint
	host     string // as Config.Host
	plain    bool   // scheme http: HTTP/2 only for gRPC, whose servers speak nothing else
	http1    engine
	other    engine // for what is not to go by HTTP/1.1 from the start
}

// newTransport returns the transport of the endpoint that dial goes to.
func newTransport(dial *dialer, host string) *transport {
	t := &transport{endpoint: dial.endpoint, host: host, plain: dial.endpoint.Scheme == "http"}
	if dial.endpoint.Scheme == "https" {
		t.http1 = newHTTP1(dial.endpoint.Address, func(ctx context.Context) (net.Conn, error) { return dial.secure(ctx, "http/1.1") })
		t.other = newNegotiated(dial)
		return t
	}
	t.http1 = newHTTP1(dial.endpoint.Address, dial.plain)
	t.other = newHTTP2(dial.endpoint.Address, dial.prior, t.plain)
	return t
}

// RoundTrip sends req, which it edits. Its errors are Faults.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch t.host {
	case "", HostPreserve:
	case HostService:
		req.Host = t.endpoint.Host
	default:
		req.Host = t.host
	}
	if req.Host == "" { // HTTP/1.0: else it would be the address
		req.Host = t.endpoint.Host
	}
	req.RequestURI = ""
	return t.choose(req).RoundTrip(req)
}

// choose returns the engine for req.
func (t *transport) choose(req *http.Request) engine {
	switch {
	case first(req.Header, "Upgrade") != "":
		return t.http1
	case t.plain && (req.ProtoMajor < 2 || !isGRPC(req.Header)):
		return t.http1
	}
	return t.other
}

// CloseIdleConnections closes what no request uses.
func (t *transport) CloseIdleConnections() {
	t.http1.CloseIdleConnections()
	t.other.CloseIdleConnections()
}
