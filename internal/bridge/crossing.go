package bridge

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"outrider/internal/mesh"
)

// crossing is what an Edge keeps of one request until the call's end: what stands
// between the stack and the server's functions and bodies. Crossings are used again,
// so that none of it costs an allocation.
type crossing struct {
	edge   *Edge
	send   func(status int, header http.Header) // its own interim, made once
	upload trailed
	answer trailed
	empty  bool // the request has no body

	mu   sync.Mutex // protects next, and is held while it runs
	next func(status int, header http.Header)
}

func newCrossing(e *Edge) *crossing {
	x := &crossing{edge: e}
	x.send = x.interim
	x.upload.clear()
	x.answer.clear()
	return x
}

// cross begins a request's crossing, which ends with its call.
func (e *Edge) cross(req *http.Request, call *mesh.Call, upgrade string) *crossing {
	x := e.crossings.Get().(*crossing)
	call.AtEnd(x)
	if call.Interim != nil {
		x.mu.Lock()
		x.next = call.Interim
		x.mu.Unlock()
		call.Interim = x.send
	}
	body := req.Body != nil && req.Body != http.NoBody && req.ContentLength != 0
	x.empty = !body
	if body && (req.ContentLength < 0 || len(req.Trailer) > 0 || upgrade != "") {
		x.upload.set(req.Body, &req.Trailer, e.hops)
		req.Body = &x.upload
	}
	return x
}

// guard has the trailers of a response looked at when they have come.
func (x *crossing) guard(req *http.Request, resp *http.Response) {
	if resp.Body != http.NoBody && (resp.ContentLength < 0 || len(resp.Trailer) > 0) && mesh.HasBody(req.Method, resp.StatusCode) {
		x.answer.set(resp.Body, &resp.Trailer, x.edge.hops)
		x.answer.any = true
		resp.Body = &x.answer
	}
}

// whole reports whether all of the request's body has been read, where the client
// offers an upgrade.
func (x *crossing) whole() bool { return x.empty || x.upload.ended.Load() }

// settled lets no further 1xx pass: the final response begins.
func (x *crossing) settled() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.next = nil
}

// End gives the crossing back.
func (x *crossing) End(mesh.Result) {
	x.upload.clear()
	x.answer.clear()
	x.edge.crossings.Put(x)
}

// interim passes on one 1xx response. It may be called from any goroutine, and does
// nothing for other statuses or once the final response has begun.
func (x *crossing) interim(status int, header http.Header) {
	fields, ok := x.edge.interim(status, header)
	if !ok {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.next != nil {
		x.next(status, fields)
	}
}

// trailed is a body that may have a trailer section, which is cleaned when it has come,
// at the body's end, before whoever reads the body sees it.
type trailed struct {
	io.ReadCloser
	trailer *http.Header // of the message
	hops    Hops
	any     bool // trailers that were not announced pass too
	ended   atomic.Bool
}

func (t *trailed) set(body io.ReadCloser, trailer *http.Header, hops Hops) {
	t.ReadCloser, t.trailer, t.hops = body, trailer, hops
	t.any = len(*trailer) > 0
	t.ended.Store(false)
}

func (t *trailed) clear() {
	t.ReadCloser, t.trailer, t.any = http.NoBody, nil, false // whoever is late finds nothing
}

// Read reads the body, and cleans the trailers at its end.
func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		t.settle()
		t.ended.Store(true)
	}
	return n, err
}

// Ready reports whether a Read would return at once, where the body knows.
func (t *trailed) Ready() bool {
	body, ok := t.ReadCloser.(interface{ Ready() bool })
	return ok && body.Ready()
}

// settle cleans the trailers that have come.
func (t *trailed) settle() {
	switch {
	case t.trailer == nil || *t.trailer == nil:
	case t.any:
		t.hops.StripTrailer(*t.trailer)
	default:
		*t.trailer = nil // no layer has seen their names
	}
}
