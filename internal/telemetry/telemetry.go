package telemetry

import (
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes bounds scrapes in progress: the probe port is open to strangers, and
// each scrape holds a copy of every series.
const maxScrapes = 4

// Options are what New needs.
type Options struct {
	Version string // of the proxy, shown by outrider_build_info; empty means unknown
}

// Telemetry holds the proxy's metrics, all in a registry of its own. Its methods
// are safe for concurrent use; an event whose labels were seen before costs no
// lock and no allocation.
type Telemetry struct {
	registry *prometheus.Registry

	requests    *family[place, *outcomes]
	attempts    *family[labels, prometheus.Observer]
	active      *family[labels, prometheus.Gauge]
	faults      *counters
	retries     *counters
	exhausted   *counters
	transitions *counters
	ejections   *counters
	reloads     *counters
	auth        *counters
	cache       *counters
	health      *counters
	reloaded    prometheus.Gauge
	unlogged    prometheus.Counter

	services      atomic.Pointer[func() []ServiceState]
	cacheBytes    atomic.Pointer[func() int64]
	rateLimitKeys atomic.Pointer[func() int64]
	connections   atomic.Pointer[func() int]
	registered    atomic.Pointer[func() bool]
	expiry        atomic.Pointer[func() time.Time]
}

// New returns a Telemetry whose metrics are all at zero.
func New(o Options) *Telemetry {
	r := prometheus.NewRegistry()
	t := &Telemetry{
		registry: r,
		requests: newRequests(r),
		attempts: newAttempts(r),
		active: newGauges(r, "gateway_active_connections",
			"Exchanges with the service in progress.", "service"),
		faults: newCounters(r, "outrider_faults_total",
			"Requests that the proxy answered with a fault, or that one cut short.", "direction", "code"),
		retries: newCounters(r, "outrider_retries_total",
			"Attempts made again, by why the one before was given up.", "service", "reason"),
		exhausted: newCounters(r, "outrider_retry_budget_exhausted_total",
			"Retries not made because the budget was spent.", "service"),
		transitions: newCounters(r, "outrider_breaker_transitions_total",
			"Changes of an endpoint's circuit breaker.", "service", "from", "to"),
		ejections: newCounters(r, "outrider_ejections_total",
			"Endpoints ejected as outliers.", "service"),
		reloads: newCounters(r, "outrider_reloads_total",
			"Reloads of the configuration.", "result"),
		auth: newCounters(r, "outrider_auth_checks_total",
			"Tokens checked, and whether the answer was at hand.", "result", "cached"),
		cache: newCounters(r, "outrider_cache_requests_total",
			"Requests that met the cache.", "result"),
		health: newCounters(r, "outrider_health_changes_total",
			"Endpoints whose health changed.", "service", "to"),
		reloaded: newGauge(r, "outrider_reload_success_timestamp_seconds",
			"When the configuration in use was loaded, in Unix time."),
	}
	t.unlogged = newCounter(r, "outrider_access_log_dropped_total",
		"Access log lines that were not written, because the log did not keep up or could not be written.")
	newBuildInfo(r, o.Version)
	r.MustRegister(
		newScrape(t),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)

	// A result that has not happened reads 0 and not nothing, so that the first
	// refusal is an increase.
	t.reloads.get(labels{reloadOK})
	t.reloads.get(labels{reloadRefused})
	t.reloaded.Set(unix(time.Now())) // whoever runs has loaded a configuration
	return t
}

// Handler serves the metrics, as OpenMetrics or in the older text format.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		ErrorHandling:       promhttp.ContinueOnError, // one wrong family must not hide the others
	})
}

func newBuildInfo(r *prometheus.Registry, version string) {
	if version == "" {
		version = "unknown"
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "outrider_build_info",
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": label(version), "goversion": runtime.Version()},
	}, func() float64 { return 1 }))
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
