package mesh

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Call is what the layers of one request share. Each field has one writer, named
// beside it; whoever writes does so before passing the request on.
type Call struct {
	Start      time.Time      // server: when the request's head had been read
	Peer       netip.AddrPort // server: the other end of the socket
	Secure     bool           // server: the client spoke TLS to us
	Fields     int            // server: header field lines as they came, before any of ours
	FieldBytes int            // server: their size, names and values with ": " and line ends
	Source     Identity       // server: who calls, from the verified certificate, never from a header
	ID         string         // forwarding layer: X-Request-ID
	Client     netip.Addr     // forwarding layer: the client behind the proxies we trust
	Trusted    bool           // forwarding layer: the peer may speak for others
	Subject    string         // auth layer: whom the token names
	Personal   bool           // forwarding and auth layers: the answer may be meant for one person alone
	Route      *Route         // router: which rule matched; nil before and when none did
	Service    Service        // split layer: where it goes
	Trace      Trace          // trace layer: its place in a trace; nil where requests are not traced
	Acts       Act            // layers above the attempts: each adds what it did

	// Attempts are the tries so far, oldest first. The retry layer appends; an
	// attempt writes only its own element.
	Attempts []Attempt

	// Interim passes a 1xx response to the client. Nil where the client's
	// protocol has none. Set by the server.
	Interim func(status int, header http.Header)

	base   context.Context // the connection's or stream's
	lent   bool            // whoever made the call says by Cancel when base has ended
	values []string        // lists made by List

	mu      sync.Mutex // protects all below
	ctx     context.Context
	cancel  context.CancelCauseFunc
	unwatch func() bool // lets go of ctx, which is watched for waiter's sake
	cause   error       // of Cancel
	waiter  Waiter      // who waits for an endpoint
	whole   bound       // of the whole call
	try     bound       // of the attempt under way
	timer   *time.Timer
	ends    []Ender
	ended   bool
}

// bound is a deadline and what its passing means. The zero bound is none.
type bound struct {
	at   time.Time
	late *Fault
}

// Attempt is one try at one endpoint.
type Attempt struct {
	Endpoint string        // address that was picked; empty when none could be
	Scheme   string        // of that endpoint
	Start    time.Time     // when it was picked
	Duration time.Duration // until the response's head or the failure
	Status   int           // of the response; zero when there was none
	Err      error         // why there was none
}

// Result is how a call ended.
type Result struct {
	Status   int   // what the client was sent; zero when nothing was
	Received int64 // bytes of body from the client
	Sent     int64 // bytes of body to the client
	Err      error // the Fault that was answered, or the failure that cut the body short
}

// NewCall returns the Call of a request whose connection or stream lives as long
// as base.
func NewCall(base context.Context) *Call { return &Call{base: base} }

// Renew makes c the Call of the next request on a connection that lives as long as
// base, so that one Call can serve them all. Whoever renews a call tells it by
// Cancel when base has ended. It reports false, and does nothing, where somebody has
// the old request's context, who may look at it for ever.
func (c *Call) Renew(base context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		return false
	}
	clear(c.Attempts)
	clear(c.values)
	clear(c.ends)
	fresh := Call{base: base, lent: true, Attempts: c.Attempts[:0], values: c.values[:0], ends: c.ends[:0]}
	c.reset(&fresh)
	return true
}

// reset takes over all of fresh but its mutex. c.mu is held.
func (c *Call) reset(fresh *Call) {
	c.Start, c.Peer, c.Secure, c.Fields, c.FieldBytes, c.Source = time.Time{}, netip.AddrPort{}, false, 0, 0, ""
	c.ID, c.Client, c.Trusted, c.Subject, c.Personal = "", netip.Addr{}, false, "", false
	c.Route, c.Service, c.Trace, c.Acts, c.Interim = nil, "", nil, 0, nil
	c.Attempts, c.values, c.ends = fresh.Attempts, fresh.values, fresh.ends
	c.base, c.lent = fresh.base, fresh.lent
	c.cause, c.waiter, c.whole, c.try, c.ended = nil, nil, bound{}, bound{}, false
}

// parent is a Call as the context of its request: the connection's, with the Call in
// it.
type parent Call

// callKey is what a parent has its Call under, for contexts made from it.
type callKey struct{}

// Deadline returns base's.
func (p *parent) Deadline() (time.Time, bool) { return p.base.Deadline() }

// Done returns base's.
func (p *parent) Done() <-chan struct{} { return p.base.Done() }

// Err returns base's.
func (p *parent) Err() error { return p.base.Err() }

// Value returns the Call, and what base has.
func (p *parent) Value(key any) any {
	if key == (callKey{}) {
		return (*Call)(p)
	}
	return p.base.Value(key)
}

// From returns the Call that req belongs to. Every request inside a stack has
// one; for a request from elsewhere From returns nil.
func From(req *http.Request) *Call {
	ctx := req.Context()
	if p, ok := ctx.(*parent); ok {
		return (*Call)(p)
	}
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Bind returns a shallow copy of req that carries the call.
func (c *Call) Bind(req *http.Request) *http.Request { return req.WithContext((*parent)(c)) }

// Context returns a context that ends with the client's connection or stream, with
// Cancel and with the deadline; its cause tells which. It is made at the first
// call: once made, the Call and its Request are never reused.
func (c *Call) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.context()
}

// context is Context. c.mu is held.
func (c *Call) context() context.Context {
	if c.ctx != nil {
		return c.ctx
	}
	c.ctx, c.cancel = context.WithCancelCause((*parent)(c))
	if c.cause != nil {
		c.cancel(c.cause)
	}
	c.arm()
	return c.ctx
}

// List returns a list of one value, for a header map. It is the call's, for as long
// as that lasts, and costs no allocation.
func (c *Call) List(value string) []string {
	if len(c.values) == cap(c.values) { // those handed out stay where they are
		c.values = make([]string, 0, max(16, 2*cap(c.values)))
	}
	c.values = append(c.values, value)
	n := len(c.values)
	return c.values[n-1 : n : n]
}

// Detach returns a copy of req that may outlive it and cross to another goroutine:
// headers and URL copied deep, no body, and a Call of its own under ctx with the
// facts of the original and none of its attempts or ends.
func Detach(ctx context.Context, req *http.Request) *http.Request {
	d := NewCall(ctx)
	if c := From(req); c != nil {
		d.Start, d.Peer, d.Secure, d.Source = c.Start, c.Peer, c.Secure, c.Source
		d.ID, d.Client, d.Trusted = c.ID, c.Client, c.Trusted
		d.Subject, d.Personal, d.Route, d.Service = c.Subject, c.Personal, c.Route, c.Service
		d.Trace = c.Trace
		c.mu.Lock()
		whole := c.whole
		c.mu.Unlock()
		if whole.late != nil {
			d.SetDeadline(whole.at, whole.late)
		}
	}
	out := req.Clone((*parent)(d))
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
	return out
}
