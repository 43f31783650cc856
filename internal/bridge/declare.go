package bridge

import (
	"net/http"
	"strconv"
	"time"

	"outrider/internal/mesh"
)

// declared is how long what we write usually is, in bytes.
const declared = 384

// declare writes what the service is told, and says what the request's ID is. All that
// is new is put together in one piece and cut from it.
func (f *forwarder) declare(req *http.Request, call *mesh.Call, c *claims) {
	var room [declared]byte
	b := room[:0]
	if !f.FromApp {
		if b = append(b, c.forwardedFor...); len(b) > 0 {
			b = append(b, ", "...)
		}
		b = appendNode(b, call)
	}
	forwardedFor := len(b)
	if !f.FromApp {
		if b = append(b, c.forwarded...); len(b) > forwardedFor {
			b = append(b, ", "...)
		}
		b = f.appendElement(b, call.Peer, c.ours)
	}
	forwarded := len(b)
	ids := req.Header["X-Request-Id"]
	known := len(ids) == 1 && validID(ids[0])
	if !known {
		b = f.appendID(b, call)
	}
	id := len(b)
	if f.Gateway {
		b = strconv.AppendInt(b, f.now(call).UnixMilli(), 10)
	}
	text := string(b)

	if call.ID = text[forwarded:id]; known {
		call.ID = ids[0]
	}
	header := req.Header
	if !f.FromApp {
		header["X-Forwarded-For"] = call.List(text[:forwardedFor])
		header["X-Forwarded-Proto"] = call.List(c.proto)
		header["X-Forwarded-Port"] = call.List(c.port)
		header["Forwarded"] = call.List(text[forwardedFor:forwarded])
		if header["X-Forwarded-Host"] = call.List(c.host); c.host == "" {
			delete(header, "X-Forwarded-Host") // nobody knows it
		}
	}
	header["X-Request-Id"] = call.List(call.ID)
	if f.Gateway {
		header["X-Gateway-Timestamp"] = call.List(text[id:])
	}
}

// appendNode appends the peer's address as X-Forwarded-For has it.
func appendNode(b []byte, call *mesh.Call) []byte {
	if !call.Peer.IsValid() {
		return append(b, "unknown"...) // RFC 7239, section 6.2
	}
	return plainAddr(call.Peer).AppendTo(b)
}

// appendID appends an ID for a request that has none.
func (f *forwarder) appendID(b []byte, call *mesh.Call) []byte {
	if f.NewID != nil {
		return append(b, f.NewID()...)
	}
	return appendID(b, f.now(call))
}

// now returns when the request came.
func (f *forwarder) now(call *mesh.Call) time.Time {
	switch {
	case f.Now != nil:
		return f.Now()
	case !call.Start.IsZero():
		return call.Start
	}
	return time.Now()
}
