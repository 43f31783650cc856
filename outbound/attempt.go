package outbound

import (
	"io"
	"net/http"
	"net/url"
	"sync"

	"outrider/internal/mesh"
)

// keptFields is how many names a header may have had whose map is used again.
const keptFields = 64

// attempt is one try: a copy of the request that nobody else reads or writes. It ends
// with the call, or when it is given up, and is then used for another one: nothing below
// may look at it any more.
type attempt struct {
	home   *sync.Pool
	call   *mesh.Call
	mark   int // of call: what the attempt registers is released with it
	begun  bool
	up     *upload // nil where the body is nothing, or has come whole
	whole  wholeBody
	req    http.Request
	url    url.URL
	header http.Header
}

// begin makes the next attempt of req. The error is that of the upload, whose beginning
// is gone.
func (r *retrier) begin(call *mesh.Call, req *http.Request, up *upload) (*attempt, error) {
	a, _ := r.spare.Get().(*attempt)
	if a == nil {
		a = &attempt{home: &r.spare, header: http.Header{}}
	}
	a.call, a.mark, a.up = call, call.Mark(), up
	call.AtEnd(a)
	a.begun = true
	a.copy(req)
	if up != nil {
		return a, a.attach(up)
	}
	a.req.GetBody, a.req.Trailer = nil, nil
	if data, ok := whole(req); ok {
		a.whole = wholeBody{data: data}
		a.req.Body = &a.whole
		return a, nil
	}
	a.req.Body, a.req.ContentLength, a.req.TransferEncoding = http.NoBody, 0, nil
	return a, nil
}

// copy takes over all of req but its body. The lists of its header are shared, the map
// is not: who changes a field below gives it another list.
func (a *attempt) copy(req *http.Request) {
	a.req, a.url = *req, *req.URL
	a.req.URL, a.req.Header = &a.url, a.header
	for name, values := range req.Header {
		a.header[name] = values[:len(values):len(values)]
	}
	a.req.RequestURI = ""
	a.req.Close = false // the client's connection ends with this request, ours need not
}

// attach gives the attempt its view of the client's body.
func (a *attempt) attach(up *upload) error {
	trailer := up.blank()
	body, err := up.open(trailer)
	if err != nil {
		return err
	}
	a.req.Body, a.req.Trailer = body, trailer
	// For an engine's own repetition where a kept connection turns out to be closed.
	a.req.GetBody = func() (io.ReadCloser, error) { return up.open(trailer) }
	return nil
}

// End gives the attempt back.
func (a *attempt) End(mesh.Result) {
	if !a.begun { // the call had ended before: that is for its server to explain
		return
	}
	header := a.header
	if len(header) > keptFields {
		header = http.Header{}
	}
	clear(header)
	*a = attempt{home: a.home, header: header}
	a.home.Put(a)
}

// stop has whoever still reads the body read for nobody.
func (a *attempt) stop() { a.up.latest().stop() }

// giveUp ends the attempt, whose outcome is not handed on.
func (a *attempt) giveUp(resp *http.Response, err error) {
	call, mark := a.call, a.mark // the attempt is not ours any more when it has ended
	result := mesh.Result{Err: err}
	if resp != nil {
		result.Status = resp.StatusCode
		discard(call, resp)
	}
	a.stop()
	call.Unwind(mark, result)
}
