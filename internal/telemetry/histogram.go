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

// result is how an attempt ended: the class of its status, zero for no status that HTTP
// knows, or what went wrong.
type result uint8

// classes are how many results are those of a status.
const classes = 6

// resultOf returns how an attempt ended.
func resultOf(a *mesh.Attempt) result {
	switch {
	case a.Err != nil:
		return classes + result(mesh.AsFault(a.Err).Kind)
	case a.Status >= http.StatusContinue && a.Status <= 599: // RFC 9110, section 15
		return result(a.Status / 100)
	default:
		return 0
	}
}

// label names the result: the class, or the fault's code.
func (r result) label() string {
	if r >= classes {
		return mesh.Kind(r - classes).Code()
	}
	return [classes]string{statusOther, "1xx", "2xx", "3xx", "4xx", "5xx"}[r]
}
