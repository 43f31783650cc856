package door

import (
	"context"
	"net"
	"sync"
)

// gate bounds how many connections are open. A client over the bound waits in the
// kernel's backlog, and is not turned away.
type gate struct {
	mu    sync.Mutex // protects max, open
	max   int        // zero: unlimited
	open  int
	freed chan struct{} // holds a token when there may be room again
}

func newGate(limit int) gate { return gate{max: limit, freed: make(chan struct{}, 1)} }

// wait takes a place, when there is one.
func (g *gate) wait(ctx context.Context) error {
	for !g.enter() {
		select {
		case <-g.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.max > 0 && g.open >= g.max {
		return false
	}
	g.open++
	return true
}

// leave gives a place back.
func (g *gate) leave() {
	g.mu.Lock()
	g.open--
	g.mu.Unlock()
	g.signal()
}

// limit changes the bound; those inside stay.
func (g *gate) limit(n int) {
	g.mu.Lock()
	g.max = n
	g.mu.Unlock()
	g.signal()
}

func (g *gate) signal() {
	select {
	case g.freed <- struct{}{}:
	default: // a token is there already
	}
}

// place is what a connection takes up inside, and gives back once.
type place struct {
	once  sync.Once
	leave func()
}

func (p *place) free() { p.once.Do(p.leave) }

// tcpGuest gives its place back when it is closed. It embeds the TCP connection, so
// that half-close and the kernel's copying stay within reach.
type tcpGuest struct {
	*net.TCPConn
	place *place
}

// Close gives the place back.
func (c *tcpGuest) Close() error {
	c.place.free()
	return c.TCPConn.Close()
}

// guest is a tcpGuest for other sorts of connection.
type guest struct {
	net.Conn
	place *place
}

// Close gives the place back.
func (c *guest) Close() error {
	c.place.free()
	return c.Conn.Close()
}
