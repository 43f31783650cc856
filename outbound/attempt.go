package outbound

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"outrider/internal/mesh"
)

const (
	drainLimit = 4 << 10               // bytes of a discarded response that are read to keep its connection
	drainTime  = 50 * time.Millisecond // and how long that may take
)

// attempt is one try: a copy of the request that nobody else reads or writes, with
// a context of its own.
type attempt struct {
	call   *mesh.Call
	mark   int // of call: what the attempt registers is released with it
	cancel context.CancelCauseFunc
	req    *http.Request
	url    url.URL
	body   *uploadReader
}

// begin makes the next attempt of req. net/http's HTTP/2 transport goes on reading
// headers after it has returned from a cancellation, so that even a single attempt
// needs its copy. The error is that of the upload, whose beginning is gone.
func begin(call *mesh.Call, req *http.Request, up *upload) (*attempt, error) {
	a := &attempt{call: call, mark: call.Mark(), url: *req.URL}
	ctx, cancel := context.WithCancelCause(call.Context())
	a.cancel = cancel
	out := req.WithContext(ctx)
	out.URL = &a.url
	out.Header = req.Header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.RequestURI = ""
	out.Close = false // the client's connection ends with this request, ours need not
	a.req = out
	if up == nil {
		out.Body, out.GetBody, out.ContentLength, out.TransferEncoding, out.Trailer = http.NoBody, nil, 0, nil, nil
		return a, nil
	}
	return a, a.attach(up)
}

// attach gives the attempt its view of the client's body.
func (a *attempt) attach(up *upload) error {
	var trailer http.Header
	if len(up.announced) > 0 {
		trailer = make(http.Header, len(up.announced))
		for _, name := range up.announced {
			trailer[name] = nil
		}
	}
	body, err := up.open(trailer)
	if err != nil {
		a.cancel(err)
		return err
	}
	a.body = body
	a.req.Body, a.req.Trailer = body, trailer
	// For net/http's own repetition when a kept connection turns out to be closed.
	a.req.GetBody = func() (io.ReadCloser, error) { return up.open(trailer) }
	return nil
}

// giveUp ends the attempt, whose outcome is not handed on.
func (a *attempt) giveUp(resp *http.Response, err error) {
	result := mesh.Result{Err: err}
	if resp != nil {
		result.Status = resp.StatusCode
		a.discard(resp)
	}
	a.body.stop()
	a.cancel(errGivenUp)
	a.call.Unwind(a.mark, result)
}

// discard closes a response. A short body is read to its end first, which saves the
// connection; one that does not come at once is not worth waiting for.
func (a *attempt) discard(resp *http.Response) {
	timer := time.AfterFunc(drainTime, func() { a.cancel(errGivenUp) })
	if resp.ContentLength <= drainLimit {
		_, _ = io.CopyN(io.Discard, resp.Body, drainLimit)
	}
	timer.Stop()
	_ = resp.Body.Close()
}
