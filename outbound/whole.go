package outbound

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// hasBody reports whether req has a body.
func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// whole returns the client's body where all of it has come already: its server has it in
// memory, and says so. It is lent like the request. Trailers come after a body that is
// read to its end, and who asks first whether the body is wanted waits for the answer:
// neither is whole.
func whole(req *http.Request) ([]byte, bool) {
	body, ok := req.Body.(interface{ Buffered() ([]byte, bool) })
	if !ok || len(req.Trailer) > 0 || asksFirst(req) {
		return nil, false
	}
	return body.Buffered()
}

// asksFirst reports whether the endpoint is asked before it is sent the body.
func asksFirst(req *http.Request) bool {
	return strings.EqualFold(first(req.Header, "Expect"), "100-continue")
}

// ready reports whether a body knows that a Read of it would return at once.
func ready(body io.ReadCloser) bool {
	b, ok := body.(interface{ Ready() bool })
	return ok && b.Ready()
}

// wholeBody is one attempt's view of a body that has come whole.
type wholeBody struct {
	data   []byte
	read   int         // so many bytes have been
	closed atomic.Bool // by net/http's HTTP/2, beside a Read
}

// Read reads what is left of it.
func (b *wholeBody) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, errGivenUp
	case b.read == len(b.data):
		return 0, io.EOF
	}
	n := copy(p, b.data[b.read:])
	b.read += n
	return n, nil
}

// Buffered returns what is left of it, which is there.
func (b *wholeBody) Buffered() ([]byte, bool) { return b.data[b.read:], !b.closed.Load() }

// Close ends reading.
func (b *wholeBody) Close() error {
	b.closed.Store(true)
	return nil
}
