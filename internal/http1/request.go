package http1

import (
	"bytes"
	"net/http"

	"outrider/internal/mesh"
)

// request parses b, a whole head as scan finds it, into req. It sets Method, URL,
// RequestURI, Proto and its numbers, Header, Host, ContentLength, Trailer and
// Close, and clears TransferEncoding; the framing says what that would. On a Fault
// of req is set what was understood. It writes to b.
func (h *head) request(b []byte, req *http.Request) (framing, *mesh.Fault) {
	frame, f := h.parseRequest(b, req)
	return frame, f.fault(false)
}

func (h *head) parseRequest(b []byte, req *http.Request) (framing, flaw) {
	h.begin()
	req.Method, req.URL, req.RequestURI, req.Host = "", &h.url, "", ""
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.1", 1, 1
	req.Header, req.Trailer, req.TransferEncoding = h.header, nil, nil
	req.ContentLength, req.Close = 0, true

	end := bytes.IndexByte(b, '\n') - 1
	if end < 0 || b[end] != '\r' {
		return framing{}, bareLF
	}
	space := bytes.IndexByte(b[:end], ' ')
	last := bytes.LastIndexByte(b[:end], ' ')
	if space < 0 || last == space {
		return framing{}, badStartLine
	}
	proto := b[last+1 : end]
	minor := minorOf(proto)
	switch {
	case !all(b[:space], tokenByte) || space == 0:
		return framing{}, badMethod
	case minor < 0:
		return framing{}, badVersion
	case last == space+1 || !all(b[space+1:last], targetByte):
		return framing{}, badTarget
	}
	f := h.fieldLines(b, end+2)
	s := string(b) // the one allocation
	req.Method, req.RequestURI = method(s[:space]), s[space+1:last]
	if minor != 1 {
		req.Proto, req.ProtoMinor = s[last+1:end], minor
	}
	if f != sound {
		return framing{}, f
	}
	h.fill(s)
	if f := h.target(req); f != sound {
		return framing{}, f
	}
	return h.frameRequest(req)
}

// minorOf returns y of "HTTP/1.y"; -1 of anything else. Versions beyond 1.1 are
// read as it is (RFC 9110, section 2.5).
func minorOf(proto []byte) int {
	const prefix = "HTTP/1."
	if len(proto) != len(prefix)+1 || string(proto[:len(prefix)]) != prefix {
		return -1
	}
	if c := proto[len(prefix)] - '0'; c <= 9 {
		return int(c)
	}
	return -1
}

// method returns the usual methods as constants: they are kept longer than a head.
func method(s string) string {
	switch s {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	case http.MethodHead:
		return http.MethodHead
	case http.MethodPut:
		return http.MethodPut
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodPatch:
		return http.MethodPatch
	case http.MethodOptions:
		return http.MethodOptions
	}
	return s
}

// frameRequest says how the body of the request is delimited (RFC 9112, section 6.3).
func (h *head) frameRequest(req *http.Request) (framing, flaw) {
	d := &h.said
	minor := req.ProtoMinor
	frame := framing{close: persist(minor, d.closes, d.keeps)}
	f := d.lengthOf(minor, &frame)
	if f != sound {
		return framing{}, f
	}
	if frame.length < 0 && !frame.chunked {
		frame.length = 0
	}
	if frame.chunked {
		if req.Trailer, f = h.announce(); f != sound {
			return framing{}, f
		}
	}
	if d.expects > 0 {
		if d.expects > 1 || !folds(d.expect, "100-continue") {
			return framing{}, badExpect
		}
		frame.expect = minor > 0 && frame.length != 0
	}
	frame.upgrade = minor > 0 && d.upgrades && d.upgrade
	req.ContentLength, req.Close = frame.length, frame.close
	return frame, sound
}

// lengthOf sets the length that the header announces; -1 where it is chunked, or
// where there is none.
func (d *said) lengthOf(minor int, frame *framing) flaw {
	frame.length = -1
	switch {
	case d.codings > 0 && d.lengths > 0:
		return lengthAndCoding
	case d.codings > 0 && minor == 0:
		return codingBefore11
	case d.codings > 1 || d.codings == 1 && !folds(d.coding, "chunked"):
		return badCoding
	case d.lengths > 1:
		return manyLengths
	case d.lengths == 1:
		n, ok := parseLength(d.length)
		if !ok {
			return badLength
		}
		frame.length = n
	}
	frame.chunked = d.codings == 1
	return sound
}
