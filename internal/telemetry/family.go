package telemetry

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// maxSeries bounds the series of one family. Its labels are the configuration's,
// but reloads may go on for years, and undeclared services may be allowed.
const maxSeries = 2048

// other stands for a value that has no label of its own.
const other = "_OTHER"

// family resolves the children of a metric by their labels, each once: after that,
// getting one takes no lock, builds no label set and allocates nothing.
type family[K comparable, V any] struct {
	resolve func(K) V
	max     int // children, besides rest
	rest    K   // counts for all keys past max

	known atomic.Pointer[map[K]V]
	mu    sync.Mutex // serialises growth
}

func newFamily[K comparable, V any](limit int, rest K, resolve func(K) V) *family[K, V] {
	f := &family[K, V]{resolve: resolve, max: limit, rest: rest}
	f.known.Store(&map[K]V{})
	return f
}

// get returns the child for k or, where the family is full, the one for the rest.
func (f *family[K, V]) get(k K) V {
	if v, ok := f.find(k); ok {
		return v
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if v, ok := f.find(k); ok {
		return v
	}
	known := *f.known.Load()
	if len(known) >= f.max {
		k = f.rest
	}
	v := f.resolve(k)
	grown := maps.Clone(known)
	grown[k] = v
	f.known.Store(&grown)
	return v
}

func (f *family[K, V]) find(k K) (V, bool) {
	known := *f.known.Load()
	v, ok := known[k]
	if !ok && len(known) >= f.max {
		v, ok = known[f.rest]
	}
	return v, ok
}

// labels are a child's label values, in the order of the family's names; those
// past the last name are empty.
type labels [3]string

type counters = family[labels, prometheus.Counter]

func newCounters(r *prometheus.Registry, name, help string, names ...string) *counters {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, names)
	r.MustRegister(vec)
	return newFamily(maxSeries, rest(names), func(l labels) prometheus.Counter {
		return vec.WithLabelValues(l.values(names)...)
	})
}

func newGauges(r *prometheus.Registry, name, help string, names ...string) *family[labels, prometheus.Gauge] {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, names)
	r.MustRegister(vec)
	return newFamily(maxSeries, rest(names), func(l labels) prometheus.Gauge {
		return vec.WithLabelValues(l.values(names)...)
	})
}

func newGauge(r *prometheus.Registry, name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	r.MustRegister(g)
	return g
}

func newCounter(r *prometheus.Registry, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.MustRegister(c)
	return c
}

func rest(names []string) labels {
	var l labels
	for i := range names {
		l[i] = other
	}
	return l
}

func (l labels) values(names []string) []string {
	values := make([]string, len(names))
	for i := range names {
		values[i] = label(l[i])
	}
	return values
}

// label returns v as Prometheus takes it: it panics at what is not UTF-8.
func label(v string) string { return strings.ToValidUTF8(v, "\uFFFD") }
