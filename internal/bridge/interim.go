package bridge

import (
	"maps"
	"net/http"
	"sync"
)

// interim returns the fields to pass on with a 1xx response, none with a 100; ok is
// false for what is no such response.
func (e *Edge) interim(status int, header http.Header) (fields http.Header, ok bool) {
	switch {
	case status < 100 || status > 199 || status == http.StatusSwitchingProtocols:
		return nil, false
	case status == http.StatusContinue:
		return nil, true
	}
	fields = header.Clone() // lent by the transport
	if fields == nil {
		fields = make(http.Header)
	}
	e.hops.Strip(fields)
	fields.Del("Content-Length")
	AddVia(fields, 1, 1, e.Pseudonym)
	return fields, true
}

// interim passes 1xx responses to an HTTP/2 client, until the final one begins.
type interim struct {
	w    http.ResponseWriter
	edge *Edge

	mu   sync.Mutex // protects all below, and w until over
	over bool
}

// send passes on one 1xx response. It may be called from any goroutine, and does
// nothing for other statuses or once the final response has begun. Nor does it for 100,
// which net/http sends by itself when the body is first read, where the client waits.
func (i *interim) send(status int, header http.Header) {
	fields, ok := i.edge.interim(status, header)
	if !ok || status == http.StatusContinue {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return
	}
	// net/http sends what the map holds and leaves it there: without the
	// exchange, these fields would stand in the final response too.
	final := i.w.Header()
	kept := maps.Clone(final)
	clear(final)
	maps.Copy(final, fields)
	i.w.WriteHeader(status)
	clear(final)
	maps.Copy(final, kept)
}

// end lets no further 1xx pass: the final response begins.
func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}
