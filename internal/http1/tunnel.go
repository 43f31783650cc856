package http1

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

// errNoTunnel is why a switch of protocols is not passed on.
var errNoTunnel = errors.New("the response switches protocols, and its body is no connection or the request's is not over")

// switches reports whether the connection becomes a tunnel.
func (v *visit) switches() bool {
	status := v.resp.StatusCode
	return status == http.StatusSwitchingProtocols ||
		v.loan.req.Method == http.MethodConnect && status >= 200 && status < 300
}

// tunnel sends the head, and joins the connection to the endpoint's (RFC 9110, sections
// 7.8 and 9.3.6).
func (v *visit) tunnel() error {
	c, l := v.c, v.loan
	origin, ok := v.resp.Body.(io.ReadWriteCloser)
	if !ok || !l.frame.upgrade && l.req.Method != http.MethodConnect || l.frame.length != 0 && !l.upload.over() {
		v.cut = true
		return &mesh.Fault{Kind: mesh.UnsupportedUpgrade, Err: errNoTunnel}
	}
	upgrade := v.resp.StatusCode == http.StatusSwitchingProtocols
	head, fault := appendResponse(nil, v.resp, outgoing{length: -1, upgrade: upgrade})
	if fault != nil {
		v.cut = true
		return v.apologise(fault)
	}
	v.close = true
	if err := v.write(head, len(head), 0); err != nil {
		v.cut = true
		return err
	}
	v.status = v.resp.StatusCode
	early := bytes.Clone(c.work.pending())
	c.work.in, c.work.start, c.work.end = nil, 0, 0 // a tunnel may stand for long
	c.tunnelled()
	return v.join(early, origin)
}

// tunnelled notes that the connection is a tunnel: nobody waits for it, and a half of it
// may end.
func (c *client) tunnelled() {
	c.mu.Lock()
	c.tunnel = true
	c.mu.Unlock()
	c.srv.unawait(c)
	_ = c.conn.SetDeadline(time.Time{}) // where that comes after perish, the call's context has ended
}

// joint is two connections that are copied to each other.
type joint struct {
	srv            *Server
	client         net.Conn
	origin         io.ReadWriteCloser
	received, sent atomic.Int64
	once           sync.Once
	ended          chan struct{} // one element for each direction
}

// join copies both ways until both directions have ended, one has failed, or the call is
// over.
func (v *visit) join(early []byte, origin io.ReadWriteCloser) error {
	j := &joint{srv: v.c.srv, client: v.c.conn, origin: origin, ended: make(chan struct{}, 2)}
	call := v.loan.call
	defer context.AfterFunc(call.Context(), j.close)()

	go j.direction(origin, io.MultiReader(bytes.NewReader(early), j.client), &j.received)
	go j.direction(j.client, origin, &j.sent)
	<-j.ended
	j.awaitOther()
	v.passed, v.sent = j.received.Load(), j.sent.Load()
	return call.Cause()
}

// direction runs one of the two.
func (j *joint) direction(dst io.Writer, src io.Reader, count *atomic.Int64) {
	if err := j.pump(dst, src, count); err != nil {
		j.close()
	}
	j.ended <- struct{}{}
}

// awaitOther waits for the second direction once the first has ended: for as long as
// bytes come.
func (j *joint) awaitOther() {
	var tick <-chan time.Time // nil never ticks
	if stall := j.srv.cfg.StallTimeout; stall > 0 {
		ticker := time.NewTicker(stall)
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

// pump copies src to dst and passes its end on. It fails where that cannot be done: the
// other direction would not know.
func (j *joint) pump(dst io.Writer, src io.Reader, count *atomic.Int64) error {
	buffer := j.srv.outs.Get().(*[outBytes]byte)
	defer j.srv.outs.Put(buffer)
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
