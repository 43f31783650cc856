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

// interim passes 1xx responses to the client, until the final one begins.
type interim struct {
	w         http.ResponseWriter
	edge      *Edge
	automatic bool // the server sends 100 by itself when the body is first read
	expected  bool // the client waits for 100

	mu        sync.Mutex // protects all below, and w until over
	continued bool
	over      bool
}

// send passes on one 1xx response. It may be called from any goroutine, and does
// nothing for other statuses or once the final response has begun.
func (i *interim) send(status int, header http.Header) {
	fields, ok := i.edge.interim(status, header)
	switch {
	case !ok:
		return
	case status == http.StatusContinue:
		i.proceed()
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

// proceed sends 100 to a client that waits for it, at most once. It is called when
// the endpoint says so and when the body is first read, whichever comes first.
// net/http's HTTP/1.1 would send it by itself then, unsynchronised with send.
func (i *interim) proceed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over || i.continued || i.automatic || !i.expected {
		return
	}
	i.continued = true
	i.w.WriteHeader(http.StatusContinue)
}

// end lets no further 1xx pass: the final response begins.
func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}
