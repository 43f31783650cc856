// Package door accepts the connections of one address, finds out what each speaks, and
// hands it to the newest of its rooms, which are servers: internal/http1 for HTTP/1.1,
// net/http for HTTP/2. What a connection was let in with cannot change, so new settings
// open a new room, and those inside the old one stay until they leave by themselves. A
// gate bounds how many are inside.
//
//	d := door.New(life, listener, door.Config{Limit: 10000, Log: log})
//	d.Enter(settings, handler)
//	go d.Accept(life)       // whoever starts it waits for it
//	d.Enter(other, handler) // for new connections
//	err := d.Close(within)  // lets those inside finish
//
// It never reads a request: of a connection it looks at the first byte at most, where
// TLS and plain HTTP share the address.
package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/identity"
	"outrider/internal/mesh"
)

// Config describes a Door.
type Config struct {
	Limit   int               // of connections inside; zero is unlimited
	Log     *slog.Logger      // nil discards
	Name    string            // in answers of its own, to plain HTTP where it is not welcome
	Refused func(*mesh.Fault) // hears of them; may be nil
}

// Door is one address, and who came in by it.
type Door struct {
	cfg  Config
	life context.Context // of every request
	cut  context.CancelCauseFunc
	ln   net.Listener
	gate gate
	open atomic.Int64 // connections inside, hijacked ones too

	inside    sync.WaitGroup  // connections that are told apart or speak HTTP/1.1
	patience  context.Context // of those who have not said a word; ends when the door closes
	impatient context.CancelFunc

	mu     sync.Mutex // protects all below
	closed bool       // nobody is let in any more
	rooms  []*room    // the newest last; older ones until they are found empty
}

// New returns the door of ln, for requests that end with life. It starts nothing.
func New(life context.Context, ln net.Listener, cfg Config) *Door {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Refused == nil {
		cfg.Refused = func(*mesh.Fault) {}
	}
	d := &Door{cfg: cfg, ln: ln, gate: newGate(cfg.Limit)}
	d.life, d.cut = context.WithCancelCause(life)
	d.patience, d.impatient = context.WithCancel(life)
	return d
}

// Enter makes s the settings of connections from now on.
func (d *Door) Enter(s Settings, handler Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.rooms) > 0 && d.rooms[len(d.rooms)-1].settings == s {
		return
	}
	d.rooms = append(slices.DeleteFunc(d.rooms, (*room).empty), d.newRoom(s, handler))
}

// Limit changes how many may be inside; who is inside stays. Zero is unlimited.
func (d *Door) Limit(n int) { d.gate.limit(n) }

// Open returns how many connections are inside, those that were upgraded too.
func (d *Door) Open() int { return int(d.open.Load()) }

// Shut closes the listener alone.
func (d *Door) Shut() { d.ln.Close() }

// Accept runs until the listener is closed or ctx ends, and those who came in are gone
// but for HTTP/2, whose goroutines are net/http's.
func (d *Door) Accept(ctx context.Context) {
	defer d.inside.Wait()
	failing := false
	for {
		if err := d.gate.wait(ctx); err != nil {
			return
		}
		c, err := d.ln.Accept()
		if err != nil {
			d.gate.leave()
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			if !failing {
				d.cfg.Log.Error("connections are not accepted", "error", err)
			}
			failing = true
			pause(ctx, 10*time.Millisecond) // out of file descriptors, most likely: they come back
			continue
		}
		failing = false
		d.hand(c)
	}
}

// hand lets c in.
func (d *Door) hand(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed { // it was accepted as the listener closed
		d.gate.leave()
		c.Close()
		return
	}
	r := d.rooms[len(d.rooms)-1]
	d.open.Add(1)
	r.open.Add(1)
	p := &place{leave: func() { d.open.Add(-1); r.open.Add(-1); d.gate.leave() }}
	visitor := net.Conn(&guest{Conn: c, place: p})
	if tcp, ok := c.(*net.TCPConn); ok {
		visitor = &tcpGuest{TCPConn: tcp, place: p}
	}
	d.inside.Go(func() { d.serve(visitor, r) }) // the gate bounds how many
}

