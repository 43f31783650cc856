package bridge

import "time"

// settle decides what becomes of a body that has not been read to its end, before
// the head is written. After a Fault nobody reads it, and net/http discards a
// short rest before it answers. Otherwise the upload may go on beside the
// response; what is left of it at the end cannot be told from a next request, so
// the connection says that it will close. So does HTTP/1.0's: net/http hides a
// Transfer-Encoding there, which makes its framing faulty (RFC 9112, section 6.1).
// And so does that of any request with one: net/http removes a Content-Length that
// stood beside it, after which the connection must close (section 6.3), and until an
// engine of ours tells the two apart it may have.
func (x *exchange) settle(failed bool) {
	if !x.req.ProtoAtLeast(1, 1) || x.coded {
		x.w.Header()["Connection"] = []string{"close"}
	}
	if x.req.ProtoMajor != 1 || x.up == nil || x.up.reusable() {
		return // HTTP/2 has streams for this
	}
	if failed && !x.up.broken.Load() {
		_ = x.control.SetReadDeadline(time.Now().Add(linger))
		return
	}
	x.lingers = true
	_ = x.control.EnableFullDuplex()
	x.w.Header()["Connection"] = []string{"close"}
}

// demand names the protocols that a 426 wants. Closing stays first: net/http looks at the first line alone, and
// where it has to add one itself ours would go.
func (x *exchange) demand(protocols string) {
	if protocols == "" {
		return
	}
	header := x.w.Header()
	if x.req.Close {
		header["Connection"] = []string{"close"}
	}
	header["Connection"] = append(header["Connection"], "Upgrade")
	header["Upgrade"] = []string{protocols}
}

// leave bounds how long net/http, which discards a short rest of the body once we
// return, waits for it: not at all where the client is cut off.
func (x *exchange) leave() {
	switch {
	case x.hijacked || x.up.whole.Load():
	case x.aborted:
		_ = x.control.SetReadDeadline(past)
	case x.lingers:
		_ = x.control.SetReadDeadline(time.Now().Add(linger))
	}
}
