package bridge

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"outrider/internal/mesh"
)

// answer writes the response to a Fault. A client that is gone gets none.
func (x *exchange) answer(fault *mesh.Fault) error {
	if x.up != nil {
		_ = x.up.Close() // nobody reads on once the stack has failed
	}
	if fault.Kind == mesh.ClientGone {
		return fault
	}
	x.interim.end()
	x.bounded = false
	resp := Answer(x.req, fault, AnswerOptions{Pseudonym: x.h.Pseudonym})
	defer resp.Body.Close()
	x.head(resp, resp.ContentLength)
	if resp.ContentLength > 0 && mesh.HasBody(x.req.Method, resp.StatusCode) {
		if err := x.copy(resp, resp.ContentLength, false); err != nil {
			return fault // it is why the call failed; that the client left as well is no news
		}
	}
	x.aborted = false
	return fault
}

// deliver writes the stack's response, until the call's deadline.
func (x *exchange) deliver() error {
	if late(x.call) {
		return x.answer(&mesh.Fault{Kind: mesh.ResponseTimeout})
	}
	x.bounded = true
	resp := x.resp
	x.interim.end()
	x.h.pass(x.call, resp)
	length := resp.ContentLength
	announced := slices.Sorted(maps.Keys(resp.Trailer))
	delete(resp.Header, "Trailer")
	if len(announced) > 0 {
		resp.Header["Trailer"] = []string{strings.Join(announced, ", ")}
	}
	x.head(resp, length)
	if mesh.HasBody(x.req.Method, resp.StatusCode) {
		if err := x.body(resp, length); err != nil {
			return err
		}
		x.trail(resp.Trailer, announced)
	}
	x.aborted = false
	return nil
}

// head writes status and header. A length below zero is unknown.
func (x *exchange) head(resp *http.Response, length int64) {
	header := x.w.Header()
	own := resp.Header.Get("Content-Length")
	for name, values := range resp.Header {
		header[name] = values
	}
	delete(header, "Content-Length")
	switch {
	case x.req.Method == http.MethodHead && own != "":
		header["Content-Length"] = []string{own}
	case length > 0 || length == 0 && own != "":
		header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // or net/http would guess one
	}
	x.status = resp.StatusCode
	x.bound()
	x.w.WriteHeader(resp.StatusCode)
}

// body streams the response's body.
func (x *exchange) body(resp *http.Response, length int64) error {
	stream := length < 0 || streams(resp.Header.Get("Content-Type"))
	if stream && length != 0 { // an empty body ends with its head: gRPC's trailers-only
		if err := x.flush(); err != nil {
			return err
		}
	}
	return x.copy(resp, length, stream)
}

// copy copies the body to the client, flushing after each read where it is a
// stream, and fails unless it has the promised length.
func (x *exchange) copy(resp *http.Response, length int64, stream bool) error {
	buffer := x.h.buffers.Get().(*[bufferSize]byte)
	defer x.h.buffers.Put(buffer)
	for {
		n, rerr := resp.Body.Read(buffer[:])
		if length >= 0 && x.sent+int64(n) > length {
			return &mesh.Fault{Kind: mesh.BadResponse, Err: fmt.Errorf("body exceeds its length of %d", length)}
		}
		if n > 0 {
			if err := x.write(buffer[:n], stream); err != nil {
				return err
			}
		}
		switch {
		case rerr == io.EOF && length >= 0 && x.sent < length:
			return x.fault(fmt.Errorf("body of %d bytes ended after %d: %w", length, x.sent, io.ErrUnexpectedEOF), mesh.Reset)
		case rerr == io.EOF:
			return nil
		case rerr != nil:
			return x.fault(rerr, mesh.Reset)
		case x.bounded && x.sent != length: // a body in memory does not notice the end of its call
			if err := x.over(); err != nil {
				return err
			}
		}
	}
}

// write sends p on, and at once where it is part of a stream.
func (x *exchange) write(p []byte, stream bool) error {
	x.bound()
	n, err := x.w.Write(p)
	x.sent += int64(n)
	if err != nil {
		return x.untaken(err)
	}
	if stream {
		return x.flush()
	}
	return nil
}

func (x *exchange) flush() error {
	if err := x.control.Flush(); err != nil {
		return x.untaken(err)
	}
	return nil
}

// untaken returns the Fault of a client that has not taken what was written: it is
// gone or, past the call's deadline, too slow.
func (x *exchange) untaken(err error) *mesh.Fault {
	if late(x.call) {
		return &mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true, Err: err}
	}
	return &mesh.Fault{Kind: mesh.ClientGone, Err: err}
}

// over returns why the call has ended before its body, nil while it goes on. It is
// asked after a write: where the deadline has passed, the client took it up.
func (x *exchange) over() error {
	if late(x.call) {
		return x.untaken(context.DeadlineExceeded)
	}
	if cause := x.call.Cause(); cause != nil {
		return x.fault(cause, mesh.Internal)
	}
	return nil
}

// bound gives the client time to accept what is written next, until the call's
// deadline at most. Moving a deadline costs more than a look at the clock, so it
// moves only when half used up.
func (x *exchange) bound() {
	var at time.Time // zero is never
	if x.bounded {
		at = x.call.Deadline()
	}
	if stall := x.h.StallTimeout; stall > 0 {
		next, now := x.stalls, time.Now()
		if next.Sub(now) <= stall {
			next = now.Add(stall + stall/2)
		}
		if at.IsZero() || next.Before(at) {
			at = next
		}
	}
	if !at.Equal(x.stalls) {
		x.stalls = at
		_ = x.control.SetWriteDeadline(at)
	}
}

// trail hands on the trailers, announced or not. An announced name is taken from
// the same map as the head's fields were, so what the head had there goes.
func (x *exchange) trail(trailer http.Header, announced []string) {
	if len(trailer) == 0 {
		return
	}
	x.h.hops.StripTrailer(trailer)
	header := x.w.Header()
	for _, name := range announced {
		delete(header, name)
	}
	for name, values := range trailer {
		if _, ok := slices.BinarySearch(announced, name); !ok {
			name = http.TrailerPrefix + name
		}
		if len(values) > 0 {
			header[name] = values
		}
	}
}

// streams reports whether bodies of this type come in messages, each of which is
// wanted at once.
func streams(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "text/event-stream" || strings.HasPrefix(media, grpcType)
}
