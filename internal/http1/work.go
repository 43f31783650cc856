package http1

import (
	"context"
	"net/http"

	"outrider/internal/mesh"
)

const (
	inBytes  = 16 << 10 // of the buffer that requests are read into, at first
	outBytes = 32 << 10 // of that which responses are written from
)

// work is what serving requests takes, beside the connection. A client that is idle has
// none.
type work struct {
	in         []byte // its length is its room
	start, end int    // of in, what has been read and not used
	scanned    int    // of that, what is known to have no head's end
	loan       *loan
	visit      visit
}

// loan is what of a work is lent to the stack. Where somebody may look at it for ever,
// the work gets another.
type loan struct {
	call    *mesh.Call
	blank   *http.Request // nothing but the call's context
	req     *http.Request
	head    head
	frame   framing
	upload  upload
	interim interim
}

// take returns the client's work, from now on.
func (c *client) take() *work {
	if c.work == nil {
		c.work = c.srv.works.Get().(*work)
		c.srv.taken.Add(1)
		if c.work.in == nil {
			c.work.in = make([]byte, inBytes)
		}
	}
	return c.work
}

// release gives the work back.
func (c *client) release() {
	w := c.work
	if w == nil {
		return
	}
	c.work = nil
	w.start, w.end, w.scanned = 0, 0, 0
	w.visit = visit{}
	if len(w.in) > inBytes {
		w.in = nil
	}
	if w.loan != nil && !w.loan.forget() {
		w.loan = nil
	}
	c.srv.taken.Add(-1)
	c.srv.works.Put(w)
}

// pending returns what has been read and not used.
func (w *work) pending() []byte { return w.in[w.start:w.end] }

// room returns where to read into. There is some as long as what is pending is less
// than limit.
func (w *work) room(limit int) []byte {
	switch {
	case w.start == w.end:
		w.start, w.end = 0, 0
	case w.end < len(w.in):
	case w.start > 0:
		w.end = copy(w.in, w.pending())
		w.start = 0
	default:
		grown := make([]byte, min(2*len(w.in), max(limit, len(w.in)+1)))
		copy(grown, w.in)
		w.in = grown
	}
	return w.in[w.end:]
}

// lend readies the loan for a request of a connection that lives as long as base.
func (w *work) lend(c *client) *loan {
	l := w.loan
	if l == nil || !l.call.Renew(c) {
		l = newLoan(c)
		w.loan = l
	}
	*l.req = *l.blank
	l.req.RemoteAddr, l.req.TLS = c.addr, c.tls
	l.frame = framing{}
	l.interim.begin(c)
	return l
}

func newLoan(base context.Context) *loan {
	l := &loan{call: mesh.NewCall(base), req: new(http.Request)}
	l.blank = l.call.Bind(&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
	l.call.Renew(base) // from now on we tell it of base's end
	l.interim.send = l.interim.pass
	return l
}

// forget lets go of what the last request said. It reports false, and does nothing,
// where somebody may still look at that.
func (l *loan) forget() bool {
	if !l.call.Renew(context.Background()) {
		return false
	}
	if cap(l.head.values) > 4*keptMap {
		l.head = head{} // one client's many fields would cost every other one's requests
	}
	clear(l.head.header)
	clear(l.head.trailer)
	clear(l.head.values[:cap(l.head.values)])
	*l.req = *l.blank
	return true
}
