package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"outrider/internal/mesh"
)

// buckets resolve 0.5 ms to 10 s, and contain those that dashboards of the guide
// ask for: 0.1, 0.3, 0.5, 0.7, 1, 3, 5, 7, 10. In seconds.
var buckets = []float64{
	.0005, .001, .0025, .005, .01, .025, .05, .1, .2, .3, .5, .7, 1, 2, 3, 5, 7, 10,
}

// Of a native histogram, which a Prometheus that asks for it gets beside the buckets
// above: each bucket is at most a tenth wider than the last, and there are at most so
// many, which from 0.5 ms to 10 s is enough. Where it is not, the histogram begins anew,
// but not more often than once an hour, or else becomes coarser.
const (
	nativeFactor  = 1.1
	nativeBuckets = 120
	nativeReset   = time.Hour
)

func newHistograms(r *prometheus.Registry, name, help string, names ...string) *prometheus.HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                            name,
		Help:                            help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     nativeFactor,
		NativeHistogramMaxBucketNumber:  nativeBuckets,
		NativeHistogramMinResetDuration: nativeReset,
	}, names)
	r.MustRegister(vec)
	return vec
}

func newAttempts(r *prometheus.Registry) *family[labels, prometheus.Observer] {
	names := []string{"direction", "service", "result"}
	vec := newHistograms(r, "outrider_attempt_duration_seconds",
		"Time of one attempt at an endpoint in seconds, up to the response's head or the failure.", names...)
	return newFamily(maxSeries, rest(names), func(l labels) prometheus.Observer {
		return vec.WithLabelValues(l.values(names)...)
	})
}

// observe counts the attempts of an exchange that reached an endpoint.
func (o *observer) observe(service string, all []mesh.Attempt) {
	for i := range all {
		if a := &all[i]; a.Endpoint != "" {
			o.t.attempts.get(labels{o.direction, service, resultOf(a)}).Observe(a.Duration.Seconds())
		}
	}
}

// resultOf names how an attempt ended: the class of its status, or the code of what went
// wrong.
func resultOf(a *mesh.Attempt) string {
	switch {
	case a.Err != nil:
		return mesh.AsFault(a.Err).Kind.Code()
	case a.Status >= http.StatusContinue && a.Status < http.StatusOK:
		return "1xx"
	case a.Status >= http.StatusOK && a.Status < http.StatusMultipleChoices:
		return "2xx"
	case a.Status >= http.StatusMultipleChoices && a.Status < http.StatusBadRequest:
		return "3xx"
	case a.Status >= http.StatusBadRequest && a.Status < http.StatusInternalServerError:
		return "4xx"
	case a.Status >= http.StatusInternalServerError && a.Status <= 599: // RFC 9110, section 15
		return "5xx"
	default:
		return statusOther
	}
}
