package http1

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// TransportConfig says how a Transport reaches its endpoint, and what it keeps.
type TransportConfig struct {
	// Address is the endpoint's, for Faults.
	Address string

	// Dial makes a connection to the endpoint, TLS included. Its errors are Faults, and
	// are returned as they are, unless the context's end explains them.
	Dial func(ctx context.Context) (net.Conn, error)

	// MaxIdle is how many connections are kept for later requests. Zero means 1024;
	// negative keeps none.
	MaxIdle int

	// IdleTimeout is how long an unused connection is kept. Zero means 90s; negative is
	// without end. What the endpoint says or shows of its own timeout may shorten it.
	IdleTimeout time.Duration

	// MaxAge is how old a connection may be to be used again. Zero and negative are no
	// bound.
	MaxAge time.Duration

	// MaxHead is the largest head of a response, in bytes, and the largest trailer
	// section. Zero and negative mean 256 KiB.
	MaxHead int

	// MaxInterim is how many 1xx responses may come before the answer. Zero means 32;
	// negative allows none.
	MaxInterim int

	// ContinueTimeout is how long the endpoint may take to answer "Expect: 100-continue"
	// before it is sent the body all the same (RFC 9110, section 10.1.1). Zero means 1s;
	// negative does not wait.
	ContinueTimeout time.Duration
}

const (
	maxIdle         = 1024
	idleTimeout     = 90 * time.Second
	maxHead         = 256 << 10
	maxInterim      = 32
	continueTimeout = time.Second
	maxFields       = 1000 // of a response's head
)

// or returns n, or where that is zero its default.
func or[T int | time.Duration](n, byDefault T) T {
	if n == 0 {
		return byDefault
	}
	return n
}

// Transport carries requests to one endpoint, over connections that it keeps. It may be
// used by several goroutines at once.
type Transport struct {
	config TransportConfig // with the defaults filled in
	limits limits
	pool   pool
	rooms  sync.Pool // *[feedRoom]byte: for uploads under way
}

// NewTransport returns the Transport of one endpoint. It holds no connection yet.
func NewTransport(c TransportConfig) *Transport {
	c.MaxIdle = or(c.MaxIdle, maxIdle)
	c.IdleTimeout = or(c.IdleTimeout, idleTimeout)
	if c.MaxHead <= 0 {
		c.MaxHead = maxHead
	}
	c.MaxInterim = or(c.MaxInterim, maxInterim)
	c.ContinueTimeout = or(c.ContinueTimeout, continueTimeout)
	t := &Transport{config: c}
	t.limits = limits{head: c.MaxHead, start: c.MaxHead, line: c.MaxHead, fields: maxFields, response: true}
	t.pool.init(c)
	t.rooms.New = func() any { return new([feedRoom]byte) }
	return t
}

// RoundTrip sends req, over a connection that was kept or a new one, and returns the
// answer as soon as its head has come. Errors are Faults. Whoever gets a response must
// close its Body, even where that is empty: until then the header and the connection
// are lent, and afterwards they are another request's.
//
// The body is sent as ContentLength says: none for zero, chunked for less. Where it has
// Buffered() ([]byte, bool), and that reports the whole of it, it goes with the head.
// Else it is read by another goroutine, even after RoundTrip has returned, until the
// response's Body is closed; that closes the request's Body as well, and waits.
//
// A request that a kept connection did not take is sent once more on a new one, where
// nothing of it can have been acted on or the method is idempotent (RFC 9110, section
// 9.2.2), and its body can be had again, by Buffered or GetBody.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.carry(nil, req)
}

// RoundTripOn is RoundTrip over c, a connection to the endpoint that has not been used:
// by whoever had to dial to learn which protocol the endpoint speaks. The Transport
// keeps c, or closes it.
func (t *Transport) RoundTripOn(c net.Conn, req *http.Request) (*http.Response, error) {
	return t.carry(newWire(t, c), req)
}

func (t *Transport) carry(w *wire, req *http.Request) (*http.Response, error) {
	o := order{req: req, call: mesh.From(req)}
	if o.call == nil { // from outside a stack
		o.call, o.own = mesh.NewCall(req.Context()), true
	}
	fault := o.prepare()
	for fault == nil {
		if w == nil {
			if w, fault = t.connect(&o); fault != nil {
				break
			}
		}
		var again bool
		if again, fault = w.run(&o); again {
			w = nil
		} else if fault == nil {
			return &w.answer.resp, nil
		}
	}
	if o.own {
		o.call.End(mesh.Result{Err: fault})
	}
	return nil, fault
}

// connect returns a connection for o: the one that was used last, where there is one
// and o does not want a new one.
func (t *Transport) connect(o *order) (*wire, *mesh.Fault) {
	if !o.again {
		if w := t.pool.take(time.Now()); w != nil {
			return w, nil
		}
	}
	ctx := o.call.Context()
	at, late := o.call.Due()
	if !at.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, at, late)
		defer cancel()
	}
	c, err := t.config.Dial(ctx)
	if err == nil {
		return newWire(t, c), nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, t.placed(mesh.EndOf(cause))
	}
	return nil, t.placed(mesh.AsFault(err))
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.pool.closeIdle(false) }

// Close closes the connections that no request uses, and those that requests use when
// they are done. Requests after it get connections of their own.
func (t *Transport) Close() { t.pool.closeIdle(true) }
