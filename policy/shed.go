package policy

import (
	"net/http"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// shedRetry is when a client that was shed may come back: by then, most of what was in
// flight has ended.
const shedRetry = time.Second

// MaxConcurrent bounds how many requests are in flight below it; what is beyond is
// shed at once, with 503, so that what is being served is served well. A request is in
// flight until its response's last byte. Zero is unlimited, and no layer.
//
// It stands below every rule: a request that one of them refuses takes no place.
func MaxConcurrent(limit int) mesh.Layer {
	if limit <= 0 {
		return nil
	}
	var inFlight atomic.Int64
	leave := func(mesh.Result) { inFlight.Add(-1) }
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if inFlight.Add(1) > int64(limit) {
				inFlight.Add(-1)
				// Another instance may well have room; this one has done nothing.
				return nil, &mesh.Fault{Kind: mesh.Shed, Retryable: true, RetryAfter: shedRetry}
			}
			mesh.From(req).OnEnd(leave)
			return next.RoundTrip(req)
		})
	}
}
