package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"outrider/internal/mesh"
)

const (
	reloadOK      = "ok"
	reloadRefused = "refused"
)

// Active returns the layer that counts the exchanges with service in progress, in
// gateway_active_connections.
//
// It stands below whatever may answer in the service's place, such as a cache:
// what never reaches the service is not in progress with it. A request without a
// Call passes uncounted.
func (t *Telemetry) Active(service string) mesh.Layer {
	gauge := t.active.get(labels{service})
	done := func(mesh.Result) { gauge.Dec() }
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if call := mesh.From(req); call != nil {
				gauge.Inc()
				call.OnEnd(done)
			}
			return next.RoundTrip(req)
		})
	}
}

// Fault counts a fault. The Requests layer counts those of its own stack; this is
// for requests that are refused before they reach one.
func (t *Telemetry) Fault(direction string, kind mesh.Kind) {
	t.faults.get(labels{direction, kind.Code()}).Inc()
}

// Retry counts one more attempt. reason is why the attempt before was given up:
// connect, reset or a status, from a fixed set.
func (t *Telemetry) Retry(service, reason string) {
	t.retries.get(labels{service, reason}).Inc()
}

// RetryBudgetExhausted counts a retry that was due and not made.
func (t *Telemetry) RetryBudgetExhausted(service string) {
	t.exhausted.get(labels{service}).Inc()
}

// BreakerTransition counts a change of one endpoint's breaker. The states are
// closed, half-open and open.
func (t *Telemetry) BreakerTransition(service, from, to string) {
	t.transitions.get(labels{service, from, to}).Inc()
}

// Ejection counts an endpoint that was ejected as an outlier.
func (t *Telemetry) Ejection(service string) {
	t.ejections.get(labels{service}).Inc()
}

// HealthChange counts an endpoint that became healthy or unhealthy.
func (t *Telemetry) HealthChange(service, to string) {
	t.health.get(labels{service, to}).Inc()
}

// AuthCheck counts a token that was checked. result is from a fixed set; cached
// says that no request to the authentication service was needed.
func (t *Telemetry) AuthCheck(result string, cached bool) {
	t.auth.get(labels{result, strconv.FormatBool(cached)}).Inc()
}

// CacheRequest counts a request that met the cache. result is from a fixed set,
// such as hit, miss and bypass.
func (t *Telemetry) CacheRequest(result string) {
	t.cache.get(labels{result}).Inc()
}

// Reload counts a reload of the configuration: ok, or refused and the old one
// stays.
func (t *Telemetry) Reload(ok bool) {
	if !ok {
		t.reloads.get(labels{reloadRefused}).Inc()
		return
	}
	t.reloads.get(labels{reloadOK}).Inc()
	t.reloaded.Set(unix(time.Now()))
}
