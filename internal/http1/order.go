package http1

import (
	"errors"
	"io"
	"net/http"

	"outrider/internal/mesh"
)

// together is how large a body may be that goes with its head in one write. A larger
// one might wait for an endpoint that answers without reading it.
const together = 32 << 10

// order is a request on its way to some connection.
type order struct {
	req  *http.Request
	call *mesh.Call
	own  bool // the call was made here

	how    outgoing
	whole  []byte        // the body, where all of it is there
	stream io.ReadCloser // the body, where it is not; nil without one

	again bool // sent once already, and is not to be sent into a kept connection again
}

// prepare says how the request will be written.
func (o *order) prepare() *mesh.Fault {
	req := o.req
	o.how.length = -1
	switch { // a body of no bytes is said to have them only where the method would have a meaning with one
	case req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0 && len(req.Trailer) == 0:
		if req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch {
			o.how.length = 0
		}
	case req.ContentLength > 0:
		o.how.length, o.stream = req.ContentLength, req.Body
	default:
		o.how.chunked, o.stream = true, req.Body
	}
	if u := req.Header["Upgrade"]; len(u) > 0 && u[0] != "" {
		o.how.upgrade = true
	}
	if b, ok := o.stream.(interface{ Buffered() ([]byte, bool) }); ok && len(req.Trailer) == 0 && !o.expects() {
		if body, all := b.Buffered(); all && len(body) <= together {
			if o.how.length >= 0 && o.how.length != int64(len(body)) {
				return &mesh.Fault{Kind: mesh.Internal, Err: errLength}
			}
			o.whole, o.stream = body, nil
		}
	}
	return nil
}

// expects reports whether the endpoint is asked before it gets the body.
func (o *order) expects() bool {
	if o.stream == nil {
		return false
	}
	e := o.req.Header["Expect"]
	return len(e) > 0 && folds(e[0], "100-continue")
}

// append appends the request's head to b and, where it is all there, its body.
func (o *order) append(b []byte) ([]byte, *mesh.Fault) {
	b, fault := appendRequest(b, o.req, o.how)
	if fault != nil || o.stream != nil || o.whole == nil {
		return b, fault
	}
	if !o.how.chunked {
		return append(b, o.whole...), nil
	}
	if len(o.whole) > 0 {
		b = append(appendChunk(b, len(o.whole)), o.whole...)
		b = append(b, "\r\n"...)
	}
	return appendTrailer(b, nil)
}

// repeat makes o ready to be sent once more, whose body was touched or not. It reports
// false where the body cannot be had again.
func (o *order) repeat(touched bool) bool {
	o.again = true
	if o.stream == nil || !touched {
		return true
	}
	if o.req.GetBody == nil {
		return false
	}
	body, err := o.req.GetBody()
	if err != nil {
		return false
	}
	o.stream = body
	return true
}

// errLength is an Internal Fault's: layers keep ContentLength true.
var errLength = errors.New("the request body is not as long as its ContentLength")

// placed returns f with the endpoint at which it happened.
func (t *Transport) placed(f *mesh.Fault) *mesh.Fault { return f.At(t.config.Address) }
