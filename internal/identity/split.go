package identity

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// tlsHandshake is the first byte of a connection that begins with a TLS handshake
// (RFC 8446, section 5.1). No HTTP request begins with it.
const tlsHandshake = 0x16

var past = time.Unix(1, 0) // a deadline that has passed

// Split tells a client that speaks TLS from one that does not, by the first byte
// that it sends: one port can serve both. It waits for that byte until ctx ends or
// for as long as within; zero or less is no bound but ctx.
//
// The connection that it returns gives the byte again to who reads, and is used in
// place of c. It has CloseWrite, ReadFrom and WriteTo where c has all three, as a
// [*net.TCPConn]; no read deadline is set. With an error c is closed.
//
// It blocks: the accepting goroutine calls it on another one for each connection,
// and bounds how many there are.
func Split(ctx context.Context, c net.Conn, within time.Duration) (secure bool, replay net.Conn, err error) {
	if within > 0 {
		_ = c.SetReadDeadline(time.Now().Add(within)) // fails on a closed connection, as Read does
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(past) })
	var b [1]byte
	_, err = io.ReadFull(c, b[:])
	if !stop() {
		err = context.Cause(ctx) // its deadline may come at any time now
	}
	if err != nil {
		_ = c.Close()
		return false, nil, fmt.Errorf("waiting for the first byte: %w", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	secure = b[0] == tlsHandshake
	if s, ok := c.(stream); ok {
		return secure, &replayedStream{stream: s, first: first{b: b[0], left: true}}, nil
	}
	return secure, &replayed{Conn: c, first: first{b: b[0], left: true}}, nil
}

// first is the byte that was read ahead. As with any Read of net/http's, calls do
// not overlap.
type first struct {
	b    byte
	left bool
}

// take moves the byte into p, and reports whether it did.
func (f *first) take(p []byte) bool {
	if !f.left || len(p) == 0 {
		return false
	}
	p[0], f.left = f.b, false
	return true
}

// replayed is a connection whose first byte is read once more.
type replayed struct {
	net.Conn
	first first
}

// Read returns the first byte alone, and then reads from the connection.
func (c *replayed) Read(p []byte) (int, error) {
	if c.first.take(p) {
		return 1, nil
	}
	return c.Conn.Read(p)
}

// NetConn returns the connection that the first byte was read from, as TLS's does: for
// whoever wants to look at it, not to read.
func (c *replayed) NetConn() net.Conn { return c.Conn }

// stream is what a TCP connection can besides: half-close, and copying in the
// kernel.
type stream interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	CloseWrite() error
}

// replayedStream is a replayed that keeps those within reach.
type replayedStream struct {
	stream
	first first
}

// Read returns the first byte alone, and then reads from the connection.
func (c *replayedStream) Read(p []byte) (int, error) {
	if c.first.take(p) {
		return 1, nil
	}
	return c.stream.Read(p)
}

// NetConn returns the connection that the first byte was read from.
func (c *replayedStream) NetConn() net.Conn { return c.stream }

// WriteTo copies all that comes to w, the first byte too.
func (c *replayedStream) WriteTo(w io.Writer) (int64, error) {
	var written int64
	if p := make([]byte, 1); c.first.take(p) {
		n, err := w.Write(p)
		written = int64(n)
		if err != nil {
			return written, err
		}
	}
	n, err := c.stream.WriteTo(w)
	return written + n, err
}
