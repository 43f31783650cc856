package balance

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"outrider/internal/mesh"
)

// exchange is one request at one endpoint, from its place to the last byte. After that it
// is used for another one.
type exchange struct {
	b        *Balancer
	to       *endpoint
	report   func(error) // to the breaker
	start    time.Duration
	headed   time.Duration // when the head had come, or the failure
	url      url.URL       // here rather than in an allocation of its own
	begun    bool
	settled  bool
	released bool
}

// exchange returns one that begins at the instant now.
func (b *Balancer) exchange(to *endpoint, report func(error), now time.Duration) *exchange {
	x, _ := b.ended.Get().(*exchange)
	if x == nil {
		x = new(exchange)
	}
	x.b, x.to, x.report, x.start = b, to, report, now
	return x
}

// send sends req, and settles what its head or failure says about the endpoint.
func (x *exchange) send(req *http.Request, call *mesh.Call) (*http.Response, error) {
	x.begun = true
	x.url = *req.URL // its own: the attempt's may be shared
	x.url.Scheme, x.url.Host = x.to.info.Scheme, x.to.info.Address
	if x.url.Scheme == "h2c" {
		x.url.Scheme = "http" // net/http knows no other; the transport knows
	}
	req.URL = &x.url
	resp, err := x.to.via().RoundTrip(req)
	x.headed = x.b.now()
	switch {
	case err != nil:
		x.settle(blame(call, err), x.headed)
		x.release()
	case resp.StatusCode >= 500:
		x.settle(failed, x.headed)
	default:
		x.settle(succeeded, x.headed)
	}
	return resp, err
}

// settle reports the verdict at the instant now, once.
func (x *exchange) settle(v verdict, now time.Duration) {
	if x.settled {
		return
	}
	x.settled = true
	switch v {
	case succeeded:
		x.report(nil)
	case failed:
		x.report(errFailed)
	default:
		x.report(errIgnored)
	}
	x.to.cost.observe(now, now-x.start, v)
	if v == failed {
		x.to.fails.add(now)
	}
	x.b.judge(x.to, now, v)
}

// release gives the place back, once.
func (x *exchange) release() {
	if !x.released {
		x.released = true
		x.to.release()
	}
}

// End is the end of the exchange, come what may: an attempt that was given up, or
// one whose transport panicked, has no verdict yet.
func (x *exchange) End(mesh.Result) {
	if !x.settled { // else the clock need not be read
		x.settle(ignored, x.b.now())
	}
	x.release()
	if !x.begun { // the call had ended before
		return
	}
	b := x.b
	*x = exchange{}
	b.ended.Put(x)
}

// blame returns what an error says about the endpoint. It is not blamed for what the
// client did: going away, losing patience, or sending a body that we refuse or that
// does not come to its end.
func blame(call *mesh.Call, err error) verdict {
	var f *mesh.Fault
	if !errors.As(err, &f) && errors.Is(err, context.Canceled) && !errors.As(call.Cause(), &f) {
		return ignored
	}
	if f == nil {
		return failed
	}
	switch f.Kind {
	case mesh.RequestTimeout, mesh.BodyTooLarge, mesh.Malformed:
		return unrelated
	case mesh.Refused, mesh.ConnectTimeout, mesh.Unreachable, mesh.TLSFailed, mesh.TLSCertificate,
		mesh.Reset, mesh.ResponseTimeout, mesh.PerTryTimeout, mesh.IdleTimeout,
		mesh.BadResponse, mesh.ResponseTooLarge, mesh.UnsupportedUpgrade:
		if f.ByClient {
			return ignored
		}
		return failed
	default:
		return ignored
	}
}
