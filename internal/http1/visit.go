package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"outrider/internal/mesh"
)

// linger is how long what a client still sends is read when the connection is closed
// without having been heard out: one that is closed with bytes unread is reset, and a
// reset can overtake our answer.
const linger = time.Second

// visit is one request of a client's, and its response.
type visit struct {
	c      *client
	loan   *loan
	resp   *http.Response
	failed bool  // the response tells of a Fault: it may come after the call's deadline
	close  bool  // the connection ends after it
	cut    bool  // the client has not had a whole message
	endsBy bool  // nothing but the connection's end delimits the response
	status int   // what the client was sent; zero before
	passed int64 // bytes of a tunnel from the client
	sent   int64 // bytes of body to the client
}

// errNoResponse is why a call ends whose Handler has returned nothing at all.
var errNoResponse = errors.New("the handler returned neither response nor error")

// exchange serves the request that has come. It reports whether the connection goes on.
func (c *client) exchange() bool {
	w := c.work
	l := w.loan
	c.introduce(l)
	if l.req.ProtoMinor > 0 {
		l.call.Interim = l.interim.send
	}
	c.enterStack(l.call)
	w.visit = visit{c: c, loan: l}
	v := &w.visit
	v.finish(v.run(c.srv.handle))
	return v.goesOn()
}

// introduce tells the call what is known of the client.
func (c *client) introduce(l *loan) {
	call := l.call
	call.Start, call.Peer, call.Secure = time.Now(), c.peer, c.tls != nil
	call.Fields, call.FieldBytes = l.head.fields, l.head.fieldBytes
}

// refuse answers what is no request, or may not be read on. The connection ends.
func (c *client) refuse(l *loan, fault *mesh.Fault) {
	c.introduce(l)
	l.req.Body = http.NoBody
	if l.req.URL == nil {
		l.req.URL = new(url.URL)
	}
	if l.req.Header == nil {
		l.req.Header = make(http.Header)
	}
	l.frame = framing{close: true}
	c.enterStack(l.call)
	c.work.visit = visit{c: c, loan: l}
	v := &c.work.visit
	v.finish(v.run(func(req *http.Request) (*http.Response, error) {
		return c.srv.cfg.Handler.Refuse(req, fault)
	}))
	c.unheard = true
}

// run asks the Handler by way of handle, and sends what it answers. Its error is what
// the call ends with. A panic cuts the connection.
func (v *visit) run(handle func(*http.Request) (*http.Response, error)) (err error) {
	defer func() {
		p := recover()
		switch p {
		case nil:
			return
		case http.ErrAbortHandler:
		default:
			v.c.srv.cfg.Log.Error("panic while serving", "panic", p, "stack", string(debug.Stack()))
		}
		v.loan.interim.end()
		v.cut, err = true, &mesh.Fault{Kind: mesh.Internal, Err: fmt.Errorf("panic: %v", p)}
	}()
	resp, err := handle(v.loan.req) //nolint:bodyclose // finish closes it, after the upload has ended
	return v.answer(resp, err)
}

// answer sends the response that the Handler returned with err.
func (v *visit) answer(resp *http.Response, err error) error {
	v.loan.interim.end()
	if resp == nil {
		v.cut = true
		if err == nil {
			err = errNoResponse
		}
		return err
	}
	v.resp, v.failed = resp, err != nil
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if v.failed {
		v.closeUpload() // nobody reads on once the stack has failed
	}
	if v.switches() {
		return v.tunnel()
	}
	v.settle()
	if failed := v.send(); failed != nil {
		v.cut = true
		if err == nil { // else it is why the call failed; that the client left as well is no news
			err = v.c.srv.cfg.Handler.Fail(v.loan.req, failed)
		}
	}
	return err
}

// settle decides whether the connection ends with the response. What the client still
// sends of a body that is not read may be worth reading on for a next request's sake.
func (v *visit) settle() {
	l := v.loan
	v.close = v.close || l.frame.close || v.resp.Close || v.c.ending()
	if v.close || l.frame.length == 0 || l.upload.over() {
		return
	}
	if !l.upload.reading.TryLock() { // it goes on beside the response
		v.close = true
		return
	}
	defer l.upload.reading.Unlock()
	v.close = !l.upload.promising()
}

func (v *visit) closeUpload() {
	if v.loan.frame.length != 0 {
		_ = v.loan.upload.Close()
	}
}

// finish gives everything back, in the order that the lifetimes need: the upload ends
// first, because closing the response may wait for its reader.
func (v *visit) finish(err error) {
	result := mesh.Result{Status: v.status, Received: v.passed, Sent: v.sent, Err: err}
	if l := v.loan; l.frame.length != 0 {
		_ = l.upload.Close()
		l.upload.skim()
		result.Received += l.upload.received.Load()
	}
	if v.resp != nil {
		_ = v.resp.Body.Close()
	}
	if err != nil && result.Status == 0 && left(err) {
		result.Status = mesh.ClientGone.Status()
	}
	v.loan.call.End(result)
	v.c.leaveStack()
	v.resp = nil
}

// left reports whether a call has ended with err because the client has gone.
func left(err error) bool {
	var fault *mesh.Fault
	return errors.As(err, &fault) && fault.Kind == mesh.ClientGone
}

// goesOn reports whether the connection serves a next request, and has its socket where
// that would begin.
func (v *visit) goesOn() bool {
	c, l := v.c, v.loan
	unread := l.frame.length != 0 && !l.upload.over()
	switch {
	case v.cut:
		c.reset = v.endsBy && v.status != 0
		return false
	case v.close:
		c.unheard = c.unheard || unread || len(c.work.pending()) > 0
		return false
	case unread && !l.upload.drain(linger):
		c.unheard = true
		return false
	}
	return true
}

// linger reads what the client still sends, for a bounded time, so that it has a chance
// to read our answer.
func (c *client) linger() {
	if half, ok := c.conn.(halfCloser); ok && half.CloseWrite() != nil {
		return
	}
	if c.conn.SetReadDeadline(time.Now().Add(linger)) != nil || c.sock.interrupted() {
		return
	}
	c.mu.Lock()
	over := c.cause != nil // whoever ends us later ends the read with it
	c.mu.Unlock()
	if over {
		return
	}
	out := c.srv.outs.Get().(*[outBytes]byte)
	defer c.srv.outs.Put(out)
	_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{c.conn}, out[:])
}
