package app

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
	"outrider/internal/telemetry"
	"outrider/outbound/balance"
)

func TestStateOf(t *testing.T) {
	later := time.Now().Add(time.Hour)
	tests := []struct {
		name string
		of   balance.EndpointStatus
		want string
	}{
		{"healthy", balance.EndpointStatus{}, "healthy"},
		{"ejected", balance.EndpointStatus{EjectedUntil: later}, "ejected"},
		{"unhealthy", balance.EndpointStatus{Endpoint: mesh.Endpoint{Unhealthy: true}}, "unhealthy"},
		{"both: what a check says lasts longer", balance.EndpointStatus{Endpoint: mesh.Endpoint{Unhealthy: true}, EjectedUntil: later}, "unhealthy"},
	}
	for _, tt := range tests {
		if got := stateOf(tt.of); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A mode that a scrape does not know would be shown as none.
func TestEveryModeHasItsPlaceInAScrape(t *testing.T) {
	for _, mode := range []discovery.Mode{discovery.Waiting, discovery.Live, discovery.Stale, discovery.Snapshot, discovery.Probing} {
		if !slices.Contains(telemetry.DiscoveryModes[:], mode.String()) {
			t.Errorf("%s is none of %v", mode, telemetry.DiscoveryModes)
		}
	}
}

func TestWorst(t *testing.T) {
	tests := []struct {
		name string
		of   []balance.State
		want balance.State
	}{
		{"none", nil, balance.Closed},
		{"closed", []balance.State{balance.Closed}, balance.Closed},
		{"one on trial", []balance.State{balance.Closed, balance.HalfOpen}, balance.HalfOpen},
		{"one open", []balance.State{balance.Open, balance.HalfOpen, balance.Closed}, balance.Open},
	}
	for _, tt := range tests {
		var status balance.EndpointStatus
		for _, s := range tt.of {
			status.Breakers = append(status.Breakers, balance.BreakerStatus{State: s})
		}
		if got := worst(status); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// sick fails all requests, health checks apart.
func sick(t *testing.T) *httptest.Server {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

// state returns what a scrape would show of a service.
func (g *gateway) state(name string) telemetry.ServiceState {
	g.t.Helper()
	for _, s := range g.serviceStates() {
		if s.Name == name {
			return s
		}
	}
	g.t.Fatalf("there is no service %s", name)
	return telemetry.ServiceState{}
}

// What happens to endpoints is seen in a scrape and on the admin port alike.
func TestServicesAreShown(t *testing.T) {
	well, broken := origin(t, "well"), sick(t)
	absent := serve(t, http.NotFound) // by its health check
	g := start(t, `
services:
  mixed:
    instances: [{url: `+well.URL+`, weight: 3}, {url: `+absent.URL+`}]
    health_check: {path: /health, interval: 1ms, unhealthy: 1}
    load_balancing: {panic_threshold: 0}
  broken:
    url: `+broken.URL+`
    circuit_breaker: {failure_threshold: 1, recovery_timeout: 1h}
    retries: 0
  none: {url: http://nowhere.test}
routing: [{path: /mixed, service: mixed}, {path: /broken, service: broken}, {path: /none, service: none}]
`, func(o *Options) { o.Lookup = names(nil) })

	eventually(t, "the absent endpoint is unhealthy", func() bool { return g.state("mixed").Unhealthy == 1 })
	if s := g.state("mixed"); s.Healthy != 1 || s.Ejected != 0 || s.Open+s.HalfOpen+s.Closed != 0 || s.Panic {
		t.Errorf("mixed is shown as %+v", s)
	}
	if s := g.state("broken"); s.Healthy != 1 || s.Closed != 1 {
		t.Errorf("broken is shown as %+v before it fails", s)
	}
	g.want("/mixed", http.StatusOK)
	g.want("/broken", http.StatusInternalServerError)
	g.want("/broken", http.StatusServiceUnavailable)
	if s := g.state("broken"); s.Open != 1 || s.Closed != 0 {
		t.Errorf("broken is shown as %+v after it has failed", s)
	}

	all := g.adminServices()
	if len(all) != 3 || all[0].Name != "broken" || all[1].Name != "mixed" || all[2].Name != "none" {
		t.Fatalf("the admin port shows %+v", all)
	}
	if e := all[0].Endpoints[0]; e.Breaker != "open" || e.Failures != 1 || e.State != "healthy" || "http://"+e.Address != broken.URL {
		t.Errorf("the broken endpoint is shown as %+v", e)
	}
	if e := all[1].Endpoints[0]; e.Breaker != "" || e.Successes != 1 || e.Weight != 3 || e.LatencyMS <= 0 || e.InFlight != 0 {
		t.Errorf("the healthy endpoint is shown as %+v", e)
	}
	if e := all[1].Endpoints[1]; e.State != "unhealthy" || !strings.Contains(e.Note, "404") || e.Weight != 1 {
		t.Errorf("the unhealthy endpoint is shown as %+v", e)
	}
	if s := all[2]; !s.Ready || len(s.Endpoints) != 0 || !strings.Contains(s.Error, "no such host") {
		t.Errorf("the service that cannot be resolved is shown as %+v", s)
	}
}

func TestEjectionAndPanicAreShown(t *testing.T) {
	one, other := sick(t), sick(t)
	g := start(t, `
services:
  broken:
    instances: [{url: `+one.URL+`}, {url: `+other.URL+`}]
    retries: 0
    load_balancing: round_robin
    outlier: {consecutive_failures: 1, base_ejection: 1h, max_ejected_percent: 50}
  lost:
    url: `+one.URL+`
    health_check: {path: /gone, interval: 1ms, unhealthy: 1}
routing: [{path: /broken, service: broken}, {path: /lost, service: lost}]
`)
	g.want("/broken", http.StatusInternalServerError)
	if s := g.state("broken"); s.Ejected != 1 || s.Healthy != 1 {
		t.Errorf("broken is shown as %+v", s)
	}
	eventually(t, "the only endpoint is unhealthy", func() bool { return g.state("lost").Unhealthy == 1 })
	g.want("/lost", http.StatusInternalServerError) // it is asked nevertheless
	if !g.state("lost").Panic {
		t.Error("that health is disregarded is not shown")
	}
}

// A breaker that the configuration no longer has is not shown: nothing would ever
// close it.
func TestBreakersOfFormerConfigurationsAreGone(t *testing.T) {
	broken := sick(t)
	yaml := func(threshold string) string {
		return `
services: {broken: {url: ` + broken.URL + `, retries: 0}}
routing: [{path: /broken, service: broken, middleware: [circuit-breaker]}]
circuit_breaker: {failure_threshold: ` + threshold + `, recovery_timeout: 1h}
`
	}
	g := start(t, yaml("1"))
	g.want("/broken", http.StatusInternalServerError)
	g.want("/broken", http.StatusServiceUnavailable)
	if err := g.reload(yaml("100")); err != nil {
		t.Fatal(err)
	}
	g.want("/broken", http.StatusInternalServerError)
	if s := g.state("broken"); s.Open != 0 || s.Closed != 1 {
		t.Errorf("broken is shown as %+v, want one closed breaker", s)
	}
}

// What a client leaves behind is counted over all limiters and caches.
func TestSumsForAScrape(t *testing.T) {
	g := start(t, `
services: {users: {url: `+origin(t, "users").URL+`}}
routing: [{path: /users/**, service: users, middleware: [rate-limit, cache]}]
rate_limiting:
  default: {requests_per_minute: 60}
  paths: {/users/**: {requests_per_minute: 60}}
`)
	if keys, bytes := g.limiterKeys(), g.cacheBytes(); keys != 0 || bytes != 0 {
		t.Errorf("%d clients and %d bytes before the first request", keys, bytes)
	}
	g.want("/users/7", http.StatusOK)
	if keys := g.limiterKeys(); keys != 2 {
		t.Errorf("%d clients are remembered, want one by each limiter", keys)
	}
	eventually(t, "the answer is kept", func() bool { return g.cacheBytes() > 0 })
}
