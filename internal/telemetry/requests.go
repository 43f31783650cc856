package telemetry

import (
	"net/http"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// RequestConfig says how one listener's requests are observed.
type RequestConfig struct {
	Direction string     // ingress, inbound or outbound
	Log       *AccessLog // where the lines go; nil writes none
	Lines     Lines      // which, and how they read
}

// Requests returns the layer that observes every exchange: count, duration, fault
// and access log.
//
// It is the outermost layer: it sees the request as the client sent it, before any
// layer edits it, and its OnEnd is the last to run, when all attempts have ended.
// It stands once in a stack, or the exchange counts twice. A request without a
// Call passes unobserved.
func (t *Telemetry) Requests(cfg RequestConfig) mesh.Layer {
	o := &observer{t: t, direction: cfg.Direction, seen: newWhereabouts(t, cfg.Direction)}
	if cfg.Log != nil {
		o.log = newAccessLog(cfg)
	}
	o.spare.New = func() any { return &exchange{o: o} }
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if call := mesh.From(req); call != nil {
				o.begin(call, req)
			}
			return next.RoundTrip(req)
		})
	}
}

type observer struct {
	t         *Telemetry
	direction string
	log       *accessLog // nil: none
	seen      *whereabouts
	spare     sync.Pool // of *exchange
}

// exchange is one that is under way. It is used again after its end.
type exchange struct {
	o      *observer
	call   *mesh.Call
	start  time.Time
	method method
	head   head // empty where no access log is written
}

var _ mesh.Ender = (*exchange)(nil)

func (o *observer) begin(call *mesh.Call, req *http.Request) {
	x, _ := o.spare.Get().(*exchange)
	x.call, x.start, x.method = call, call.Start, methodOf(req.Method)
	if x.start.IsZero() {
		x.start = time.Now()
	}
	if o.log != nil {
		x.head.take(req)
	}
	call.AtEnd(x)
}

// End implements [mesh.Ender].
func (x *exchange) End(r mesh.Result) {
	e := ending{Result: r, start: x.start, took: time.Since(x.start), head: &x.head}
	if r.Err != nil {
		e.fault = mesh.AsFault(r.Err)
	}
	o := x.o
	o.end(x.call, x.method, e)
	x.call, x.head = nil, head{} // it holds nothing of the request while it waits for the next
	o.spare.Put(x)
}

// ending is all that is known at the end of an exchange, besides its Call.
type ending struct {
	mesh.Result
	head  *head
	fault *mesh.Fault // nil when all went well
	start time.Time
	took  time.Duration
}

func (o *observer) end(call *mesh.Call, method method, e ending) {
	if e.Status == 0 && e.fault != nil && e.fault.Kind == mesh.ClientGone {
		e.Status = mesh.ClientGone.Status()
	}
	where := o.seen.of(call)
	where.observe(call.Attempts)
	s := where.outcomes.get(outcomeOf(method, e.Status))
	s.total.Inc()
	s.observe(call.Trace, e.took.Seconds())
	if e.fault != nil {
		o.t.Fault(o.direction, e.fault.Kind)
	}
	if o.log != nil {
		o.log.write(call, where.place, e)
	}
}
