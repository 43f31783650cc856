package outbound

import (
	"context"
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
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			late := &mesh.Fault{Kind: mesh.PerTryTimeout, Retryable: idempotent(req.Method)}
			ctx, cancel := context.WithCancelCause(req.Context())
			timer := time.AfterFunc(d, func() { cancel(late) })
			resp, err := next.RoundTrip(req.WithContext(ctx))
			// The context is not cancelled here: the response's body lives under it. It
			// ends with the attempt's.
			if timer.Stop() {
				return resp, err
			}
			if err == nil { // the head came as time ran out: its body would break off
				_ = resp.Body.Close()
				return nil, late
			}
			return nil, err
		})
	}
}
