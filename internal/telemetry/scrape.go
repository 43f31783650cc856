package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ServiceState is what a scrape shows of one service.
type ServiceState struct {
	Name string

	// Endpoints by state; each counts once.
	Healthy, Unhealthy, Ejected int

	// Breakers of the endpoints by state; all zero where the service has none.
	Closed, HalfOpen, Open int

	// Panic says that so few endpoints are healthy that health is disregarded.
	Panic bool

	// Mode says how the endpoints of a service of the catalogue are known: one of
	// DiscoveryModes. Empty: it is no service of the catalogue. Age is since when the
	// catalogue has said so.
	Mode string
	Age  time.Duration

	// RetryBudget is how many retries are allowed now. Negative: there is no
	// budget, and none is shown.
	RetryBudget float64
}

// DiscoveryModes are the ways in which a service's endpoints can be known, from the
// best down.
var DiscoveryModes = [...]string{"waiting", "live", "stale", "snapshot", "probing"}

// Services has every scrape ask f for the services there are, so that one which
// the configuration no longer names is gone from the next. f is called from
// several goroutines at once, and returns quickly. A later call replaces f.
func (t *Telemetry) Services(f func() []ServiceState) { t.services.Store(&f) }

// CacheBytes has every scrape ask f for the bytes that the cache holds. f is
// called as that of Services is.
func (t *Telemetry) CacheBytes(f func() int64) { t.cacheBytes.Store(&f) }

// RateLimitKeys has every scrape ask f for the number of clients that rate limits
// remember. f is called as that of Services is.
func (t *Telemetry) RateLimitKeys(f func() int64) { t.rateLimitKeys.Store(&f) }

// Connections has every scrape ask f for the client connections that are open. f
// is called as that of Services is.
func (t *Telemetry) Connections(f func() int) { t.connections.Store(&f) }

// Registered has every scrape ask f whether this instance is in the registry. f is
// called as that of Services is.
func (t *Telemetry) Registered(f func() bool) { t.registered.Store(&f) }

// CertificateExpiry has every scrape ask f when the mesh certificate expires; the zero
// time shows nothing. f is called as that of Services is.
func (t *Telemetry) CertificateExpiry(f func() time.Time) { t.expiry.Store(&f) }

// scrape collects what is asked for and not counted.
type scrape struct {
	t *Telemetry

	endpoints, breakers, panics, budget, mode, age, cacheBytes, rateLimitKeys, connections, registered, expiry *prometheus.Desc
}

func newScrape(t *Telemetry) *scrape {
	of := func(name, help string, names ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, names, nil)
	}
	return &scrape{
		t:             t,
		endpoints:     of("outrider_endpoints", "Endpoints of the service.", "service", "state"),
		breakers:      of("outrider_breakers", "Circuit breakers of the service's endpoints.", "service", "state"),
		panics:        of("outrider_panic", "1 while too few endpoints are healthy for health to count.", "service"),
		budget:        of("outrider_retry_budget_remaining", "Retries that the budget allows now.", "service"),
		mode:          of("outrider_discovery_mode", "1 for the way in which the service's endpoints are known, 0 for the others.", "service", "mode"),
		age:           of("outrider_discovery_age_seconds", "Time since the catalogue last answered for the service.", "service"),
		registered:    of("outrider_registered", "1 while this instance is in the registry."),
		expiry:        of("outrider_certificate_expiry_timestamp_seconds", "When the mesh certificate expires, in Unix time."),
		cacheBytes:    of("outrider_cache_bytes", "Bytes that the cache holds."),
		rateLimitKeys: of("outrider_rate_limit_keys", "Clients that rate limits remember."),
		connections:   of("outrider_client_connections", "Connections of clients that are open."),
	}
}

// Describe implements [prometheus.Collector].
func (s *scrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.endpoints, s.breakers, s.panics, s.budget, s.mode, s.age, s.cacheBytes, s.rateLimitKeys, s.connections, s.registered, s.expiry} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *scrape) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, v float64, values ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, values...)
	}
	if bytes, ok := ask(&s.t.cacheBytes); ok {
		emit(s.cacheBytes, float64(bytes))
	}
	if keys, ok := ask(&s.t.rateLimitKeys); ok {
		emit(s.rateLimitKeys, float64(keys))
	}
	if open, ok := ask(&s.t.connections); ok {
		emit(s.connections, float64(open))
	}
	if registered, ok := ask(&s.t.registered); ok {
		emit(s.registered, number(registered))
	}
	if at, ok := ask(&s.t.expiry); ok && !at.IsZero() {
		emit(s.expiry, unix(at))
	}
	services, _ := ask(&s.t.services)
	for _, service := range unique(services) {
		name := service.Name
		emit(s.endpoints, float64(service.Healthy), name, "healthy")
		emit(s.endpoints, float64(service.Unhealthy), name, "unhealthy")
		emit(s.endpoints, float64(service.Ejected), name, "ejected")
		emit(s.breakers, float64(service.Closed), name, "closed")
		emit(s.breakers, float64(service.HalfOpen), name, "half-open")
		emit(s.breakers, float64(service.Open), name, "open")
		emit(s.panics, number(service.Panic), name)
		if service.RetryBudget >= 0 {
			emit(s.budget, service.RetryBudget, name)
		}
		if service.Mode != "" {
			for _, mode := range DiscoveryModes {
				emit(s.mode, number(service.Mode == mode), name, mode)
			}
			emit(s.age, service.Age.Seconds(), name)
		}
	}
}

// ask returns what the function says, and false where there is none.
func ask[T any](p *atomic.Pointer[func() T]) (answer T, ok bool) {
	f := p.Load()
	if f == nil || *f == nil {
		return answer, false
	}
	return (*f)(), true
}

// unique returns each service once, under a name that is a valid label: one that
// came twice would make the whole scrape inconsistent.
func unique(all []ServiceState) []ServiceState {
	seen := make(map[string]bool, len(all))
	once := make([]ServiceState, 0, len(all))
	for _, service := range all {
		service.Name = label(service.Name)
		if !seen[service.Name] {
			seen[service.Name] = true
			once = append(once, service)
		}
	}
	return once
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
