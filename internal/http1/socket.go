package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// errInterrupted is what waits on a socket end with after interrupt.
var errInterrupted = errors.New("interrupted")

// errStale says that the other end of a connection that was idle has closed it, or has
// said something unasked.
var errStale = errors.New("the connection was closed or spoken on while it was idle")

// past is a deadline that has always gone by.
var past = time.Unix(1, 0)

// socket is one connection: one goroutine reads at a time, and one writes.
//
// Deadlines are set lazily. Moving one costs more than looking at a clock, and nearly
// every request has a later one than the request before: so the connection's is moved
// only where it would come too late, and where it comes too early the wait goes on.
type socket struct {
	conn net.Conn
	raw  syscall.RawConn // of a plain connection, where the system lets us read and write below conn; else nil
	tcp  syscall.RawConn // of what is below TLS, to look whether the other end is there; nil where unknown
	fd   int             // for as long as a hold's callback runs; else -1

	reading, writing time.Time // the deadlines that conn has; zero for none

	one [1]byte // for dry

	mu   sync.Mutex // protects over and deaf, and conn's deadlines from those who set them
	over bool

	wait rawWait

	deaf bool // reads are over; mu protects it
}

// newSocket returns the socket of c. Where c has SyscallConn, its Read and Write may be
// passed by. Where it has NetConn instead, as TLS, the connection that this returns is
// looked at, to see whether the other end is there, and no more.
func newSocket(c net.Conn) *socket {
	s := &socket{conn: c, fd: -1}
	if s.tcp = rawOf(c); s.tcp != nil {
		s.init()
		return s
	}
	for s.tcp == nil {
		over, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = over.NetConn()
		s.tcp = rawOf(c)
	}
	return s
}

func rawOf(c net.Conn) syscall.RawConn {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// read reads what is there, waiting for it until then at most; the zero time is never.
// The error is os.ErrDeadlineExceeded when that has passed, and errInterrupted after
// interrupt.
func (s *socket) read(p []byte, until time.Time) (int, error) {
	if s.raw != nil {
		return s.rawRead(p, until)
	}
	return s.plainRead(p, until)
}

// exchange writes out and reads the beginning of what comes back into in. Where the
// connection was idle it first looks whether it is still fit for use: the error is
// errStale where not, and nothing has been sent then. Sent tells how much of out the
// system has taken.
func (s *socket) exchange(out, in []byte, idle bool, until time.Time) (n, sent int, err error) {
	if s.raw != nil {
		return s.rawExchange(out, in, idle, until)
	}
	if idle && !s.quiet() {
		return 0, 0, errStale
	}
	if sent, err = s.plainWrite(out, until); err != nil {
		return 0, sent, err
	}
	n, err = s.plainRead(in, until)
	return n, sent, err
}

// send writes out, the beginning of a message, and does not wait for an answer. Where
// the connection was idle it first looks, as exchange does.
func (s *socket) send(out []byte, idle bool, until time.Time) (sent int, err error) {
	if idle && !s.quiet() {
		return 0, errStale
	}
	return s.plainWrite(out, until)
}

// quiet reports whether a connection that nobody should be speaking on is open, and
// nobody has spoken.
func (s *socket) quiet() bool {
	return (s.raw != nil || s.dry()) && s.still()
}

// dry reports whether conn itself holds nothing back that it has read already, such as
// the end of a TLS session: with a deadline that has passed it returns only that.
func (s *socket) dry() bool {
	if err := s.set(past, s.conn.SetReadDeadline, &s.reading); err != nil {
		return false
	}
	_, err := s.conn.Read(s.one[:])
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func (s *socket) plainRead(p []byte, until time.Time) (int, error) {
	if err := s.arm(until); err != nil {
		return 0, err
	}
	for {
		n, err := s.conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := s.expired(until); err != nil {
			return 0, err
		}
	}
}

// write writes all of p, until then at most.
func (s *socket) write(p []byte, until time.Time) (int, error) {
	n := 0
	if s.fd >= 0 {
		var err error
		if n, err = s.rawWrite(p); err != nil || n == len(p) {
			return n, err
		}
	}
	m, err := s.plainWrite(p[n:], until)
	return n + m, err
}

func (s *socket) plainWrite(p []byte, until time.Time) (int, error) {
	// Not lazily where it is early: a TLS connection is spoilt by a write that times out.
	if !until.Equal(s.writing) {
		if err := s.set(until, s.conn.SetWriteDeadline, &s.writing); err != nil {
			return 0, err
		}
	}
	n, err := s.conn.Write(p)
	if err != nil && s.interrupted() {
		err = errInterrupted
	}
	return n, err
}

// arm makes a read wait until then at the longest.
func (s *socket) arm(until time.Time) error {
	if until.IsZero() || !s.reading.IsZero() && !until.Before(s.reading) {
		return nil // what is set comes earlier, and expired sets it anew
	}
	return s.set(until, s.conn.SetReadDeadline, &s.reading)
}

// expired is asked when the deadline of a read has gone by: it returns why the read
// has ended, or nil where it came too early and the read is to go on.
func (s *socket) expired(until time.Time) error {
	if s.deafened() {
		return errInterrupted
	}
	if !until.IsZero() && !time.Now().Before(until) {
		return os.ErrDeadlineExceeded
	}
	return s.set(until, s.conn.SetReadDeadline, &s.reading)
}

func (s *socket) set(at time.Time, set func(time.Time) error, now *time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.deaf && now == &s.reading {
		return errInterrupted
	}
	*now = at
	return set(at)
}

// interrupt ends every wait on s, those to come too, with errInterrupted. It may be
// called by any goroutine, and does not wait.
func (s *socket) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	_ = s.conn.SetDeadline(past) // fails where it is closed, which ends waits as well
}

// deafen is interrupt for reads alone.
func (s *socket) deafen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = true
	_ = s.conn.SetReadDeadline(past) // fails where it is closed, which ends reads as well
}

func (s *socket) deafened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over || s.deaf
}

// cut is interrupt that the other end notices, though whoever serves the socket may not:
// a close would wait for that.
func (s *socket) cut() {
	s.interrupt()
	c := s.conn
	if session, ok := c.(*tls.Conn); ok {
		c = session.NetConn()
	}
	if halves, ok := c.(interface {
		CloseRead() error
		CloseWrite() error
	}); ok {
		_ = halves.CloseRead() // fails where the connection is closed
		_ = halves.CloseWrite()
	}
}

func (s *socket) interrupted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// close closes the connection, which ends every wait on it.
func (s *socket) close() { _ = s.conn.Close() }
