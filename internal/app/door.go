package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/identity"
	"outrider/internal/mesh"
)

// door accepts the connections of one address and hands each to the newest room. A
// reload that changes limits or certificates opens a new room: connections that are
// there already stay in the old one until they end, so that none is dropped.
type door struct {
	life context.Context // of every request
	ln   net.Listener
	log  *slog.Logger
	gate gate
	open atomic.Int64 // connections inside, hijacked ones too

	name    string            // in answers of its own
	refused func(*mesh.Fault) // hears of them

	sorting   sync.WaitGroup  // connections that have yet to show what they speak
	patience  context.Context // of sorting; ends when the door closes
	impatient context.CancelFunc

	mu     sync.Mutex // protects all below
	closed bool       // nobody is let in any more
	rooms  []*room    // the newest last; older ones until they are found empty
}

// room is one http.Server, with the settings that it was opened with.
type room struct {
	settings settings
	server   *http.Server
	feed     *feed
	open     atomic.Int64  // connections inside
	done     chan struct{} // closed when the server takes no more connections
}

func newDoor(life context.Context, ln net.Listener, limit int, log *slog.Logger) *door {
	d := &door{life: life, ln: ln, log: log, gate: newGate(limit), refused: func(*mesh.Fault) {}}
	d.patience, d.impatient = context.WithCancel(life)
	return d
}

// settings are what cannot change in a running http.Server.
type settings struct {
	headerBytes       int
	readHeaderTimeout time.Duration
	idleTimeout       time.Duration
	tls               *tls.Config // of every connection; nil: plain
	mesh              *tls.Config // of those that speak TLS among others; nil: not looked for
	plain             bool        // beside mesh: the others are welcome too
}

func settingsOf(l config.Limits) settings {
	return settings{
		headerBytes:       int(l.HeaderBytes),
		readHeaderTimeout: l.ReadHeaderTimeout,
		idleTimeout:       l.IdleTimeout,
	}
}

// enter makes s the settings of connections from now on.
func (d *door) enter(s settings, handler http.Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.rooms) > 0 && d.rooms[len(d.rooms)-1].settings == s {
		return
	}
	r := d.newRoom(s, handler)
	d.rooms = append(slices.DeleteFunc(d.rooms, (*room).empty), r)
	for _, old := range d.rooms[:len(d.rooms)-1] {
		_ = old.feed.Close() // never fails
	}
	go r.serve() // close waits for it
}

func (d *door) newRoom(s settings, handler http.Handler) *room {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC clients without TLS speak HTTP/2 by prior knowledge
	r := &room{settings: s, feed: newFeed(), done: make(chan struct{})}
	r.server = &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		MaxHeaderBytes:    s.headerBytes,
		ReadHeaderTimeout: s.readHeaderTimeout,
		IdleTimeout:       s.idleTimeout,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
		ConnState:         r.count,
		BaseContext:       func(net.Listener) context.Context { return d.life }, // ends upgraded connections too

		DisableGeneralOptionsHandler: true, // OPTIONS * is counted, limited and logged like the rest
	}
	// The mesh's connections have their handshake ahead of them; net/http does it, and
	// looks here for the protocols.
	r.server.TLSConfig = cmp.Or(s.tls, s.mesh)
	return r
}

func (r *room) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		r.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		r.open.Add(-1)
	case http.StateActive, http.StateIdle: // still inside
	}
}

// empty reports whether nobody is inside, and nobody can enter any more.
func (r *room) empty() bool {
	select {
	case <-r.done: // before, somebody may have been let in who is not counted yet
		return r.open.Load() == 0
	default:
		return false
	}
}

func (r *room) serve() {
	defer close(r.done)
	if r.settings.tls != nil {
		_ = r.server.ServeTLS(r.feed, "", "") // ends when the feed or the server is closed, and only then
		return
	}
	_ = r.server.Serve(r.feed)
}

// accept runs until the listener is closed or ctx ends.
func (d *door) accept(ctx context.Context) {
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
				d.log.Error("connections are not accepted", "error", err)
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
func (d *door) hand(c net.Conn) {
	d.open.Add(1)
	p := &place{leave: func() { d.open.Add(-1); d.gate.leave() }}
	visitor := net.Conn(&guest{Conn: c, place: p})
	if tcp, ok := c.(*net.TCPConn); ok {
		visitor = &tcpGuest{TCPConn: tcp, place: p}
	}
	if d.newest().settings.mesh == nil {
		d.lead(visitor)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed { // it was accepted as the listener closed
		visitor.Close()
		return
	}
	d.sorting.Go(func() { d.sort(visitor) }) // the gate bounds how many
}

// sort waits until a connection shows whether it speaks TLS, and lets it in by that.
func (d *door) sort(visitor net.Conn) {
	s := d.newest().settings
	secure, conn, err := identity.Split(d.patience, visitor, s.readHeaderTimeout)
	switch {
	case err != nil:
		return // Split has closed it
	case secure:
		conn = tls.Server(conn, s.mesh)
	case !s.plain:
		d.refused(bridge.RefusePlain(d.patience, conn, d.name))
		return
	}
	d.lead(conn)
}

// lead passes a connection to the newest room. Where that room closes while it waits
// at its feed, a newer one has opened; where none has, the door is closing.
func (d *door) lead(visitor net.Conn) {
	for tried := d.newest(); ; {
		if tried.feed.push(visitor) {
			return
		}
		newer := d.newest()
		if newer == tried {
			visitor.Close()
			return
		}
		tried = newer
	}
}

func (d *door) newest() *room {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rooms[len(d.rooms)-1]
}

// close stops accepting and waits, for as long as ctx allows, until every room is
// empty; then it cuts what is left.
func (d *door) close(ctx context.Context) error {
	d.ln.Close()
	d.impatient()
	defer d.sorting.Wait()
	d.mu.Lock()
	d.closed = true
	rooms := d.rooms
	d.mu.Unlock()
	failed := make([]error, len(rooms))
	var closing sync.WaitGroup
	for i, r := range rooms { // all at once: each has the whole of the grace
		closing.Go(func() { failed[i] = r.close(ctx) })
	}
	closing.Wait()
	for _, err := range failed {
		if err != nil {
			return fmt.Errorf("connections were cut at the end of the grace: %w", err)
		}
	}
	return nil
}

func (r *room) close(ctx context.Context) error {
	err := r.server.Shutdown(ctx)
	if err != nil {
		_ = r.server.Close() // the connections are gone either way
	}
	_ = r.feed.Close() // never fails
	<-r.done
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
