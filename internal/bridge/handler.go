package bridge

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"outrider/internal/mesh"
)

const (
	bufferSize   = 32 << 10
	defaultStall = time.Minute
)

// handler serves a stack to net/http's HTTP/2 servers.
type handler struct {
	*Edge
	buffers sync.Pool // of *[bufferSize]byte
}

// New returns a Handler for net/http servers that have HTTP/2 alone enabled: it refuses
// requests of any other version. It panics where c.Stack is nil.
func New(c Config) http.Handler {
	h := &handler{Edge: NewEdge(c)}
	h.buffers.New = func() any { return new([bufferSize]byte) }
	return h
}

// ServeHTTP sends one request through the stack and writes what comes back.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := h.accept(w, r)
	err := h.guard(x.run)
	x.finish(err)
	if x.aborted {
		panic(http.ErrAbortHandler) // resets the stream
	}
}

// guard calls f and returns a panic of it as an error.
func (h *handler) guard(f func() error) (err error) {
	defer h.rescue(&err)
	return f()
}

// run takes the exchange from the request to the last byte of the response. Its
// error is how the call ended; where bytes are missing then, x.aborted is set.
func (x *exchange) run() error {
	x.aborted = true // until it is known that the client got a whole message
	if fault := x.refusal(); fault != nil {
		x.h.refused(x.req, x.call, fault)
		return x.answer(fault)
	}
	var err error
	x.resp, err = x.h.ask(x.req) //nolint:bodyclose // finish closes it, after the upload has ended
	switch {
	case errors.Is(err, http.ErrAbortHandler):
		return err
	case err != nil:
		return x.answer(x.fault(err, mesh.Internal))
	case x.resp.StatusCode == http.StatusSwitchingProtocols: // HTTP/2 has no such thing
		return x.answer(&mesh.Fault{Kind: mesh.UnsupportedUpgrade, Err: errUnasked})
	}
	return x.deliver()
}

// refusal returns why the stack is not asked, nil where it is. HTTP/1.1 is another
// server's: here nobody would mind its framing, nor whether its connection can go on.
func (x *exchange) refusal() *mesh.Fault {
	if x.req.ProtoMajor == 2 {
		return refusal(x.req, x.malformed, x.h.Pseudonym)
	}
	x.w.Header()["Connection"] = []string{"close"}
	_ = x.control.SetReadDeadline(time.Now().Add(linger)) // net/http may read what is left of a body
	return &mesh.Fault{Kind: mesh.Malformed, Message: "HTTP/2 only is spoken here."}
}