// serve finds out what a connection speaks, and serves it by that. It closes the
// connection, or leaves that to net/http.
func (d *Door) serve(visitor net.Conn, r *room) {
	switch s := r.settings; {
	case s.TLS != nil:
		d.serveTLS(visitor, s.TLS, r)
	case s.Mesh != nil:
		d.sort(visitor, r)
	default:
		r.http1.Serve(d.life, visitor)
	}
}

// sort waits until a connection shows whether it speaks TLS, and serves it by that.
func (d *Door) sort(visitor net.Conn, r *room) {
	s := r.settings
	secure, conn, err := identity.Split(d.patience, visitor, s.ReadHeaderTimeout)
	switch {
	case err != nil: // Split has closed it
	case secure:
		d.serveTLS(conn, s.Mesh, r)
	case s.Plain:
		// What Split returns hides the socket's descriptor, so its requests are read by
		// way of net: the first byte is not to be had from the kernel again. A client
		// that keeps to plain HTTP pays a little for that, until it speaks TLS.
		r.http1.Serve(d.life, conn)
	default:
		d.refuse(bridge.Plain{Conn: conn, Mutual: true})
	}
}

// serveTLS shakes hands, which settles the protocol (RFC 7301).
func (d *Door) serveTLS(visitor net.Conn, settings *tls.Config, r *room) {
	session := tls.Server(visitor, settings)
	if err := d.handshake(session, r.settings.ReadHeaderTimeout); err != nil {
		d.cfg.Log.Debug("TLS handshake failed", "peer", visitor.RemoteAddr().String(), "error", err.Error())
		var other tls.RecordHeaderError
		if errors.As(err, &other) && other.Conn != nil && looksLikeHTTP(other.RecordHeader) {
			mutual := settings.ClientAuth == tls.RequireAndVerifyClientCert
			d.refuse(bridge.Plain{Conn: visitor, Begun: other.RecordHeader[:], Mutual: mutual})
			return
		}
		visitor.Close()
		return
	}
	if session.ConnectionState().NegotiatedProtocol == "h2" {
		r.pass(session)
		return
	}
	r.http1.Serve(d.life, session)
}

// refuse tells a client that speaks plain HTTP that it is not welcome here.
func (d *Door) refuse(p bridge.Plain) {
	p.Pseudonym = d.cfg.Name
	d.cfg.Refused(bridge.RefusePlain(d.patience, p))
}

// looksLikeHTTP reports whether what came in the place of a TLS record's header may
// begin a request of HTTP: a method, and perhaps the start of its target.
func looksLikeHTTP(begun [5]byte) bool {
	for i, c := range begun {
		letter := 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != ' ' && c != '/' && c != '*') {
			return false
		}
	}
	return true
}

// handshake takes as long as a request's head may; who has not finished when the door
// closes has asked for nothing yet.
func (d *Door) handshake(session *tls.Conn, limit time.Duration) error {
	ctx := d.patience
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return session.HandshakeContext(ctx)
}

// Close stops accepting and waits, for as long as ctx allows, until every room is
// empty; then it cuts what is left.
func (d *Door) Close(ctx context.Context) error {
	d.ln.Close()
	d.impatient()
	d.mu.Lock()
	d.closed = true
	rooms := d.rooms
	d.mu.Unlock()
	failed := make([]error, len(rooms))
	var closing sync.WaitGroup
	for i, r := range rooms { // all at once: each has the whole of the grace
		closing.Go(func() { failed[i] = r.close(ctx, d.end) })
	}
	closing.Wait()
	for _, err := range failed {
		if err != nil {
			return fmt.Errorf("connections were cut at the end of the grace: %w", err)
		}
	}
	return nil
}

// end ends every request: the proxy's drain is over, and no client is to blame.
func (d *Door) end() { d.cut(&mesh.Fault{Kind: mesh.Draining}) }

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
