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

	// linger is how long an unread rest of a body may take to arrive: a
	// connection that is closed with data unread is reset, and a reset can
	// overtake our answer.
	linger = time.Second
)

// handler serves a stack to net/http's servers.
type handler struct {
	*Edge
	buffers sync.Pool // of *[bufferSize]byte
}

// New returns a Handler for net/http servers. It panics where c.Stack is nil.
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
		panic(http.ErrAbortHandler) // cuts the connection or resets the stream
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
	if fault := refusal(x.req, x.malformed, x.h.Pseudonym); fault != nil {
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
	case x.resp.StatusCode == http.StatusSwitchingProtocols:
		return x.tunnel()
	}
	return x.deliver()
}
