package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// continueAfter is how long an endpoint may take to answer "Expect: 100-continue"
// before it is sent the body all the same (RFC 9110, section 10.1.1).
const continueAfter = time.Second

var errManyInterim = errors.New("too many 1xx responses")

// exchange is one request by net/http's HTTP/2, which wants a context to wait with and may
// go on reading what it was given after it has returned from the context's end: it gets
// copies.
type exchange struct {
	address string
	method  string
	call    *mesh.Call      // nil for a request from outside a stack
	ctx     context.Context // the attempt's, whose cause says who ended it
	cancel  context.CancelCauseFunc
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
	x := &exchange{address: address, method: strings.Clone(req.Method), call: mesh.From(req)}
	ctx := req.Context()
	if x.call != nil {
		ctx = x.call.Context()
	}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	if x.call != nil {
		x.call.AtEnd(x)
	}
	x.trace.GotConn = x.got
	x.trace.Got1xxResponse = x.pass
	x.req = detach(httptrace.WithClientTrace(x.ctx, &x.trace), req)
	switch body := req.Body.(type) {
	case *uploadReader:
		x.upload = body.upload
		x.asks = asksFirst(req)
		x.req.GetBody = func() (io.ReadCloser, error) { return body.upload.open(body.trailer) }
	case *wholeBody:
		data := bytes.Clone(body.data)
		x.req.GetBody = func() (io.ReadCloser, error) { return &wholeBody{data: data}, nil }
		x.req.Body = &wholeBody{data: data}
	}
	return x
}

// detach returns a copy of req that shares nothing with it but its body and trailer. Its
// strings are its own, too: HTTP/2 keeps those of earlier heads for as long as the
// connection lasts, to refer to them (RFC 7541, section 2.3.2), and each of the client's
// may be a piece of a whole head.
func detach(ctx context.Context, req *http.Request) *http.Request {
	out := req.WithContext(ctx)
	out.Method, out.Host = strings.Clone(req.Method), strings.Clone(req.Host)
	out.URL = &url.URL{
		Scheme: req.URL.Scheme, Host: req.URL.Host, Opaque: strings.Clone(req.URL.Opaque),
		Path: strings.Clone(req.URL.Path), RawPath: strings.Clone(req.URL.RawPath),
		ForceQuery: req.URL.ForceQuery, RawQuery: strings.Clone(req.URL.RawQuery), OmitHost: req.URL.OmitHost,
	}
	out.Header = copied(req.Header)
	if _, has := out.Header["User-Agent"]; !has {
		out.Header["User-Agent"] = []string{""} // else net/http sends its own
	}
	return out
}

// copied returns a copy of h that shares no string with it.
func copied(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		list := make([]string, len(values))
		for i, v := range values {
			list[i] = strings.Clone(v)
		}
		out[strings.Clone(name)] = list
	}
	return out
}

// End ends what the exchange has under way: the call has ended, or the attempt.
func (x *exchange) End(mesh.Result) { x.cancel(errGivenUp) }

// bound ends a wait that begins when the attempt's own time is up; the call's deadline
// is the context's. It returns the timer to stop, nil where there is no such time.
func (x *exchange) bound() *time.Timer {
	if x.call == nil {
		return nil
	}
	at, late := x.call.Due()
	if at.IsZero() || at.Equal(x.call.Deadline()) {
		return nil
	}
	return time.AfterFunc(time.Until(at), func() { x.cancel(late) })
}

// run makes the exchange over via.
func (x *exchange) run(via http.RoundTripper) (*http.Response, error) {
	timer := x.bound()
	resp, err := via.RoundTrip(x.req)
	if timer != nil && !timer.Stop() && err == nil { // the head came as time ran out: its body would break off
		_ = resp.Body.Close()
		err = context.Cause(x.ctx)
	}
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
	if x.upload != nil || resp.Body != http.NoBody {
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
	if x.asks {
		x.hold()
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
func (x *exchange) finish() { x.sending.stop() }

// answer is a response's body, whose errors are Faults.
type answer struct {
	io.ReadCloser
	exchange *exchange
}

// Ready reports whether a Read would return at once, where the body knows.
func (a *answer) Ready() bool { return ready(a.ReadCloser) }

// Read reads from the endpoint.
func (a *answer) Read(p []byte) (int, error) {
	timer := a.exchange.bound()
	n, err := a.ReadCloser.Read(p)
	if timer != nil {
		timer.Stop()
	}
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
