package config_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"outrider/internal/config"
)

func TestForms(t *testing.T) {
	const service = "services: {a: {url: \"http://a\", %s}}\nrouting: [{path: /a, service: a}]\n"
	a := func(c *config.Config) *config.Service { return c.Services["a"] }
	tests := []struct {
		text string
		of   func(*config.Config) any
		want any
	}{
		{"timeout: 1500", func(c *config.Config) any { return a(c).Timeout }, 1500 * time.Millisecond},
		{"timeout: 0", func(c *config.Config) any { return a(c).Timeout }, time.Duration(0)},
		{"timeout: 1m30s", func(c *config.Config) any { return a(c).Timeout }, 90 * time.Second},
		{"timeout: '30s'", func(c *config.Config) any { return a(c).Timeout }, 30 * time.Second},
		{"retries: 0", func(c *config.Config) any { return a(c).Retries.Attempts }, 0},
		{"retries: {attempts: 4}", func(c *config.Config) any { return a(c).Retries.Attempts }, 4},
		{"retries: {on: [429]}", func(c *config.Config) any { return a(c).Retries.On }, []string{"429"}},
		{"retries: {on: []}", func(c *config.Config) any { return a(c).Retries.On }, []string{}},
		{"retries: {budget: {min: 9}}", func(c *config.Config) any { return a(c).Retries.Budget }, config.RetryBudget{Percent: 20, Min: 9}},
		{"load_balancing: weighted", func(c *config.Config) any { return a(c).LoadBalancing.Policy }, "weighted"},
		{"load_balancing: {panic_threshold: 0}", func(c *config.Config) any { return a(c).LoadBalancing }, config.LoadBalancing{Policy: "p2c", ZoneFirst: true}},
		{"load_balancing: ring_hash", func(c *config.Config) any { return a(c).LoadBalancing }, config.LoadBalancing{Policy: "ring_hash", HashOn: "client_ip", PanicThreshold: 50, ZoneFirst: true}},
		{"load_balancing: {policy: ring_hash, hash_on: 'header:X-A'}", func(c *config.Config) any { return a(c).LoadBalancing.HashOn }, "header:X-A"},
		{"load_balancing: {slow_start: 10s, zone_first: false}", func(c *config.Config) any { return a(c).LoadBalancing }, config.LoadBalancing{Policy: "p2c", SlowStart: 10 * time.Second, PanicThreshold: 50}},
		{"outlier: false", func(c *config.Config) any { return a(c).Outlier }, (*config.Outlier)(nil)},
		{"outlier: {max_ejected_percent: 10}", func(c *config.Config) any { return *a(c).Outlier }, config.Outlier{ConsecutiveFailures: 5, BaseEjection: 30 * time.Second, MaxEjectedPercent: 10}},
		{"health_check: {path: /h, expect: '200-204,301'}", func(c *config.Config) any { return a(c).HealthCheck.Expect }, []config.StatusRange{{From: 200, To: 204}, {From: 301, To: 301}}},
		{"health_check: {path: /h, expect: [200]}", func(c *config.Config) any { return a(c).HealthCheck.Expect }, []config.StatusRange{{From: 200, To: 200}}},
		{"circuit_breaker: {failure_threshold: 9}", func(c *config.Config) any { return *a(c).CircuitBreaker }, config.Breaker{FailureThreshold: 9, RecoveryTimeout: 30 * time.Second, SuccessThreshold: 3}},
	}
	for _, tt := range tests {
		if got := tt.of(load(t, fmt.Sprintf(service, tt.text))); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.text, got, tt.want)
		}
	}
	for text, want := range map[string]time.Duration{"600": 10 * time.Minute, "90s": 90 * time.Second, "0": 0} {
		if got := load(t, "cors: {max_age: "+text+"}").CORS.MaxAge; got != config.Seconds(want) {
			t.Errorf("cors.max_age: %s: got %v, want %v", text, got, want)
		}
	}
	c := load(t, `
cache: {ttl: 60, max_bytes: 1GiB, max_body: 64KB}
limits: {header_bytes: 65536, uri_bytes: 8 KiB}
trusted_proxies: [10.1.2.3/8, 192.0.2.1, "2001:db8::1"]
`)
	prefixes := []string{}
	for _, p := range c.TrustedProxies {
		prefixes = append(prefixes, p.String())
	}
	if want := []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128"}; !slices.Equal(prefixes, want) {
		t.Errorf("trusted_proxies = %v, want %v", prefixes, want)
	}
	if want := (config.Cache{TTL: config.Seconds(time.Minute), MaxBytes: 1 << 30, MaxBody: 64000, Store: "memory"}); c.Cache != want {
		t.Errorf("cache = %+v, want %+v", c.Cache, want)
	}
	if c.Limits.HeaderBytes != 65536 || c.Limits.URIBytes != 8192 {
		t.Errorf("limits = %+v, want 65536 and 8192 bytes", c.Limits)
	}
}

