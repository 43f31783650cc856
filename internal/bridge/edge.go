package bridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// Config is what an Edge or a Handler needs.
type Config struct {
	// Stack answers the requests. It is required.
	Stack http.RoundTripper

	// Pseudonym names this listener in Via and Proxy-Status, and finds loops: it
	// must be unique among all listeners that a request could pass. Empty means
	// "outrider".
	Pseudonym string

	// Protected lists header fields, such as those of identity, that a client's
	// Connection field must not remove. A name may end in "*".
	Protected []string

	// Identify says who the client is, for Call.Source. It is asked only where the
	// server has verified a certificate of the client's. Nil identifies nobody.
	Identify func(*tls.ConnectionState) mesh.Identity

	// StallTimeout is a Handler's; an Edge's server has its own. It cuts off a client
	// that accepts no byte for this long, or at most half as long again; the call's
	// deadline does in any case. Zero means 1m; negative disables.
	StallTimeout time.Duration

	// Refused, where set, hears of requests that are refused before the stack.
	// The request has a Call, with an ID of its own and the peer as its Client,
	// whose end is still to come.
	Refused func(*http.Request, *mesh.Fault)

	// Log gets the stack traces of panics. Nil discards.
	Log *slog.Logger
}

// Edge stands between a server, which knows messages, and a stack. It is what the
// HTTP/1.1 server asks; net/http's HTTP/2 has a Handler in front of one.
type Edge struct {
	Config
	hops      Hops
	vias      vias
	crossings sync.Pool // of *crossing
}

// NewEdge returns an Edge. It panics where c.Stack is nil.
func NewEdge(c Config) *Edge {
	if c.Stack == nil {
		panic("bridge: Config.Stack is nil")
	}
	if c.Pseudonym == "" {
		c.Pseudonym = defaultPseudonym
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = defaultStall
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	e := &Edge{Config: c, hops: NewHops(c.Protected), vias: newVias(c.Pseudonym)}
	e.crossings.New = func() any { return newCrossing(e) }
	return e
}

// Handle answers req, a whole head whose Call has what the server knows. It returns
// the response to send, nil to cut the connection, and the error that the call ends
// with, nil where all went well so far. The response's header is free of what belongs
// to the endpoint's connection; a Connection of "Upgrade" beside its Upgrade is all
// that it may have of ours. The server frames it, by ContentLength and Trailer alone,
// closes its Body and ends the Call.
func (e *Edge) Handle(req *http.Request) (resp *http.Response, err error) {
	defer e.rescue(&err)
	call := mesh.From(req)
	upgrade, wrong := Upgrade(req), malformed(req)
	x := e.cross(req, call, upgrade)
	defer x.settled()
	e.admit(req, call, upgrade)
	if fault := refusal(req, wrong, e.Pseudonym); fault != nil {
		return e.refuse(req, call, fault)
	}
	resp, err = e.ask(req)
	switch {
	case errors.Is(err, http.ErrAbortHandler):
		return nil, err
	case err != nil:
		return e.instead(req, resp, faultOf(call, departed(call), err, mesh.Internal))
	case late(call):
		return e.instead(req, resp, &mesh.Fault{Kind: mesh.ResponseTimeout})
	case resp.StatusCode == http.StatusSwitchingProtocols:
		if err := switched(resp, upgrade, x.whole()); err != nil {
			return e.instead(req, resp, &mesh.Fault{Kind: mesh.UnsupportedUpgrade, Err: err})
		}
		e.passSwitch(call, resp)
		return resp, nil
	}
	protocols := wanted(req, resp)
	e.pass(call, resp)
	e.frame(req, resp, protocols)
	x.guard(req, resp)
	return resp, nil
}

// Refuse answers a message that is no request or may not be read on, as fault says. Of
// req only what was understood is set.
func (e *Edge) Refuse(req *http.Request, fault *mesh.Fault) (resp *http.Response, err error) {
	defer e.rescue(&err)
	if req.URL == nil {
		req.URL = new(url.URL) // whoever hears of it may look
	}
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	call := mesh.From(req)
	e.identify(req, call)
	return e.refuse(req, call, fault)
}

// Fail returns the Fault that the call of req ends with where err cut the response's
// body short after its head.
func (e *Edge) Fail(req *http.Request, err error) *mesh.Fault {
	call := mesh.From(req)
	return faultOf(call, departed(call), err, mesh.Reset)
}

// admit prepares a request for the stack.
func (e *Edge) admit(req *http.Request, call *mesh.Call, upgrade string) {
	e.identify(req, call)
	req.RequestURI = ""
	req.GetBody = nil
	if req.Host == "" && !req.ProtoAtLeast(1, 1) {
		req.Host = reached(req.Context()) // HTTP/1.0 need not say; the endpoint's own address is not for it to see
	}
	e.hops.Strip(req.Header)
	e.hops.StripTrailer(req.Trailer)
	if upgrade != "" {
		setUpgrade(req.Header, upgrade)
	}
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0 {
		req.Body, req.ContentLength = http.NoBody, 0
	}
}

// identify says who the client has proved to be.
func (e *Edge) identify(req *http.Request, call *mesh.Call) {
	if e.Identify != nil && req.TLS != nil && len(req.TLS.VerifiedChains) > 0 { // what was only shown proves nothing
		call.Source = e.Identify(req.TLS)
	}
}

// refused says for the log and the answer what the forwarding layer, which does not
// see the request, would have: nobody but the peer is believed.
func (e *Edge) refused(req *http.Request, call *mesh.Call, fault *mesh.Fault) {
	call.ID = newID()
	call.Client = plainAddr(call.Peer)
	if e.Refused != nil {
		e.Refused(req, fault)
	}
}

// refuse answers a request that the stack does not see.
func (e *Edge) refuse(req *http.Request, call *mesh.Call, fault *mesh.Fault) (*http.Response, error) {
	e.refused(req, call, fault)
	return e.instead(req, nil, fault)
}

// ask asks the stack. With its error there may be a response, which is to be closed.
func (e *Edge) ask(req *http.Request) (resp *http.Response, err error) {
	defer e.rescue(&err)
	e.vias.add(mesh.From(req), req.Header, req.ProtoMajor, req.ProtoMinor)
	resp, err = e.Stack.RoundTrip(req)
	switch {
	case err != nil:
		return nil, err
	case resp == nil:
		return nil, &mesh.Fault{Kind: mesh.Internal, Err: errors.New("the stack returned neither response nor error")}
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	if s := resp.StatusCode; s > 999 || s < 200 && s != http.StatusSwitchingProtocols {
		return resp, &mesh.Fault{Kind: mesh.BadResponse, Err: fmt.Errorf("status %d is not final", s)}
	}
	return resp, nil
}

// rescue makes a panic an error.
func (e *Edge) rescue(err *error) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		*err = http.ErrAbortHandler
	default:
		e.Log.Error("panic while serving", "panic", p, "stack", string(debug.Stack()))
		*err = &mesh.Fault{Kind: mesh.Internal, Err: fmt.Errorf("panic: %v", p)}
	}
}

// instead answers a Fault in the place of resp, which may be nil. A client that is
// gone gets none.
func (e *Edge) instead(req *http.Request, resp *http.Response, fault *mesh.Fault) (*http.Response, error) {
	if resp != nil {
		// The upload ends first: closing the response may wait for its reader.
		_ = req.Body.Close()
		_ = resp.Body.Close()
	}
	if fault.Kind == mesh.ClientGone {
		return nil, fault
	}
	return Answer(req, fault, AnswerOptions{Pseudonym: e.Pseudonym}), fault
}
