package http1

import (
	"net/http"
	"sync"
)

// interim writes 1xx responses, until the final one begins.
type interim struct {
	send func(status int, header http.Header) // pass, made once

	mu        sync.Mutex // protects all below, and the socket's writing half until over
	c         *client    // nil once over
	expected  bool       // the client waits for 100
	continued bool
}

// begin lets 1xx responses through to c.
func (i *interim) begin(c *client) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.c, i.expected, i.continued = c, false, false
}

// expect notes that the client waits for 100.
func (i *interim) expect() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.expected = true
}

// pass writes one 1xx response. It may be called from any goroutine, and does nothing
// for other statuses or once the final response has begun.
func (i *interim) pass(status int, header http.Header) {
	switch {
	case status < 100 || status > 199 || status == http.StatusSwitchingProtocols:
		return
	case status == http.StatusContinue:
		i.proceed()
		return
	}
	b, fault := appendInterim(make([]byte, 0, 512), status, header)
	if fault != nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.write(b)
}

// proceed writes 100 to a client that waits for it, once.
func (i *interim) proceed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.expected && !i.continued {
		i.continued = true
		i.write([]byte(continueHead))
	}
}

// write writes b, unless it is too late. It goes by net.Conn: whoever calls may be no
// party to the hold of the socket. i.mu is held.
func (i *interim) write(b []byte) {
	if i.c != nil {
		_, _ = i.c.sock.plainWrite(b, i.c.takenBy(nil)) // the final response will find out
	}
}

// end lets no further 1xx pass: the final response begins.
func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.c = nil
}

// hasContinued reports whether 100 has been sent.
func (i *interim) hasContinued() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.continued
}
