package bridge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// halfCloser is a connection whose writing half can end by itself.
type halfCloser interface{ CloseWrite() error }

// tunnel answers a 101: it takes the connection over and joins it to the
// endpoint's (RFC 9110, section 7.8).
func (x *exchange) tunnel() error {
	resp := x.resp
	origin, err := switched(resp, x.upgrade, x.up == nil || x.up.reusable())
	if err != nil {
		return x.answer(&mesh.Fault{Kind: mesh.UnsupportedUpgrade, Err: err})
	}
	x.interim.end()
	conn, buffered, err := x.control.Hijack()
	if err != nil {
		return x.answer(&mesh.Fault{Kind: mesh.Internal, Err: err})
	}
	x.hijacked = true
	defer conn.Close()

	x.h.passSwitch(x.call, resp)
	if x.h.StallTimeout > 0 {
		_ = conn.SetWriteDeadline(time.Now().Add(x.h.StallTimeout))
	}
	_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = resp.Header.Write(buffered)
	_, _ = buffered.WriteString("\r\n")
	if err := buffered.Flush(); err != nil { // a bufio.Writer keeps its first error
		return &mesh.Fault{Kind: mesh.ClientGone, Err: err}
	}
	_ = conn.SetWriteDeadline(time.Time{})
	x.status = http.StatusSwitchingProtocols
	x.aborted = false // the tunnel's own protocol says what is whole
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	return x.join(conn, early, origin)
}

// joint is two connections that are copied to each other.
type joint struct {
	h              *handler
	client         net.Conn
	origin         io.ReadWriteCloser
	received, sent atomic.Int64
	once           sync.Once
	ended          chan struct{} // one element for each direction
}

// join copies both ways until both directions have ended, one has failed, or the
// call is over.
func (x *exchange) join(client net.Conn, early []byte, origin io.ReadWriteCloser) error {
	j := &joint{h: x.h, client: client, origin: origin, ended: make(chan struct{}, 2)}
	ctx := x.call.Context()
	defer context.AfterFunc(ctx, j.close)()

	go j.direction(origin, io.MultiReader(bytes.NewReader(early), client), &j.received)
	go j.direction(client, origin, &j.sent)
	<-j.ended
	j.awaitOther()
	x.received, x.sent = j.received.Load(), j.sent.Load()
	return context.Cause(ctx)
}

// direction runs one of the two.
func (j *joint) direction(dst io.Writer, src io.Reader, count *atomic.Int64) {
	if err := j.h.guard(func() error { return j.pump(dst, src, count) }); err != nil {
		j.close()
	}
	j.ended <- struct{}{}
}

// awaitOther waits for the second direction once the first has ended: for as long
// as bytes come.
func (j *joint) awaitOther() {
	var tick <-chan time.Time // nil never ticks
	if j.h.StallTimeout > 0 {
		ticker := time.NewTicker(j.h.StallTimeout)
		defer ticker.Stop()
		tick = ticker.C
	}
	for before := int64(-1); ; {
		select {
		case <-j.ended:
			return
		case <-tick:
			total := j.received.Load() + j.sent.Load()
			if total == before {
				j.close()
			}
			before = total
		}
	}
}

// pump copies src to dst and passes its end on. It fails where that cannot be
// done: the other direction would not know.
func (j *joint) pump(dst io.Writer, src io.Reader, count *atomic.Int64) error {
	buffer := j.h.buffers.Get().(*[bufferSize]byte)
	defer j.h.buffers.Put(buffer)
	for {
		n, rerr := src.Read(buffer[:])
		if n > 0 {
			if _, err := dst.Write(buffer[:n]); err != nil {
				return err
			}
			count.Add(int64(n))
		}
		switch {
		case rerr == io.EOF:
			half, ok := dst.(halfCloser)
			if !ok {
				return errors.New("no half-close")
			}
			return half.CloseWrite()
		case rerr != nil:
			return rerr
		}
	}
}

// close ends both connections, and with them both directions.
func (j *joint) close() {
	j.once.Do(func() {
		_ = j.client.Close()
		_ = j.origin.Close()
	})
}
