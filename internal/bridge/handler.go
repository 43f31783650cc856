package bridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// Config is what a Handler needs.
type Config struct {
	// Stack answers the requests. It is required.
	Stack http.RoundTripper

	// Pseudonym names this listener in Via and Proxy-Status, and finds loops: it
	// must be unique among all listeners that a request could pass. Empty means
	// "outrider".
	Pseudonym string

	// Protected lists header fields, such as those of identity, that a client's
	// Connection field must not remove. A name may end in "*".
	Protected []string

	// Identify says who the client is, for Call.Source. It is asked only where the
	// server has verified a certificate of the client's. Nil identifies nobody.
	Identify func(*tls.ConnectionState) mesh.Identity

	// StallTimeout cuts off a client that accepts no byte for this long, or at
	// most half as long again; the call's deadline does in any case. In a tunnel it
	// is how long the second direction may stand still once the first has ended.
	// Zero means 1m; negative disables.
	StallTimeout time.Duration

	// Refused, where set, hears of requests that are refused before the stack.
	// The request has a Call, with an ID of its own and the peer as its Client,
	// whose OnEnd is still to come.
	Refused func(*http.Request, *mesh.Fault)

	// Log gets the stack traces of panics. Nil discards.
	Log *slog.Logger
}

const (
	bufferSize   = 32 << 10
	defaultStall = time.Minute

	// linger is how long an unread rest of a body may take to arrive: a
	// connection that is closed with data unread is reset, and a reset can
	// overtake our answer.
	linger = time.Second
)

// handler serves a stack.
type handler struct {
	Config
	hops    Hops
	buffers sync.Pool // of *[bufferSize]byte
}

// New returns a Handler for net/http servers. It panics where c.Stack is nil.
func New(c Config) http.Handler {
	if c.Stack == nil {
		panic("bridge: Config.Stack is nil")
	}
	if c.Pseudonym == "" {
		c.Pseudonym = defaultPseudonym
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = defaultStall
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{Config: c, hops: NewHops(c.Protected)}
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
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			h.Log.Error("panic while serving", "panic", p, "stack", string(debug.Stack()))
			err = &mesh.Fault{Kind: mesh.Internal, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return f()
}

// run takes the exchange from the request to the last byte of the response. Its
// error is how the call ended; where bytes are missing then, x.aborted is set.
func (x *exchange) run() error {
	x.aborted = true // until it is known that the client got a whole message
	if fault := x.refuse(); fault != nil {
		x.identify()
		if x.h.Refused != nil {
			x.h.Refused(x.req, fault)
		}
		return x.answer(fault)
	}
	err := x.h.guard(x.roundTrip)
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

// refuse returns why the request may not enter the stack, if it may not.
func (x *exchange) refuse() *mesh.Fault { return refusal(x.req, x.malformed, x.h.Pseudonym) }

// Refusal returns why a request, as it came, would not enter the stack of a Handler of
// that pseudonym; nil where it would.
func Refusal(r *http.Request, pseudonym string) *mesh.Fault {
	return refusal(r, malformed(r), pseudonym)
}

// refusal is Refusal of a request whose form has been looked at; hop-by-hop fields may
// have gone since.
func refusal(r *http.Request, malformed, pseudonym string) *mesh.Fault {
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace: // TRACE would show the client what we add
		return &mesh.Fault{
			Kind: mesh.MethodNotAllowed, Message: r.Method + " is not supported here.",
			Header: http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}},
		}
	case malformed != "":
		return &mesh.Fault{Kind: mesh.Malformed, Message: malformed}
	case !validHost(r.Host):
		return &mesh.Fault{Kind: mesh.Malformed, Message: "The host is not valid."}
	case Passed(r.Header, pseudonym):
		return &mesh.Fault{Kind: mesh.Loop}
	}
	return nil
}

// identify says for the log and the answer what the forwarding layer, which does not
// see the request, would have: nobody but the peer is believed.
func (x *exchange) identify() {
	x.call.ID = newID()
	x.call.Client = plainAddr(x.call.Peer)
}

// roundTrip asks the stack.
func (x *exchange) roundTrip() error {
	AddVia(x.req.Header, x.req.ProtoMajor, x.req.ProtoMinor, x.h.Pseudonym)
	resp, err := x.h.Stack.RoundTrip(x.req) //nolint:bodyclose // finish closes it, after the upload has ended
	switch {
	case err != nil:
		return err
	case resp == nil:
		return &mesh.Fault{Kind: mesh.Internal, Err: errors.New("the stack returned neither response nor error")}
	}
	x.resp = resp
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	if s := resp.StatusCode; s > 999 || s < 200 && s != http.StatusSwitchingProtocols {
		return &mesh.Fault{Kind: mesh.BadResponse, Err: fmt.Errorf("status %d is not final", s)}
	}
	return nil
}
