package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"outrider/internal/mesh"
)

// chunkFront is the room before a chunk for its size: outBytes has four digits.
const chunkFront = len("8000\r\n")

// chunkBack is the room behind it for its end, and for that of a body without trailers.
const chunkBack = len("\r\n0\r\n\r\n")

// send writes the response: the head and as much of the body as is there in one.
func (v *visit) send() error {
	resp := v.resp
	body := mesh.HasBody(v.loan.req.Method, resp.StatusCode)
	how := v.outgoing(body)
	out := v.c.srv.outs.Get().(*[outBytes]byte)
	defer v.c.srv.outs.Put(out)
	head, fault := appendResponse(out[:0], resp, how)
	if fault != nil {
		return v.apologise(fault)
	}
	if len(resp.Header["Date"]) == 0 { // RFC 9110, section 6.6.1
		head = append(head[:len(head)-len("\r\n")], "Date: "...)
		head = append(head, v.c.srv.dateAt(time.Now())...)
		head = append(head, "\r\n\r\n"...)
	}
	v.status = resp.StatusCode
	if !body {
		return v.write(head, len(head), 0)
	}
	if v.endsBy = !how.chunked && how.length < 0; len(head) > outBytes/2 || v.streams(how.length) {
		if err := v.write(head, len(head), 0); err != nil {
			return err
		}
		head = head[:0]
	}
	if how.chunked {
		return v.sendChunks(out, len(head))
	}
	return v.sendPlain(out, len(head), how.length)
}

// outgoing decides how the response is framed.
func (v *visit) outgoing(body bool) outgoing {
	resp, req := v.resp, v.loan.req
	how := outgoing{length: resp.ContentLength, upgrade: len(resp.Header["Upgrade"]) > 0}
	switch {
	case resp.StatusCode == http.StatusNoContent:
		how.length = -1
	case !body: // it may tell of the body that another method would get
		if how.length == 0 && len(resp.Header["Content-Length"]) == 0 {
			how.length = -1
		}
	case req.ProtoMinor > 0:
		how.chunked = how.length < 0 || len(resp.Trailer) > 0
	case how.length < 0:
		v.close = true
	}
	how.close, how.keep = v.close, req.ProtoMinor == 0 && !v.close
	return how
}

// streams reports whether the head is not to wait for the body: the body comes in
// messages, each of which is wanted at once, and there is none yet.
func (v *visit) streams(length int64) bool {
	if length == 0 || length > 0 && !streams(v.resp.Header["Content-Type"]) {
		return false
	}
	body, ok := v.resp.Body.(readier)
	return !ok || !body.Ready()
}

// readier is a body that knows whether a Read would return at once.
type readier interface{ Ready() bool }

// fill reads what there is of the body, waiting for the first bytes alone.
func (v *visit) fill(p []byte) (int, error) {
	n, err := v.resp.Body.Read(p)
	body, ok := v.resp.Body.(readier)
	for ok && err == nil && n < len(p) && body.Ready() {
		var more int
		more, err = v.resp.Body.Read(p[n:])
		n += more
	}
	return n, err
}

// sendPlain sends a body that is delimited by its length or, where that is negative, by
// the connection's end. It fails unless the body is as long as promised. The head is in
// out already.
func (v *visit) sendPlain(out *[outBytes]byte, head int, length int64) error {
	for {
		n, rerr := v.fill(out[head:])
		end := rerr == io.EOF //nolint:errorlint // an error that wraps it is no end
		if length >= 0 && v.sent+int64(n) > length {
			return &mesh.Fault{Kind: mesh.BadResponse, Err: fmt.Errorf("body exceeds its length of %d", length)}
		}
		short := length >= 0 && v.sent+int64(n) < length
		if head+n > 0 && (rerr == nil || end && !short || head == 0) {
			if err := v.write(out[:head+n], head, n); err != nil {
				return err
			}
			head = 0
		}
		switch {
		case end && short:
			return fmt.Errorf("body of %d bytes ended after %d: %w", length, v.sent, io.ErrUnexpectedEOF)
		case end:
			return nil
		case rerr != nil:
			return rerr
		case short: // a body in memory does not notice the end of its call
			if err := v.over(); err != nil {
				return err
			}
		}
	}
}

