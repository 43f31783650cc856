package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"outrider/internal/mesh"
)

// timeout bounds a whole exchange by total, all attempts included, and by the
// client's own grpc-timeout where that is shorter; when that passes, the client
// brought it about. A response that turns out to be a stream (101, an event stream,
// gRPC) lasts as long as it moves: what stands still for idle is ended. Where total
// is zero that holds for every response, and a client that keeps its body back for
// idle is not waited for any longer, so that nobody holds on to a connection without
// end. Idle zero lets streams stand still.
func timeout(total, idle time.Duration) mesh.Layer {
	late := &mesh.Fault{Kind: mesh.ResponseTimeout}
	own := &mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true} // whoever sets 1n is to open no breaker
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			call, start := mesh.From(req), time.Now()
			asked := grpcTimeout(req)
			if total > 0 {
				call.SetDeadline(start.Add(total), late)
			}
			if asked > 0 { // after ours, which holds where both are the same
				call.SetDeadline(start.Add(asked), own)
			}
			var watch *idleWatch
			switch {
			case idle <= 0:
			case total <= 0:
				watch = newIdleWatch(call, idle)
				watch.upload(req)
			case isGRPC(req.Header) || first(req.Header, "Upgrade") != "":
				watch = newIdleWatch(call, idle)
				watch.request(req)
			}
			resp, err := next.RoundTrip(req)
			if err != nil {
				return nil, err
			}
			if streams(resp) {
				call.ClearDeadline()
				if asked > 0 { // the client's own bound holds for streams too
					call.SetDeadline(start.Add(asked), own)
				}
			} else if total > 0 {
				return resp, nil
			}
			if idle > 0 {
				if watch == nil {
					watch = newIdleWatch(call, idle)
				}
				watch.response(resp)
			}
			return resp, nil
		})
	}
}

// streams reports whether resp is of a kind that lasts.
func streams(resp *http.Response) bool {
	if resp.StatusCode == http.StatusSwitchingProtocols || isGRPC(resp.Header) {
		return true
	}
	return mediaType(resp.Header) == "text/event-stream"
}

// isGRPC reports whether a message with this header is gRPC's. gRPC-Web is not: it
// is made for HTTP/1.1 and ordinary servers.
func isGRPC(h http.Header) bool {
	rest, ok := strings.CutPrefix(mediaType(h), "application/grpc")
	return ok && (rest == "" || rest[0] == '+')
}

// mediaType returns the Content-Type without parameters, in lower case.
func mediaType(h http.Header) string {
	v, _, _ := strings.Cut(first(h, "Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(v))
}

// first returns the first value of a field, whose name is in its canonical form.
func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// grpcTimeout returns the deadline that a gRPC client has set itself (gRPC over
// HTTP/2, Timeout); zero when there is none, or none that can be read.
func grpcTimeout(req *http.Request) time.Duration {
	v := first(req.Header, "Grpc-Timeout")
	if v == "" || len(v) > 9 || !isGRPC(req.Header) { // eight digits at most
		return 0
	}
	n, err := strconv.ParseUint(v[:len(v)-1], 10, 32)
	if err != nil {
		return 0
	}
	unit := time.Duration(0)
	switch v[len(v)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	}
	if unit > 0 && n > uint64(maxTimeout/unit) {
		return maxTimeout
	}
	return time.Duration(n) * unit
}

// maxTimeout is longer than any call lasts, and short enough to compute with.
const maxTimeout = 10000 * time.Hour
