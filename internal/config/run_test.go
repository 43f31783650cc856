package config_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/internal/config"
)

// guarded is the least that run needs.
const guarded = "service: {name: orders, app: \"127.0.0.1:3003\"}\n"

func loadRun(t *testing.T, text string, environ ...string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Options{File: "s.yml", Mode: config.Run, Environ: environ, ReadFile: file("s.yml", text)})
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

func TestDefaultsOfRun(t *testing.T) {
	c := loadRun(t, guarded)
	for _, tt := range []struct {
		key       string
		got, want any
	}{
		{"mode", c.Mode, config.Run},
		{"service", c.Service, &config.Instance{Name: "orders", App: "127.0.0.1:3003", Weight: 1}},
		{"inbound", c.Inbound, &config.Inbound{Listen: "0.0.0.0:15006", Middleware: []string{}}},
		{"outbound", c.Outbound, &config.Outbound{Listen: "127.0.0.1:15001", Undeclared: "reject"}},
		{"server", c.Server, config.Server{}},
		{"consul", c.Consul, (*config.Consul)(nil)},
		{"identity", c.Identity, config.Identity{Provider: "none", MTLS: "off"}},
		{"warnings", len(c.Warnings()), 0},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.key, tt.got, tt.want)
		}
	}
}

func TestEveryKeyOfRun(t *testing.T) {
	c := loadRun(t, `
service:
  name: orders
  id: orders-1
  app: "[::1]:3003"
  address: 10.0.0.7
  health_check: /health
  tags: [v2, "a:b"]
  meta: {version: "2", team_a: ""}
  weight: 65535
  zone: a
inbound:
  listen: 10.0.0.7:15006
  max_concurrent: 100
  timeout: 3s
outbound: {listen: "[::1]:15001"}
services:
  users: {url: "http://users", listen: "localhost:9101"}
`)
	check := &config.HealthCheck{
		Path: "/health", Interval: 30 * time.Second, Timeout: 2 * time.Second, Healthy: 1, Unhealthy: 3,
		Expect: []config.StatusRange{{From: 200, To: 299}},
	}
	service := &config.Instance{
		Name: "orders", ID: "orders-1", App: "[::1]:3003", Address: "10.0.0.7", HealthCheck: check,
		Tags: []string{"v2", "a:b"}, Meta: map[string]string{"version": "2", "team_a": ""}, Weight: 65535, Zone: "a",
	}
	inbound := &config.Inbound{Listen: "10.0.0.7:15006", Middleware: []string{}, MaxConcurrent: 100, Timeout: 3 * time.Second}
	if !reflect.DeepEqual(c.Service, service) || !reflect.DeepEqual(c.Inbound, inbound) || c.Services["users"].Listen != "localhost:9101" {
		t.Errorf("got %+v, %+v, %+v", c.Service, c.Inbound, c.Services["users"])
	}
	if len(c.Warnings()) != 0 {
		t.Errorf("warnings: %v", config.Problems(c.Warnings()))
	}
}

// Every route of inbound tells in full what acts on it, and starts from the general
// blocks.
func TestInboundRoutes(t *testing.T) {
	c := loadRun(t, guarded+`
auth: {timeout: 7s}
services: {auth-service: {url: "http://auth"}}
rate_limiting: {default: {requests_per_minute: 60}}
inbound:
  middleware: [cors, cache, rate-limit]
  routing:
    - {path: /a, middleware: [auth, rate-limit], auth: {cache_ttl: 1s}, rate_limiting: {default: {burst: 9}}, timeout: 2s}
    - {path: /b, respond: {status: 204}}
    - {path: /c}
`)
	routes := c.Inbound.Routing
	want := [][]string{{"cors", "rate-limit", "auth", "cache"}, {"cors", "rate-limit"}, {"cors", "rate-limit", "cache"}}
	for i, r := range routes {
		if !slices.Equal(r.Middleware, want[i]) {
			t.Errorf("route %d: middleware %v, want %v", i, r.Middleware, want[i])
		}
	}
	if a := routes[0]; a.Auth.Timeout != 7*time.Second || a.Auth.CacheTTL != time.Second || a.RateLimiting.Default.RequestsPerMinute != 60 || a.RateLimiting.Default.Burst != 9 {
		t.Errorf("the route does not start from the general blocks: %+v, %+v", a.Auth, a.RateLimiting.Default)
	}
	if got := c.Inbound.Middleware; !slices.Equal(got, []string{"cors", "rate-limit", "cache"}) {
		t.Errorf("inbound.middleware = %v", got)
	}
}

