package outbound

import (
	"context"
	"net"
	"net/http"
	"time"

	"outrider/internal/http1"
	"outrider/internal/mesh"
)

// Of every engine.
const (
	maxHead         = 256 << 10        // bytes of a response's head
	maxInterim      = 32               // 1xx responses before the answer
	idleConnection  = 90 * time.Second // until an unused connection is closed
	idleConnections = 1024             // kept per endpoint; what is in flight is bounded above
)

// engine carries requests by one protocol. Its errors are Faults, and may leave the
// request with a body that is closed.
type engine interface {
	http.RoundTripper
	CloseIdleConnections()
}

// connect makes a connection. Its errors are Faults.
type connect func(context.Context) (net.Conn, error)

// own is the engine for HTTP/1.1, which is ours.
type own struct{ *http1.Transport }

// newHTTP1 returns the engine for HTTP/1.1 with the endpoint at address.
func newHTTP1(address string, dial connect) engine {
	return own{http1.NewTransport(http1.TransportConfig{
		Address: address, Dial: dial,
		MaxIdle: idleConnections, IdleTimeout: idleConnection,
		MaxHead: maxHead, MaxInterim: maxInterim, ContinueTimeout: continueAfter,
	})}
}

// RoundTrip sends req.
func (o own) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.Transport.RoundTrip(req)
	if err == nil {
		return resp, nil
	}
	f := mesh.AsFault(err)
	if body, ok := req.Body.(*uploadReader); ok {
		return nil, whose(f, req, body.upload)
	}
	return nil, f
}
