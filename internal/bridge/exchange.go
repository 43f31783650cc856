package bridge

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"outrider/internal/mesh"
)

// exchange is one HTTP/2 request and its response.
type exchange struct {
	h       *handler
	w       http.ResponseWriter
	control *http.ResponseController
	req     *http.Request
	call    *mesh.Call
	interim *interim
	up      *upload // nil where the request has no body

	cancel  context.CancelCauseFunc
	unwatch func() bool

	malformed string // what is wrong with the request, empty for nothing

	resp    *http.Response // the stack's
	status  int            // what the client was sent; zero before the head
	sent    int64
	stalls  time.Time // when the write deadline falls, zero for none
	bounded bool      // the call's deadline holds for writing: an answer to a Fault may come after it
	aborted bool      // the client has not had a whole message
}

// accept prepares a request for the stack.
func (h *handler) accept(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{h: h, w: w, control: http.NewResponseController(w), malformed: malformed(r)}
	x.call, x.cancel, x.unwatch = watch(r.Context())
	x.call.Start = time.Now()
	x.call.Peer, _ = netip.ParseAddrPort(r.RemoteAddr)
	x.call.Secure = r.TLS != nil
	Measure(x.call, r.Header)
	x.interim = &interim{w: w, edge: h.Edge}
	x.call.Interim = x.interim.send

	x.req = x.call.Bind(r)
	h.admit(x.req, x.call, "")
	x.lend(r)
	return x
}

// lend gives the stack a body that keeps to the contract.
func (x *exchange) lend(r *http.Request) {
	if x.req.Body == http.NoBody {
		return
	}
	x.up = &upload{body: r.Body, trailer: x.req.Trailer, hops: x.h.hops, control: x.control}
	x.req.Body = x.up
}

// fault returns err as the Fault to answer with or to end with, of kind otherwise
// where nothing better is known.
func (x *exchange) fault(err error, otherwise mesh.Kind) *mesh.Fault {
	var ended *mesh.Fault
	if cause := context.Cause(x.req.Context()); cause != nil {
		ended = mesh.Gone(cause)
	}
	return faultOf(x.call, ended, err, otherwise)
}

// finish gives everything back, in the order that the lifetimes need: the upload
// ends first, because closing the response may wait for its reader.
func (x *exchange) finish(err error) {
	x.unwatch()
	x.interim.end()
	result := mesh.Result{Status: x.status, Sent: x.sent, Err: err}
	if x.up != nil {
		_ = x.up.Close()
		result.Received = x.up.received.Load()
	}
	if x.resp != nil {
		_ = x.resp.Body.Close()
	}
	var fault *mesh.Fault
	if result.Status == 0 && errors.As(err, &fault) && fault.Kind == mesh.ClientGone {
		result.Status = mesh.ClientGone.Status()
	}
	x.call.End(result)
	x.cancel(context.Canceled)
}
