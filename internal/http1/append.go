package http1

import (
	"fmt"
	"net/http"
	"strconv"

	"outrider/internal/mesh"
)

// outgoing is how a message is written: what delimits its body, and what is said
// of the connection. Header fields of the message that say such things are not
// written.
type outgoing struct {
	length  int64 // the Content-Length; negative writes none
	chunked bool  // Transfer-Encoding: chunked, and a Trailer of the message's announced names; length is disregarded
	close   bool  // Connection: close
	keep    bool  // Connection: keep-alive, which a peer of HTTP/1.0 must be told
	upgrade bool  // the header's Upgrade is written, with Connection: Upgrade
}

const continueHead = "HTTP/1.1 100 Continue\r\n\r\n"

// appendRequest appends the head of req to b: its method, its URL in origin form,
// its Host or else its URL's, and its header. It returns b as it was, and an
// Internal Fault, where a layer has made of req what is no valid head.
func appendRequest(b []byte, req *http.Request, how outgoing) ([]byte, *mesh.Fault) {
	start := len(b)
	if !all(req.Method, tokenByte) || req.Method == "" {
		return b, invalid("the method %q is no token", req.Method)
	}
	b = append(b, req.Method...)
	b = append(b, ' ')
	b, ok := appendTarget(b, req)
	if !ok {
		return b[:start], invalid("the URL %q is not valid", req.URL)
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if host == "" || !all(host, hostByte) {
		return b[:start], invalid("the host %q is not valid", host)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\n"...)
	b = how.append(b, len(req.Header["Te"]) > 0)
	return finish(b, start, req.Header, req.Trailer, how)
}

// appendResponse appends the head of resp to b: its status, with the reason that
// the status has by the book, and its header. It returns b as it was, and an
// Internal Fault, where a layer has made of resp what is no valid head.
func appendResponse(b []byte, resp *http.Response, how outgoing) ([]byte, *mesh.Fault) {
	start := len(b)
	b, fault := appendStatus(b, resp.StatusCode)
	if fault != nil {
		return b, fault
	}
	return finish(how.append(b, false), start, resp.Header, resp.Trailer, how)
}

// appendInterim appends the head of a 1xx response to b, as appendResponse does.
func appendInterim(b []byte, status int, header http.Header) ([]byte, *mesh.Fault) {
	start := len(b)
	b, fault := appendStatus(b, status)
	if fault != nil {
		return b, fault
	}
	return finish(b, start, header, nil, outgoing{})
}

func appendStatus(b []byte, status int) ([]byte, *mesh.Fault) {
	if status < 100 || status > 999 {
		return b, invalid("the status %d is not valid", status)
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...), nil
}

// append appends the fields that the outgoing message's framing makes necessary.
func (how outgoing) append(b []byte, te bool) []byte {
	switch {
	case how.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case how.length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, how.length, 10)
		b = append(b, "\r\n"...)
	}
	if !how.close && !how.keep && !how.upgrade && !te {
		return b
	}
	b = append(b, "Connection: "...)
	for _, o := range [...]struct {
		said bool
		text string
	}{{how.upgrade, "Upgrade, "}, {te, "TE, "}, {how.close, "close, "}, {how.keep && !how.close, "keep-alive, "}} {
		if o.said {
			b = append(b, o.text...)
		}
	}
	return append(b[:len(b)-len(", ")], "\r\n"...)
}

// finish appends the rest of a head that began at start.
func finish(b []byte, start int, header, trailer http.Header, how outgoing) ([]byte, *mesh.Fault) {
	b, fault := appendFields(b, header, how.upgrade)
	if fault == nil && how.chunked && len(trailer) > 0 {
		b, fault = appendAnnounced(b, trailer)
	}
	if fault != nil {
		return b[:start], fault
	}
	return append(b, "\r\n"...), nil
}

// appendFields appends a header's fields, but for those of one connection and of
// framing, in no order. On a Fault it returns what it had appended by then.
func appendFields(b []byte, header http.Header, upgrade bool) ([]byte, *mesh.Fault) {
	for name, values := range header {
		if name == "" {
			return b, invalid("a field has no name")
		}
		for _, value := range values {
			at := len(b)
			b = append(b, name...)
			i := id(intern(b[at:]))
			if i == other && !all(name, tokenByte) {
				return b, invalid("the field name %q is no token", name)
			}
			if i.ours() && (i != idUpgrade || !upgrade) {
				b = b[:at]
				break
			}
			b = append(b, ": "...)
			from := len(b)
			b = append(b, value...)
			if !clean(b[from:]) {
				return b, invalid("the value of %s has a control character", name)
			}
			b = append(b, "\r\n"...)
		}
	}
	return b, nil
}

// appendAnnounced appends the Trailer field that announces trailer.
func appendAnnounced(b []byte, trailer http.Header) ([]byte, *mesh.Fault) {
	b = append(b, "Trailer: "...)
	for name := range trailer {
		at := len(b)
		b = append(b, name...)
		if name == "" || !all(name, tokenByte) || id(intern(b[at:])).framing() {
			return b, invalid("%q is no trailer field", name)
		}
		b = append(b, ", "...)
	}
	return append(b[:len(b)-len(", ")], "\r\n"...), nil
}

// appendChunk appends what stands before a chunk of n bytes, more than none. After
// the chunk comes CR LF.
func appendChunk(b []byte, n int) []byte {
	b = strconv.AppendInt(b, int64(n), 16)
	return append(b, "\r\n"...)
}

// appendTrailer appends the end of a chunked body: the last chunk, and the trailer
// section. It returns b as it was, and an Internal Fault, where trailer cannot be
// one.
func appendTrailer(b []byte, trailer http.Header) ([]byte, *mesh.Fault) {
	start := len(b)
	b = append(b, "0\r\n"...)
	for name := range trailer {
		at := len(b)
		b = append(b, name...)
		framing := name != "" && id(intern(b[at:])).framing()
		b = b[:at]
		if framing {
			return b[:start], invalid("%q is no trailer field", name)
		}
	}
	b, fault := appendFields(b, trailer, false)
	if fault != nil {
		return b[:start], fault
	}
	return append(b, "\r\n"...), nil
}

// invalid returns the Fault of a message that one of our own layers has spoiled.
func invalid(format string, a ...any) *mesh.Fault {
	return &mesh.Fault{Kind: mesh.Internal, Err: fmt.Errorf("cannot be sent: "+format, a...)}
}
