package http1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// passage is the body of an answer that turned the connection into a tunnel: 101, or
// 2xx to CONNECT. It is read by one goroutine and written to by another; Close ends
// both. The call's end does as well.
type passage struct {
	wire  *wire
	early []byte // what came with the head
	once  sync.Once
}

func newPassage(w *wire) *passage {
	_ = w.socket.set(time.Time{}, w.socket.conn.SetWriteDeadline, &w.socket.writing) // fails where the call is over, as writes will
	return &passage{wire: w, early: w.in[w.from:w.to]}
}

// Read reads from the endpoint. Its errors but io.EOF are Faults.
func (p *passage) Read(b []byte) (int, error) {
	if len(p.early) > 0 {
		n := copy(b, p.early)
		p.early = p.early[n:]
		return n, nil
	}
	at, late := p.wire.call.Due()
	n, err := p.wire.socket.read(b, at)
	return n, p.fault(err, late)
}

// WriteTo writes what comes from the endpoint to dst, where the kernel can without its
// passing through us. It returns when the endpoint has ended its half.
func (p *passage) WriteTo(dst io.Writer) (int64, error) {
	s, sum := p.wire.socket, int64(0)
	if len(p.early) > 0 {
		n, err := dst.Write(p.early)
		p.early, sum = p.early[n:], int64(n)
		if err != nil {
			return sum, err
		}
	}
	for {
		at, late := p.wire.call.Due()
		if err := s.set(at, s.conn.SetReadDeadline, &s.reading); err != nil {
			return sum, p.fault(err, late)
		}
		n, err := io.Copy(dst, s.conn)
		sum += n
		if again, _ := p.wire.call.Due(); errors.Is(err, os.ErrDeadlineExceeded) && !again.Equal(at) && !s.interrupted() {
			continue // the call has another deadline by now
		}
		return sum, p.fault(err, late)
	}
}

// Write writes to the endpoint. Its errors are Faults.
func (p *passage) Write(b []byte) (int, error) {
	n, err := p.wire.socket.plainWrite(b, time.Time{})
	return n, p.fault(err, nil)
}

// ReadFrom writes what comes from src to the endpoint, where the kernel can without
// its passing through us.
func (p *passage) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(p.wire.socket.conn, src)
	return n, p.fault(err, nil)
}

func (p *passage) fault(err error, late *mesh.Fault) error {
	if err == nil || err == io.EOF { //nolint:errorlint // io.Reader asks for io.EOF itself
		return err
	}
	return p.wire.fault(err, late)
}

// CloseWrite ends our half.
func (p *passage) CloseWrite() error {
	if half, ok := p.wire.socket.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return http.ErrNotSupported
}

// Close closes the connection.
func (p *passage) Close() error {
	p.once.Do(func() {
		p.wire.call.Dismiss()
		p.wire.socket.close()
		p.wire.end()
	})
	return nil
}
