package telemetry

import (
	"sync/atomic"

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

	// RetryBudget is how many retries are allowed now. Negative: there is no
	// budget, and none is shown.
	RetryBudget float64
}

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

// scrape collects what is asked for and not counted.
type scrape struct {
	t *Telemetry

	endpoints, breakers, panics, budget, cacheBytes, rateLimitKeys, connections *prometheus.Desc
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
		cacheBytes:    of("outrider_cache_bytes", "Bytes that the cache holds."),
		rateLimitKeys: of("outrider_rate_limit_keys", "Clients that rate limits remember."),
		connections:   of("outrider_client_connections", "Connections of clients that are open."),
	}
}

// Describe implements [prometheus.Collector].
func (s *scrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.endpoints, s.breakers, s.panics, s.budget, s.cacheBytes, s.rateLimitKeys, s.connections} {
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
