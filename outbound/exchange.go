package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// continueAfter is how long an endpoint may take to answer "Expect: 100-continue"
// before it is sent the body all the same (RFC 9110, section 10.1.1).
const continueAfter = time.Second

var errManyInterim = errors.New("too many 1xx responses")

// exchange is one request on one connection.
type exchange struct {
	address string
	method  string
	call    *mesh.Call      // nil for a request from outside a stack
	ctx     context.Context // the attempt's, whose cause says who ended it
	req     *http.Request
	upload  *upload // nil without a body
	guess   bool    // that the endpoint speaks HTTP/2: the client's content type says so, nobody else
	asks    bool    // whether the endpoint wants the body, before it is sent
	trace   httptrace.ClientTrace

	// The connection, nil before there is one. net/http may replace a kept one that
	// turns out to be closed; the hook runs on the goroutine of RoundTrip.
	conn    *conn
	sending *uploadReader // on conn
	waiting *time.Timer   // for the answer to Expect; nil without
	headed  bool          // the response's head has come

	mu       sync.Mutex // protects answered and interim, and keeps 1xx before the answer
	answered bool
	interim  int
}

func newExchange(address string, req *http.Request) *exchange {
	x := &exchange{address: address, method: req.Method, call: mesh.From(req), ctx: req.Context()}
	if body, ok := req.Body.(*uploadReader); ok {
		x.upload = body.upload
	}
	x.asks = x.upload != nil && strings.EqualFold(req.Header.Get("Expect"), "100-continue")
	x.trace.GotConn = x.got
	x.trace.Got1xxResponse = x.pass
	x.req = req.WithContext(httptrace.WithClientTrace(x.ctx, &x.trace))
	return x
}

// run makes the exchange over via.
func (x *exchange) run(via http.RoundTripper) (*http.Response, error) {
	resp, err := via.RoundTrip(x.req)
	if x.waiting != nil {
		x.waiting.Stop() // who has answered without a 100 wants no body
	}
	x.mu.Lock()
	x.answered = true // net/http's own goroutines may lag behind; the client is the server's now
	x.mu.Unlock()
	if err != nil {
		fault := x.fault(err)
		x.finish()
		return nil, fault
	}
	x.headed = true
	if tunnel, ok := resp.Body.(io.ReadWriteCloser); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = newTunnel(x, tunnel)
	} else if x.upload != nil || resp.Body != http.NoBody {
		resp.Body = &answer{ReadCloser: resp.Body, exchange: x}
	}
	return resp, nil
}

// got is called when there is a connection.
func (x *exchange) got(info httptrace.GotConnInfo) {
	raw := info.Conn
	if session, ok := raw.(*tls.Conn); ok {
		raw = session.NetConn()
	}
	x.conn, _ = raw.(*conn)
	if x.conn == nil {
		return
	}
	x.sending = x.upload.latest()
	x.conn.begin(x.sending)
	if x.asks {
		x.hold()
	}
	if !x.conn.shared {
		nameTE(x.req.Header)
	}
}

// hold keeps the body back until the endpoint asks for it, or says nothing for
// continueAfter. net/http waits as well, but then sends the body after any answer
// that leaves the connection open. An answer without a 100 costs the connection: the
// body stays back until the exchange is over, which breaks the request off.
func (x *exchange) hold() {
	if x.waiting != nil { // for a connection that net/http has replaced
		x.waiting.Stop()
	}
	x.sending.hold()
	x.waiting = time.AfterFunc(continueAfter, x.sending.release)
}

// nameTE has Connection name TE, which HTTP/1.1 demands (RFC 9110, section 10.1.4)
// and HTTP/2 forbids. It is done when the connection, and so its protocol, is known.
func nameTE(h http.Header) {
	if h.Get("Te") == "" {
		return
	}
	if v := h.Get("Connection"); v == "" {
		h["Connection"] = []string{"TE"}
	} else if !strings.HasSuffix(v, "TE") { // ours, for a connection that net/http has replaced
		h["Connection"] = []string{v + ", TE"}
	}
}

// pass passes a 1xx response on. It runs on a goroutine of net/http, even after
// RoundTrip has returned. A 100 is for us: it lets go of the body.
func (x *exchange) pass(status int, header textproto.MIMEHeader) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.interim++; x.interim > maxInterim {
		return errManyInterim
	}
	if status == http.StatusContinue {
		x.sending.release()
	} else if !x.answered && x.call != nil && x.call.Interim != nil {
		x.call.Interim(status, http.Header(header))
	}
	return nil
}

// finish ends the upload, whether or not it was complete.
func (x *exchange) finish() {
	if x.conn != nil {
		x.conn.finish(x.sending)
	}
	x.sending.stop()
}

// answer is a response's body, whose errors are Faults.
type answer struct {
	io.ReadCloser
	exchange *exchange
}

// Read reads from the endpoint.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !isEnd(err) {
		err = a.exchange.fault(err)
	}
	return n, err
}

// Close ends the exchange, an upload in progress included.
func (a *answer) Close() error {
	err := a.ReadCloser.Close()
	a.exchange.finish()
	return err
}

// tunnel is the body of a 101: the connection itself. net/http lets go of it with
// the answer's head, so that ending it with the call is up to us.
type tunnel struct {
	io.ReadWriteCloser
	exchange *exchange
	unwatch  func() bool
}

func newTunnel(x *exchange, rwc io.ReadWriteCloser) *tunnel {
	t := &tunnel{ReadWriteCloser: rwc, exchange: x}
	t.unwatch = context.AfterFunc(x.ctx, func() { _ = rwc.Close() })
	return t
}

// Read reads from the endpoint.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(p)
	return n, t.fault(err)
}

// Write writes to the endpoint.
func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.ReadWriteCloser.Write(p)
	return n, t.fault(err)
}

func (t *tunnel) fault(err error) error {
	if err == nil || isEnd(err) {
		return err
	}
	return t.exchange.fault(err)
}

// CloseWrite ends our half.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return http.ErrNotSupported
}

// Close closes the connection.
func (t *tunnel) Close() error {
	t.unwatch()
	err := t.ReadWriteCloser.Close()
	t.exchange.finish()
	return err
}
