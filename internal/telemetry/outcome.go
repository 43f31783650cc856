package telemetry

import (
	"net/http"
	"strconv"
	"strings"

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

// place is where a request went. Whoever has not been routed has been nowhere.
type place struct{ route, service string }

// clone returns p without a part of the request, which may have named the service.
func (p place) clone() place { return place{p.route, strings.Clone(p.service)} }

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

// outcome is how it was asked and how it ended: a method above a status, which is zero
// for statusOther. It is a number, since it is looked up by for every request.
type outcome uint32

const statusBits = 16

func outcomeOf(m method, status int) outcome {
	if status < 100 || status > 599 { // RFC 9110, section 15
		status = 0
	}
	return outcome(m)<<statusBits | outcome(status)
}

func (o outcome) method() method { return method(o >> statusBits) }

func (o outcome) statusLabel() string {
	status := int(o & (1<<statusBits - 1))
	if status == 0 {
		return statusOther
	}
	return strconv.Itoa(status)
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
		return newFamily(maxOutcomes, outcomeOf(0, 0), func(o outcome) series {
			values := []string{o.method().label(), label(p.route), label(p.service), o.statusLabel()}
			return series{total.WithLabelValues(values...), duration.WithLabelValues(values...)}
		})
	})
}

// method is one that RFC 9110, section 9, or RFC 5789 defines; zero is any other.
type method uint8

// methodNames are those of each method. The label of any other is not its own name,
// which must not be kept alive, either.
var methodNames = [...]string{
	other, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect,
}

func methodOf(name string) method {
	for i := 1; i < len(methodNames); i++ {
		if methodNames[i] == name {
			return method(i)
		}
	}
	return 0
}

func (m method) label() string { return methodNames[m] }

// methodLabel returns the label of the method of that name.
func methodLabel(name string) string { return methodOf(name).label() }
