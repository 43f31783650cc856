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

// MaxConcurrent is the layer of a Shed of its own.
func MaxConcurrent(limit int) mesh.Layer { return NewShed(limit).Layer() }

// Shed bounds how many requests are in flight below its layer; what is beyond is shed
// at once, with 503, so that what is being served is served well. A request is in
// flight until its response's last byte.
//
// It stands below every rule: a request that one of them refuses takes no place.
type Shed struct {
	limit    int64
	inFlight atomic.Int64
}

// NewShed returns a Shed of so many places. Zero is unlimited, and no layer.
func NewShed(limit int) *Shed { return &Shed{limit: int64(limit)} }

// InFlight returns how many requests are in flight; zero where that is unlimited, and
// nobody counts.
func (s *Shed) InFlight() int { return int(s.inFlight.Load()) }

// Layer returns the layer, nil where there is no limit.
func (s *Shed) Layer() mesh.Layer {
	if s.limit <= 0 {
		return nil
	}
	leave := func(mesh.Result) { s.inFlight.Add(-1) }
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if s.inFlight.Add(1) > s.limit {
				s.inFlight.Add(-1)
				// Another instance may well have room; this one has done nothing.
				return nil, &mesh.Fault{Kind: mesh.Shed, Retryable: true, RetryAfter: shedRetry}
			}
			mesh.From(req).OnEnd(leave)
			return next.RoundTrip(req)
		})
	}
}