func TestAutoTellsTheCommand(t *testing.T) {
	for _, tt := range []struct {
		text, variable string
		want           config.Mode
	}{
		{"", "", config.Ingress},
		{"server: {port: 1}", "", config.Ingress},
		{"service:\nconsul: {}", "", config.Ingress},
		{guarded, "", config.Run},
		{"outbound: {}", "OUTRIDER_SERVICE_NAME=a", config.Run},
		{"", "OUTRIDER_SERVICE_APP=a:1", config.Run},
		{"inbound: {}", "", config.Run},
		{"outbound: {}", "", config.Run},
	} {
		o := config.Options{
			File: "s.yml", Mode: config.Auto, ReadFile: file("s.yml", tt.text),
			Environ: []string{"OUTRIDER_ADMIN_LISTEN=127.0.0.1:1", tt.variable},
		}
		c, err := config.Load(o)
		o.Mode = tt.want
		as, errAs := config.Load(o)
		if !reflect.DeepEqual(err, errAs) {
			t.Errorf("%q: got the faults\n%v\nwant those of %s:\n%v", tt.text, err, tt.want, errAs)
		}
		if err == nil && (c.Mode != tt.want || as.Mode != tt.want) {
			t.Errorf("%q: mode %s, want %s", tt.text, c.Mode, tt.want)
		}
	}
	if got := fmt.Sprint(config.Ingress, config.Run, config.Auto); got != "ingress run auto" {
		t.Errorf("the modes are called %s", got)
	}
}

func TestVariablesOfTheOtherCommandAreRefused(t *testing.T) {
	_, err := config.Load(config.Options{Mode: config.Run, Environ: []string{
		"OUTRIDER_SERVICE_NAME=a", "OUTRIDER_SERVICE_APP=127.0.0.1:1", "OUTRIDER_SERVER_PORT=80",
	}})
	if err == nil || err.Error() != "OUTRIDER_SERVER_PORT: server.port: belongs to the command ingress, and this is run" {
		t.Errorf("got %v", err)
	}
}

// What the proxy writes into the registry is not for the file to say.
func TestMetaOfTheProxyIsReserved(t *testing.T) {
	_, err := config.Load(config.Options{File: "s.yml", Mode: config.Run, ReadFile: file("s.yml",
		"service:\n  name: orders\n  app: 127.0.0.1:3003\n  meta:\n    outrider-mtls: strict\n")})
	if want := "s.yml:5: service.meta.outrider-mtls: belongs to the proxy"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestMetaIsBounded(t *testing.T) {
	pairs := func(n int) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "k%d: v, ", i)
		}
		return guarded[:len(guarded)-2] + ", meta: {" + text.String() + "}}\n"
	}
	key, value := strings.Repeat("k", 128), strings.Repeat("v", 512)
	one := func(key, value string) string {
		return guarded[:len(guarded)-2] + fmt.Sprintf(", meta: {%s: %s}}\n", key, value)
	}
	for _, good := range []string{pairs(64), one(key, value)} {
		loadRun(t, good)
	}
	for _, tt := range []struct{ text, want string }{
		{pairs(65), "s.yml:1: service.meta: has 65 pairs: Consul keeps 64"},
		{one(key+"k", value), "want letters, digits, - and _, at most 128"},
		{one(key, value+"v"), "want text of at most 512 bytes"},
	} {
		_, err := config.Load(config.Options{File: "s.yml", Mode: config.Run, ReadFile: file("s.yml", tt.text)})
		faults, _ := errors.AsType[config.Problems](err)
		contains(t, faults, tt.want)
	}
}

func TestIdentityFromFiles(t *testing.T) {
	const cert, key = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
	files := map[string]string{
		"s.yml":    guarded + "identity: {provider: files, mtls: strict, cert_file: cert.pem, key_file: key.pem, ca_file: ca.pem}\n",
		"g.yml":    "identity: {provider: files, mtls: off, cert_file: cert.pem, key_file: key.pem, ca_file: ca.pem}\n",
		"cert.pem": cert, "key.pem": "some words\n" + key, "ca.pem": cert,
	}
	c, err := config.Load(config.Options{File: "s.yml", Mode: config.Run, ReadFile: several(files)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Files(), []string{"ca.pem", "cert.pem", "key.pem", "s.yml"}; !slices.Equal(got, want) {
		t.Errorf("Files = %v, want %v: a renewed certificate would not be seen", got, want)
	}
	if len(c.Warnings()) != 0 {
		t.Errorf("warnings: %v", config.Problems(c.Warnings()))
	}
	c, err = config.Load(config.Options{File: "g.yml", ReadFile: several(files)})
	if err != nil {
		t.Fatal(err)
	}
	contains(t, c.Warnings(), "g.yml:1: identity.mtls: is off: the certificate is used for nothing")
	files["key.pem"] = cert
	_, err = config.Load(config.Options{File: "s.yml", Mode: config.Run, ReadFile: several(files)})
	if err == nil || err.Error() != "s.yml:2: identity.key_file: key.pem holds no PRIVATE KEY in PEM form: want the certificate's key" {
		t.Errorf("got %v", err)
	}
}

// The client reads it at each request, so that a reload has nothing to do.
func TestTheTokenFileIsNotWatched(t *testing.T) {
	files := map[string]string{"g.yml": "consul: {token_file: t}\nadmin: {token_file: a}\n", "t": "x", "a": "y"}
	c, err := config.Load(config.Options{File: "g.yml", ReadFile: several(files)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Files(), []string{"a", "g.yml"}; !slices.Equal(got, want) {
		t.Errorf("Files = %v, want %v", got, want)
	}
}
