package http1

import (
	"bytes"
	"net"
	"time"
)

// handOver gives the connection to an HTTP/2 server.
func (c *client) handOver() {
	if !c.state.CompareAndSwap(busy, passed) {
		return
	}
	rest := bytes.Clone(c.work.pending())
	c.release()
	_ = c.conn.SetDeadline(time.Time{}) // fails where it is closed, which a read will tell
	c.srv.unawait(c)
	c.srv.cfg.HTTP2(&begunConn{Conn: c.conn, rest: rest})
}

// begunConn is a connection of which some has been read already.
type begunConn struct {
	net.Conn
	rest []byte
}

// Read reads what had been read first.
func (b *begunConn) Read(p []byte) (int, error) {
	if len(b.rest) > 0 {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}
