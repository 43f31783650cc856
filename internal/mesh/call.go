package mesh

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
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

	parent context.Context // the connection's or stream's, with this Call as a value

	mu       sync.Mutex // protects all below
	ctx      context.Context
	cancel   context.CancelCauseFunc
	cause    error // of Cancel before ctx was made
	deadline time.Time
	late     *Fault // the cause when deadline passes
	timer    *time.Timer
	ends     []func(Result)
	ended    bool
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

type callKey struct{}

// NewCall returns the Call of a request whose connection or stream lives as long
// as parent.
func NewCall(parent context.Context) *Call {
	c := &Call{}
	c.parent = context.WithValue(parent, callKey{}, c)
	return c
}

// From returns the Call that req belongs to. Every request inside a stack has
// one; for a request from elsewhere From returns nil.
func From(req *http.Request) *Call {
	c, _ := req.Context().Value(callKey{}).(*Call)
	return c
}

// Bind returns a shallow copy of req that carries the call.
func (c *Call) Bind(req *http.Request) *http.Request { return req.WithContext(c.parent) }

// Context returns a context that ends with the client's connection or stream, with
// Cancel and with the deadline; its cause tells which. It is made at the first
// call: once made, the Call and its Request are never reused.
func (c *Call) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		return c.ctx
	}
	c.ctx, c.cancel = context.WithCancelCause(c.parent)
	if c.cause != nil {
		c.cancel(c.cause)
	}
	c.arm()
	return c.ctx
}

// Cancel ends the call early; cause is what waits and attempts in progress fail
// with. Only the first cause counts.
func (c *Call) Cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
	if c.cancel != nil {
		c.cancel(c.cause)
	}
}

// Deadline returns when the call must have ended; the zero time is never.
func (c *Call) Deadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline
}

// SetDeadline bounds the whole call: at that time it is cancelled with cause. Of
// several deadlines the earliest holds.
func (c *Call) SetDeadline(at time.Time, cause *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && !at.Before(c.deadline) {
		return
	}
	c.deadline, c.late = at, cause
	c.arm()
}

// ClearDeadline lifts the deadline: the response turned out to be a stream, which
// may last.
func (c *Call) ClearDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.late = time.Time{}, nil
	c.disarm()
}

// arm starts the deadline's timer where somebody has the context; without one the
// server's socket deadlines do. c.mu is held.
func (c *Call) arm() {
	if c.ctx == nil || c.deadline.IsZero() || c.ended {
		return
	}
	c.disarm()
	late := c.late
	c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.Cancel(late) })
}

// disarm stops the timer. c.mu is held.
func (c *Call) disarm() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// OnEnd has f called once: when the call ends or, where f was registered inside an
// attempt that is given up, when that attempt is (see Unwind). Functions run in
// the reverse order of their registration. After the end, f runs at once.
func (c *Call) OnEnd(f func(Result)) {
	c.mu.Lock()
	if !c.ended {
		c.ends = append(c.ends, f)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	f(Result{})
}

// Mark returns a mark for Unwind.
func (c *Call) Mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ends)
}

// Unwind ends what has been registered since mark: the retry layer gives an
// attempt up.
func (c *Call) Unwind(mark int, r Result) {
	c.mu.Lock()
	var ends []func(Result)
	if mark < len(c.ends) { // else the call has ended already, and they have run
		ends = slices.Clone(c.ends[mark:])
		clear(c.ends[mark:])
		c.ends = c.ends[:mark]
	}
	c.mu.Unlock()
	run(ends, r)
}

// End ends the call: every function of OnEnd runs, the timer stops, the context is
// cancelled. The server calls it exactly once, after the last byte to the client;
// a second call does nothing.
func (c *Call) End(r Result) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	ends := c.ends
	c.ends = nil
	c.disarm()
	cancel := c.cancel
	c.mu.Unlock()
	run(ends, r)
	if cancel != nil {
		cancel(context.Canceled)
	}
}

func run(ends []func(Result), r Result) {
	for _, f := range slices.Backward(ends) {
		f(r)
	}
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
		if at, late := c.bound(); late != nil {
			d.SetDeadline(at, late)
		}
	}
	out := req.Clone(d.parent)
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
	return out
}

func (c *Call) bound() (time.Time, *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline, c.late
}
