package outbound

import (
	"context"
	"io"
	"net/http"
	"time"

	"outrider/internal/mesh"
)

const (
	drainLimit = 4 << 10               // bytes of a discarded response that are read to keep its connection
	drainTime  = 50 * time.Millisecond // and how long that may take
)

// over returns why the call has ended early or, where its time or the attempt's is up,
// has to; nil while it goes on.
func over(call *mesh.Call) error {
	if cause := call.Cause(); cause != nil {
		return cause
	}
	if at, late := call.Due(); !at.IsZero() && !time.Now().Before(at) {
		return late
	}
	return nil
}

// sleep waits, and returns why the call ended where it did so first.
func sleep(call *mesh.Call, d time.Duration) error {
	if d <= 0 {
		return over(call)
	}
	ctx := call.Context()
	at, late := call.Due()
	due := !at.IsZero() && time.Until(at) < d
	if due {
		d = time.Until(at)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		if due {
			return late
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// discard closes a response. A short body is read to its end first, which saves the
// connection; one that does not come at once is not worth waiting for.
func discard(call *mesh.Call, resp *http.Response) {
	if resp.ContentLength <= drainLimit {
		call.Try(time.Now().Add(drainTime), &mesh.Fault{Kind: mesh.PerTryTimeout})
		_, _ = io.CopyN(io.Discard, resp.Body, drainLimit)
		call.Try(time.Time{}, nil)
	}
	_ = resp.Body.Close()
}