// sendChunks sends a chunked body. The head is in out already.
func (v *visit) sendChunks(out *[outBytes]byte, head int) error {
	for {
		at := head + chunkFront
		n, rerr := v.fill(out[at : outBytes-chunkBack])
		end := rerr == io.EOF //nolint:errorlint // an error that wraps it is no end
		if rerr != nil && !end {
			return rerr
		}
		b := out[:head]
		if n > 0 {
			b = frameChunk(out, head, n)
		}
		if end {
			var fault *mesh.Fault
			if b, fault = appendTrailer(b, v.resp.Trailer); fault != nil {
				return fault
			}
		}
		if len(b) > 0 {
			if err := v.write(b, head, n); err != nil {
				return err
			}
			head = 0
		}
		if end {
			return nil
		}
		if err := v.over(); err != nil {
			return err
		}
	}
}

// frameChunk makes a chunk of the n bytes at out[head+chunkFront:], and moves the head
// up to it. It returns both.
func frameChunk(out *[outBytes]byte, head, n int) []byte {
	at := head + chunkFront
	var room [chunkFront]byte
	size := appendChunk(room[:0], n)
	from := at - len(size)
	copy(out[from:at], size)
	copy(out[from-head:from], out[:head])
	return append(out[from-head:at+n], "\r\n"...)
}

// write writes b, the first head bytes of which are none of the n that it has of body.
func (v *visit) write(b []byte, head, n int) error {
	s := v.c.sock
	done := 0
	var err error
	if s.fd >= 0 {
		done, err = s.rawWrite(b)
	}
	if err == nil && done < len(b) {
		var m int
		call := v.loan.call
		if v.failed {
			call = nil
		}
		m, err = s.plainWrite(b[done:], v.c.takenBy(call))
		done += m
	}
	if err != nil {
		v.sent += int64(min(n, max(0, done-head)))
		return v.untaken(err)
	}
	v.sent += int64(n)
	return nil
}

// takenBy returns when the client must have taken what is written now: it has its time
// for that, until the call's deadline at most. A call of nil has none. The zero time is
// never.
func (c *client) takenBy(call *mesh.Call) (at time.Time) {
	if call != nil {
		at = call.Deadline()
	}
	if stall := c.srv.cfg.StallTimeout; stall > 0 {
		// Moving a deadline costs more than a look at the clock: it moves when half used up.
		if now := time.Now(); c.stalls.Sub(now) <= stall {
			c.stalls = now.Add(stall + stall/2)
		}
		if at.IsZero() || c.stalls.Before(at) {
			at = c.stalls
		}
	}
	return at
}

// untaken returns the Fault of a client that has not taken what was written: it is gone
// or, past the call's deadline, too slow.
func (v *visit) untaken(err error) error {
	switch {
	case errors.Is(err, errInterrupted):
		return &mesh.Fault{Kind: mesh.Draining, Err: err}
	case !v.failed && late(v.loan.call):
		return &mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true, Err: err}
	}
	return &mesh.Fault{Kind: mesh.ClientGone, Err: err}
}

// over returns why the call has ended before its body, nil while it goes on. It is
// asked after a write: where the deadline has passed, the client took it up.
func (v *visit) over() error {
	switch call := v.loan.call; {
	case v.failed:
		return nil
	case late(call):
		return &mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true, Err: errors.New("the client took too long")}
	default:
		return call.Cause()
	}
}

// late reports whether the call's deadline has passed.
func late(call *mesh.Call) bool {
	at := call.Deadline()
	return !at.IsZero() && !time.Now().Before(at)
}

// apologise answers in the place of a response that one of our own layers has spoiled.
func (v *visit) apologise(fault *mesh.Fault) error {
	v.status = http.StatusInternalServerError
	const text = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	if err := v.write([]byte(text), len(text), 0); err != nil {
		return err
	}
	return fault
}

// streams reports whether bodies of this type come in messages.
func streams(contentType []string) bool {
	if len(contentType) == 0 {
		return false
	}
	media, _, _ := strings.Cut(contentType[0], ";")
	media = strings.TrimSpace(media)
	return strings.EqualFold(media, "text/event-stream") ||
		len(media) >= len(grpcType) && strings.EqualFold(media[:len(grpcType)], grpcType)
}

const grpcType = "application/grpc"
