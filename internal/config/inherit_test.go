package config_test

import (
	"reflect"
	"testing"
	"time"

	"outrider/internal/config"
)

// Blocks of a route start from those above and change what they name.
func TestRoutesInherit(t *testing.T) {
	c := load(t, `
services:
  a:
    url: http://a
    retries: {attempts: 5, base: 10ms}
    circuit_breaker: {failure_threshold: 9}
  b: {url: "http://b"}
auth: {validate_url: "http://b/v", timeout: 7s}
rate_limiting:
  default: {requests_per_minute: 60, burst: 6}
  paths: {/x: {requests_per_minute: 1}}
circuit_breaker: {success_threshold: 8}
cache: {ttl: 5}
transform: {version: "1", request: {set: {X-A: a}, remove: [X-B]}}
cors: {allow_origins: ["https://a.example"]}
routing:
  - path: /a
    service: a
    timeout: 2s
    middleware: [circuit-breaker, cache, transform, auth, rate-limit, cors]
    retries: {max: 1s}
    auth: {headers: {sub: X-Sub}}
    rate_limiting: {default: {burst: 9}}
    circuit_breaker: {recovery_timeout: 1s}
    cache: {max_body: 1KiB}
    transform: {request: {set: {X-C: c}}}
    cors: {max_age: 1m}
  - path: /b
    service: b
    retries: 1
  - {path: /c, service: b}
`)
	a := c.Routing[0]
	tests := []struct {
		key       string
		got, want any
	}{
		{"timeout", *a.Timeout, 2 * time.Second},
		{"retries.attempts", a.Retries.Attempts, 5},
		{"retries.base", a.Retries.Base, 10 * time.Millisecond},
		{"retries.max", a.Retries.Max, time.Second},
		{"auth.validate_url", a.Auth.ValidateURL, "http://b/v"},
		{"auth.timeout", a.Auth.Timeout, 7 * time.Second},
		{"auth.headers", a.Auth.Headers, map[string]string{"sub": "X-Sub"}},
		{"rate_limiting.default", *a.RateLimiting.Default, config.Rate{RequestsPerMinute: 60, Burst: 9, Line: 23}},
		{"rate_limiting.paths", len(a.RateLimiting.Paths), 0},
		{"circuit_breaker", *a.CircuitBreaker, config.Breaker{FailureThreshold: 9, RecoveryTimeout: time.Second, SuccessThreshold: 8}},
		{"cache", *a.Cache, config.Cache{TTL: config.Seconds(5 * time.Second), MaxBytes: 64 << 20, MaxBody: 1024, Store: "memory"}},
		{"transform.version", a.Transform.Version, "1"},
		{"transform.request.set", a.Transform.Request.Set, map[string]string{"X-C": "c"}},
		{"transform.request.remove", a.Transform.Request.Remove, []string{"X-B"}},
		{"cors.allow_origins", a.CORS.AllowOrigins, []string{"https://a.example"}},
		{"cors.max_age", a.CORS.MaxAge, config.Seconds(time.Minute)},
		{"middleware", a.Middleware, config.Middlewares()},
		{"the second route's retries", c.Routing[1].Retries.Base, 25 * time.Millisecond},
		{"the second route's attempts", c.Routing[1].Retries.Attempts, 1},
		{"no override", c.Routing[2].Retries, (*config.Retries)(nil)},
		{"the default above", *c.RateLimiting.Default, config.Rate{RequestsPerMinute: 60, Burst: 6, Line: 10}},
		{"the headers above", c.Auth.Headers, map[string]string{"id": "X-User-Id", "role": "X-User-Role"}},
		{"the edits above", c.Transform.Request.Set, map[string]string{"X-A": "a"}},
	}
	for _, tt := range tests {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.key, tt.got, tt.want)
		}
	}
	if !a.Lists(config.MiddlewareCache) || c.Routing[1].Lists(config.MiddlewareCache) {
		t.Error("Lists tells what is not so")
	}
}
