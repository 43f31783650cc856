package http1

import (
	"bytes"
	"net/http"

	"outrider/internal/mesh"
)

// response parses b, a whole head as scan finds it, into resp, the answer to req.
// It sets Status, StatusCode, Proto and its numbers, Header, ContentLength,
// Trailer, Close and Request, and clears TransferEncoding. A req of nil stands for
// GET. It writes to b.
func (h *head) response(b []byte, req *http.Request, resp *http.Response) (framing, *mesh.Fault) {
	frame, f := h.parseResponse(b, req, resp)
	return frame, f.fault(true)
}

func (h *head) parseResponse(b []byte, req *http.Request, resp *http.Response) (framing, flaw) {
	h.begin()
	resp.Header = h.header
	resp.Trailer, resp.TransferEncoding, resp.Request = nil, nil, req
	resp.Close, resp.ContentLength, resp.Uncompressed = true, -1, false
	end := bytes.IndexByte(b, '\n') - 1
	if end < 0 || b[end] != '\r' {
		return framing{}, bareLF
	}
	const status = len("HTTP/1.1 ")
	if end < status+3 || b[status-1] != ' ' {
		return framing{}, badStartLine
	}
	minor := minorOf(b[:status-1])
	code, ok := codeOf(b[status:end])
	switch {
	case minor < 0:
		return framing{}, badVersion
	case !ok:
		return framing{}, badStatus
	case !clean(b[status:end]):
		return framing{}, badStartLine
	}
	if f := h.fieldLines(b, end+2); f != sound {
		return framing{}, f
	}
	s := string(b) // the one allocation
	resp.Status, resp.StatusCode = s[status:end], code
	resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/1.1", 1, minor
	if minor != 1 {
		resp.Proto = s[:status-1]
	}
	h.fill(s)
	return h.frameResponse(req, resp)
}

// codeOf returns the status code that b begins with.
func codeOf(b []byte) (int, bool) {
	x, y, z := b[0]-'0', b[1]-'0', b[2]-'0'
	if x < 1 || x > 9 || y > 9 || z > 9 || len(b) > 3 && b[3] != ' ' {
		return 0, false
	}
	return int(x)*100 + int(y)*10 + int(z), true
}

// frameResponse says how the body of the response is delimited (RFC 9112, section 6.3).
func (h *head) frameResponse(req *http.Request, resp *http.Response) (framing, flaw) {
	d := &h.said
	frame := framing{close: persist(resp.ProtoMinor, d.closes, d.keeps)}
	f := d.lengthOf(resp.ProtoMinor, &frame)
	if f != sound {
		return framing{}, f
	}
	if frame.chunked {
		if resp.Trailer, f = h.announce(); f != sound {
			return framing{}, f
		}
	}
	code, asked := resp.StatusCode, http.MethodGet
	if req != nil {
		asked = req.Method
	}
	frame.upgrade = code == http.StatusSwitchingProtocols || asked == http.MethodConnect && code/100 == 2
	never := code < 200 || code == http.StatusNoContent || frame.upgrade
	if never && (frame.chunked || frame.length > 0) {
		return framing{}, bodyNotAllowed
	}
	resp.ContentLength = frame.length
	switch {
	case asked == http.MethodHead: // the length is that of the answer to GET
		frame.length, frame.chunked = 0, false
	case never || code == http.StatusNotModified:
		frame.length, frame.chunked = 0, false
		resp.ContentLength = 0
	case frame.length < 0 && !frame.chunked:
		frame.untilClose, frame.close = true, true
	}
	resp.Close = frame.close
	return frame, sound
}
