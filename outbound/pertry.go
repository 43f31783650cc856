package outbound

import (
	"net/http"
	"time"

	"outrider/internal/mesh"
)

// perTry bounds one attempt up to its response's head. d zero is no bound, and no
// layer.
func perTry(d time.Duration) mesh.Layer {
	if d <= 0 {
		return nil
	}
	again := &mesh.Fault{Kind: mesh.PerTryTimeout, Retryable: true}
	once := &mesh.Fault{Kind: mesh.PerTryTimeout}
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			late := once
			if mesh.Idempotent(req.Method) {
				late = again
			}
			call := mesh.From(req)
			call.Try(time.Now().Add(d), late)
			resp, err := next.RoundTrip(req)
			call.Try(time.Time{}, nil)
			return resp, err
		})
	}
}
