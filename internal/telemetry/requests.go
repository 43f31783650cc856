package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"outrider/internal/mesh"
	"outrider/internal/tracecontext"
)

// maxOutcomes bounds the pairs of method and status of one route: some services
// can be made to answer any status by whoever asks.
const maxOutcomes = 256

const (
	none        = "none"  // no route, no service
	statusOther = "other" // no status that HTTP knows
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
	var log *accessLog
	if cfg.Log != nil {
		log = newAccessLog(cfg)
	}
	o := &observer{t: t, direction: cfg.Direction, log: log}
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
}

func (o *observer) begin(call *mesh.Call, req *http.Request) {
	start := call.Start
	if start.IsZero() {
		start = time.Now()
	}
	method := methodLabel(req.Method)
	var head *head
	if o.log != nil {
		head = o.log.head(req)
	}
	call.OnEnd(func(r mesh.Result) {
		e := ending{Result: r, head: head, took: time.Since(start)}
		if r.Err != nil {
			e.fault = mesh.AsFault(r.Err)
		}
		o.end(call, method, e)
	})
}

// ending is all that is known at the end of an exchange, besides its Call.
type ending struct {
	mesh.Result
	head  *head       // nil where no access log is written
	fault *mesh.Fault // nil when all went well
	took  time.Duration
}

func (o *observer) end(call *mesh.Call, method string, e ending) {
	if e.Status == 0 && e.fault != nil && e.fault.Kind == mesh.ClientGone {
		e.Status = mesh.ClientGone.Status()
	}
	where := placeOf(call)
	o.observe(where.service, call.Attempts)
	s := o.t.requests.get(where).get(outcomeOf(method, e.Status))
	s.total.Inc()
	s.observe(call.Trace, e.took.Seconds())
	if e.fault != nil {
		o.t.Fault(o.direction, e.fault.Kind)
	}
	if e.head != nil {
		o.log.write(call, e)
	}
}

// place is where a request went. Whoever has not been routed has been nowhere.
type place struct{ route, service string }

func placeOf(call *mesh.Call) place {
	p := place{none, none}
	if call.Service != "" {
		p.service = string(call.Service)
	}
	if r := call.Route; r != nil {
		if r.Name != "" {
			p.route = r.Name
		}
		if r.Service != "" {
			p.service = string(r.Service)
		}
	}
	return p
}

// outcome is how it was asked and how it ended; status is zero for statusOther.
type outcome struct {
	method string
	status int
}

func outcomeOf(method string, status int) outcome {
	if status < 100 || status > 599 { // RFC 9110, section 15
		status = 0
	}
	return outcome{method, status}
}

func (o outcome) statusLabel() string {
	if o.status == 0 {
		return statusOther
	}
	return strconv.Itoa(o.status)
}

type outcomes = family[outcome, series]

// series are the two metrics that share the guide's labels.
type series struct {
	total    prometheus.Counter
	duration prometheus.Observer
}

// observe notes a duration and, where there are spans of it, which trace shows why it
// took so long.
func (s series) observe(t mesh.Trace, seconds float64) {
	if t == nil || !t.Sampled() {
		s.duration.Observe(seconds)
		return
	}
	id, _ := t.IDs()
	s.duration.(prometheus.ExemplarObserver).ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": tracecontext.TraceID(id).String()})
}

func newRequests(r *prometheus.Registry) *family[place, *outcomes] {
	names := []string{"method", "route", "service", "status_code"}
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_requests_total",
		Help: "Total number of requests.",
	}, names)
	r.MustRegister(total)
	duration := newHistograms(r, "gateway_request_duration_seconds",
		"Request duration in seconds, from the request's head to the last byte of the answer.", names...)

	return newFamily(maxSeries, place{other, other}, func(p place) *outcomes {
		return newFamily(maxOutcomes, outcome{method: other}, func(o outcome) series {
			values := []string{o.method, label(p.route), label(p.service), o.statusLabel()}
			return series{total.WithLabelValues(values...), duration.WithLabelValues(values...)}
		})
	})
}

// methodLabel returns m where RFC 9110, section 9, or RFC 5789 defines it.
func methodLabel(m string) string {
	switch m {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodHead:
		return http.MethodHead
	case http.MethodPost:
		return http.MethodPost
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPatch:
		return http.MethodPatch
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodOptions:
		return http.MethodOptions
	case http.MethodTrace:
		return http.MethodTrace
	case http.MethodConnect:
		return http.MethodConnect
	}
	return other // and not m: the label must not keep the request's memory alive either
}
