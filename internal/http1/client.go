package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// client is one connection of a client's, served by one goroutine. As a context, it is
// the base of its Calls: its life, which knows the address that was reached.
type client struct {
	context.Context // the life

	srv  *Server
	conn net.Conn
	sock *socket
	peer netip.AddrPort
	addr string
	tls  *tls.ConnectionState // nil where it is plain

	state    atomic.Int32 // one of the stages
	perished atomic.Bool  // its life is over
	work     *work        // nil while it is idle
	first    [1]byte      // what an idle connection without raw path is read into

	turned   func(fd uintptr) bool // turn, made once
	verdict  step                  // what turn returned for
	until    time.Time             // when the wait ends that turn asks for
	begun    time.Time             // when the head's first byte came; zero before
	requests int                   // that have been served
	stalls   time.Time             // when the client must have taken what is being written
	unheard  bool                  // the client may still be sending: linger
	reset    bool                  // it must not look as if all had ended well

	unawaited bool // srv.mu protects it

	mu     sync.Mutex // protects all below
	call   *mesh.Call // in the stack; nil for none
	since  time.Time  // when it went there
	cause  error      // that ended life, nil while it goes on
	tunnel bool       // it has become one
}

// The stages of a connection.
const (
	idle    int32 = iota // between two requests
	busy                 // from a request's first byte to its response's last
	passed               // another has it
	retired              // it is to end
)

// step is what is to be done next.
type step int

const (
	stepMore  step = iota // read on
	stepReady             // a request has come
	stepEnded             // the connection has
	stepHTTP2             // its preface has come
)

// preface is how an HTTP/2 connection begins, as far as it looks like a head.
var preface = []byte("PRI * HTTP/2.0\r\n\r\n")

func newClient(life context.Context, s *Server, conn net.Conn) *client {
	c := &client{Context: life, srv: s, conn: conn, sock: newSocket(conn)}
	c.turned = c.turn
	if remote := conn.RemoteAddr(); remote != nil {
		c.addr = remote.String()
		c.peer, _ = netip.ParseAddrPort(c.addr)
	}
	if session, ok := conn.(*tls.Conn); ok {
		state := session.ConnectionState()
		c.tls = &state
	}
	return c
}

// Value returns the address that the client has reached, and what the life has.
func (c *client) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return c.conn.LocalAddr()
	}
	return c.Context.Value(key)
}

// serve serves the connection until it ends.
func (c *client) serve() {
	defer c.end()
	for {
		switch c.await() {
		case stepReady:
			if !c.exchange() {
				return
			}
		case stepHTTP2:
			c.handOver()
			return
		default:
			return
		}
	}
}

// end closes the connection.
func (c *client) end() {
	if p := recover(); p != nil {
		c.srv.cfg.Log.Error("panic while serving", "panic", p, "stack", string(debug.Stack()))
		c.unheard = false
	}
	c.release()
	if c.state.Swap(retired) == passed {
		return
	}
	switch {
	case c.reset:
		c.abort()
	case c.unheard:
		c.linger()
	}
	c.sock.close()
}

// abort has the close that follows reset the connection.
func (c *client) abort() {
	below := c.conn
	if session, ok := below.(*tls.Conn); ok {
		below = session.NetConn()
	}
	if tcp, ok := below.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // fails where it has gone already
	}
	_ = below.Close()
}

// await waits until a request has come that is to be served by exchange.
func (c *client) await() step {
	if c.sock.raw == nil {
		return c.listen()
	}
	c.verdict = stepEnded
	c.until = time.Time{} // the wait before the last request is over, however long that took
	if err := c.sock.hold(c.turned, &c.until); err != nil {
		c.lost(err)
		return stepEnded
	}
	return c.verdict
}

// listen is await by way of net.Conn.
func (c *client) listen() step {
	for {
		if w := c.work; w != nil && w.start < w.end {
			if s := c.advance(); s != stepMore {
				return s
			}
		}
		p := c.first[:]
		if !c.pause() {
			return stepEnded
		}
		if c.work != nil {
			p = c.work.room(c.srv.limits.head)
		}
		n, err := c.sock.read(p, c.until)
		if err != nil {
			c.lost(err)
			return stepEnded
		}
		if c.work == nil {
			w := c.take()
			w.in[0] = c.first[0]
		}
		c.work.end += n
		if !c.rouse() {
			return stepEnded
		}
	}
}

// advance looks at what has come.
func (c *client) advance() step {
	w := c.work
	b := w.pending()
	if c.requests == 0 && c.srv.cfg.HTTP2 != nil && bytes.HasPrefix(b, preface) {
		return stepHTTP2
	}
	n, fault := scan(b, w.scanned, c.srv.limits)
	switch {
	case fault != nil:
		c.refuse(w.lend(c), fault)
		return stepEnded
	case n == 0:
		w.scanned = len(b)
		return stepMore
	}
	l := w.lend(c)
	l.frame, fault = l.head.request(b[:n], l.req)
	w.start, w.scanned = w.start+n, 0
	c.begun = time.Time{}
	c.requests++
	if fault != nil {
		c.refuse(l, fault)
		return stepEnded
	}
	l.upload.begin(c, l)
	return stepReady
}

// rouse notes that bytes have come. It reports false where the connection has been
// retired.
func (c *client) rouse() bool {
	if c.begun.IsZero() {
		c.begun = time.Now()
	}
	return c.state.Load() == busy || c.state.CompareAndSwap(idle, busy)
}

// pause readies the connection for a wait until c.until, without its work where it is
// idle. It reports false where the connection is to end.
func (c *client) pause() bool {
	c.until = time.Time{}
	if w := c.work; w != nil && w.start < w.end {
		if c.begun.IsZero() {
			c.begun = time.Now()
		}
		c.until = after(c.begun, c.srv.cfg.ReadHeaderTimeout)
		return true
	}
	c.release()
	c.begun = time.Time{}
	c.state.CompareAndSwap(busy, idle)
	if c.srv.draining.Load() {
		c.retire() // Drain may have come before we were idle
	}
	if c.state.Load() != idle {
		return false
	}
	now := time.Now()
	c.until = after(now, c.srv.cfg.IdleTimeout)
	if first := after(now, c.srv.cfg.ReadHeaderTimeout); c.requests == 0 && !first.IsZero() && (c.until.IsZero() || first.Before(c.until)) {
		c.until = first
	}
	return true
}

// after returns the time d after t; the zero time where d is none.
func after(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return t.Add(d)
}

// lost deals with a wait for a head that ended with err: a client that has begun one
// is told that it was too slow.
func (c *client) lost(err error) {
	if w := c.work; w == nil || w.start == w.end || !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	c.refuse(c.work.lend(c), &mesh.Fault{Kind: mesh.RequestTimeout, Message: "The request's header came too slowly."})
}
