package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"outrider/internal/mesh"
)

// streamReset is how net/http shows that one stream was ended: its own type
// is not exported, but fills in any struct of this shape.
type streamReset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error makes it fit for errors.As.
func (streamReset) Error() string { return "stream reset" }

// Error codes of HTTP/2 (RFC 9113, section 7).
const (
	codeProtocol = 0x1
	codeRefused  = 0x7
)

// fault returns what err, from net/http, means. What ended the call or attempt comes
// first: what it did to the connection is only its consequence. The client's body
// comes next, for the same reason.
func (x *exchange) fault(err error) *mesh.Fault {
	if cause := context.Cause(x.ctx); cause != nil {
		f := x.placed(mesh.EndOf(cause))
		if x.headed {
			return f
		}
		return whose(f, x.req, x.upload)
	}
	if failure := x.upload.failure(); failure != nil {
		return mesh.Gone(failure)
	}
	var f *mesh.Fault
	if errors.As(err, &f) {
		return f // the dialer's
	}
	f = &mesh.Fault{Endpoint: x.address, Err: err, Retryable: mesh.Idempotent(x.method)}
	f.Kind = x.kind(err)
	var reset streamReset
	switch {
	case f.Kind == mesh.Internal:
		f.Retryable = false
	case x.guess && !x.conn.settled():
		f.Kind, f.Message = mesh.BadResponse, "The endpoint does not speak HTTP/2 (h2c), which gRPC needs."
		f.ByClient, f.Retryable = true, false // a content type is no reason to leave an endpoint
	case x.conn == nil, errors.As(err, &reset) && reset.Code == codeRefused:
		f.Retryable = true // nothing has been done with the request, whatever its method
	}
	return f
}

// kind returns the sort of an error that the endpoint or the way there is to blame
// for.
func (x *exchange) kind(err error) mesh.Kind {
	var (
		reset streamReset
		op    *net.OpError
	)
	switch {
	case x.conn == nil && (errors.As(err, &op) || errors.Is(err, io.EOF)):
		return mesh.Reset // as HTTP/2 said hello
	case x.conn == nil:
		return mesh.Internal // net/http would not even try
	case errors.As(err, &op) && op.Op == "remote error":
		return mesh.TLSFailed // an alert: with TLS 1.3, a refused client certificate shows only now
	case errors.As(err, &reset):
		if reset.Code == codeProtocol {
			return mesh.BadResponse
		}
		return mesh.Reset
	case x.conn.broken.Load(), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errSpent):
		return mesh.Reset
	case x.conn.settled() && !x.headed:
		return mesh.Reset // the connection's end, before a head: what is wrong with an answer resets its stream
	}
	return mesh.BadResponse
}

// whose returns the Fault for an exchange that f has ended before the answer's head.
// Where time ran out on a client that still owed a part of its body, it is the client's
// timeout (RFC 9110, section 15.5.9): the endpoint, which took all that came, could not
// answer yet. Not so in gRPC, whose streams may talk both ways at once: an open one owes
// nothing.
func whose(f *mesh.Fault, req *http.Request, up *upload) *mesh.Fault {
	timeout := f.Kind == mesh.ResponseTimeout || f.Kind == mesh.PerTryTimeout
	if !timeout || f.ByClient || isGRPC(req.Header) || !up.owed() {
		return f
	}
	return &mesh.Fault{Kind: mesh.RequestTimeout, ByClient: true, Err: fmt.Errorf("the body was not complete in time: %w", f)}
}

// placed returns f with the endpoint at which it happened.
func (x *exchange) placed(f *mesh.Fault) *mesh.Fault { return f.At(x.address) }