// Keys of the user's survive as they are written.
func TestUserKeysKeepTheirSpelling(t *testing.T) {
	c := load(t, `
services: {My.Service_1: {url: "http://a"}}
routing:
  - path: /api/v1.0/Login
    service: My.Service_1
    headers: {X-Version: 1.10, X-Plan: {regex: "gold|silver"}}
    query: {Beta: "true"}
rate_limiting: {paths: {/api/v1.0/Login: {requests_per_minute: 10}}}
`)
	if _, ok := c.RateLimiting.Paths["/api/v1.0/Login"]; !ok {
		t.Errorf("paths = %v", c.RateLimiting.Paths)
	}
	if got, want := c.Routing[0].Headers, (map[string]config.Match{"X-Version": {Exact: "1.10"}, "X-Plan": {Regex: "gold|silver"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("headers = %v, want %v", got, want)
	}
	if got := c.Routing[0].Query["Beta"]; got.Exact != "true" {
		t.Errorf("query = %v", c.Routing[0].Query)
	}
	if c.Services["My.Service_1"].Name != "My.Service_1" {
		t.Errorf("services = %v", c.Services)
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	c := load(t, `
services:
  a: &base
    url: http://a
    timeout: 1s
    retries: 5
  b: {<<: *base, url: "http://b"}
  c:
    <<: [{timeout: 9s}, *base]
    url: http://c
routing:
  - {path: /a, service: a, middleware: &list [cors, auth]}
  - {path: /b, service: b, middleware: *list}
auth: {validate_url: "http://a/validate"}
`)
	b, third := c.Services["b"], c.Services["c"]
	if b.URL != "http://b" || b.Timeout != time.Second || b.Retries.Attempts != 5 || b.Name != "b" {
		t.Errorf("b = %+v", b)
	}
	if third.Timeout != 9*time.Second || third.Retries.Attempts != 5 {
		t.Errorf("c = %+v: the first of a merged list counts", third)
	}
	if !slices.Equal(c.Routing[1].Middleware, []string{"cors", "auth"}) {
		t.Errorf("middleware = %v", c.Routing[1].Middleware)
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		variable string
		good     []string
		bad      []string
	}{
		{
			"OUTRIDER_PROBE_LISTEN",
			[]string{":0", "127.0.0.1:80", "[::1]:80", "localhost:1", "my_host:65535"},
			[]string{"80", ":", "::1:80", "[::1]", "[127.0.0.1]:80", "a b:80", ":65536", ":-1", ":080", "1.2.3:80", "[::1]80", "http://a:80"},
		},
		{
			"OUTRIDER_SERVER_HOST",
			[]string{"0.0.0.0", "::", "::1", "gateway", "a.b."},
			[]string{"[::1]", "a:80", "1.2.3.4.5", "-a", "a..b", "*"},
		},
		{
			"OUTRIDER_AUTH_VALIDATE_URL",
			[]string{"http://a/validate", "https://a:8443/v?x=1", "http://[::1]:80/v"},
			[]string{"a/validate", "//a/v", "http:a", "http:///v", "h2c://a/v", "http://u@a/v", "http://a/v#f", "http://a:0/v", "http://a:/v"},
		},
	}
	for _, tt := range tests {
		for _, text := range tt.good {
			load(t, "", tt.variable+"="+text)
		}
		for _, text := range tt.bad {
			contains(t, refused(t, "", tt.variable+"="+text), tt.variable+": ")
		}
	}
}
