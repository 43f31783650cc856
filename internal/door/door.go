// Package door accepts the connections of one address and hands each to the newest of
// its rooms, which are servers of net/http: what such a server was started with cannot
// change, so new settings open a new room, and those inside the old one stay until they
// leave by themselves. A gate bounds how many are inside.
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
	"net/http"
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

	sorting   sync.WaitGroup  // connections that have yet to show what they speak
	patience  context.Context // of sorting; ends when the door closes
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
func (d *Door) Enter(s Settings, handler http.Handler) {
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

// Limit changes how many may be inside; who is inside stays. Zero is unlimited.
func (d *Door) Limit(n int) { d.gate.limit(n) }

// Open returns how many connections are inside, those that were upgraded too.
func (d *Door) Open() int { return int(d.open.Load()) }

// Shut closes the listener alone.
func (d *Door) Shut() { d.ln.Close() }

// Accept runs until the listener is closed or ctx ends.
func (d *Door) Accept(ctx context.Context) {
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
	d.open.Add(1)
	p := &place{leave: func() { d.open.Add(-1); d.gate.leave() }}
	visitor := net.Conn(&guest{Conn: c, place: p})
	if tcp, ok := c.(*net.TCPConn); ok {
		visitor = &tcpGuest{TCPConn: tcp, place: p}
	}
	if d.newest().settings.Mesh == nil {
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
func (d *Door) sort(visitor net.Conn) {
	s := d.newest().settings
	secure, conn, err := identity.Split(d.patience, visitor, s.ReadHeaderTimeout)
	switch {
	case err != nil:
		return // Split has closed it
	case secure:
		conn = tls.Server(conn, s.Mesh)
	case !s.Plain:
		d.cfg.Refused(bridge.RefusePlain(d.patience, conn, d.cfg.Name))
		return
	}
	d.lead(conn)
}

// lead passes a connection to the newest room. Where that room closes while it waits
// at its feed, a newer one has opened; where none has, the door is closing.
func (d *Door) lead(visitor net.Conn) {
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

func (d *Door) newest() *room {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rooms[len(d.rooms)-1]
}

// Close stops accepting and waits, for as long as ctx allows, until every room is
// empty; then it cuts what is left.
func (d *Door) Close(ctx context.Context) error {
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
