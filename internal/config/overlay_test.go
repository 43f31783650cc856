package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"outrider/internal/config"
)

func TestEnvironmentAndFlagsOverride(t *testing.T) {
	flags := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	flags.String("logging-level", "error", "")
	flags.String("admin-listen", "127.0.0.1:9", "")
	flags.StringSlice("cors-allow-methods", nil, "")
	flags.String("config", "", "")
	if err := flags.Parse([]string{"--logging-level=debug", "--cors-allow-methods=GET,PUT", "--config=x"}); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Options{
		File:  "g.yml",
		Flags: flags,
		Environ: []string{
			"OUTRIDER_SERVER_PORT=1", "OUTRIDER_SERVER_PORT=9090", "OUTRIDER_LOGGING_LEVEL=warn", "OUTRIDER_LOGGING_ACCESS=false", "OUTRIDER_LOGGING_ACCESS_FORMAT=common", "OUTRIDER_LOGGING_ACCESS_SAMPLE=0.5",
			"OUTRIDER_TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.1", "OUTRIDER_CACHE_TTL=5", "OUTRIDER_LIMITS_HEADER_BYTES=32KiB",
			"OUTRIDER_RATE_LIMITING_DEFAULT_REQUESTS_PER_MINUTE=30", "OUTRIDER_CIRCUIT_BREAKER_FAILURE_THRESHOLD=7",
			"OUTRIDER_SHUTDOWN_GRACE=", "NOT_A_PAIR",
		},
		ReadFile: file("g.yml", `
server: {port: 8081, host: 127.0.0.1}
logging: {level: error}
shutdown: {grace: 7s}
services: {a: {url: "http://a", circuit_breaker: {success_threshold: 2}}}
routing: [{path: /a, service: a, middleware: [rate-limit]}]
`),
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		key       string
		got, want any
	}{
		{"the last of a variable", c.Server.Port, 9090},
		{"the file, where nothing overrides it", c.Server.Host, "127.0.0.1"},
		{"a flag over a variable", c.Logging.Level, "debug"},
		{"a flag that was not set", c.Admin.Listen, "127.0.0.1:15000"},
		{"false", c.Logging.Access.On, false},
		{"a word of a block with a short form", c.Logging.Access.Format, "common"},
		{"a number", c.Logging.Access.Sample, 0.5},
		{"a list", len(c.TrustedProxies), 2},
		{"its second member", c.TrustedProxies[1].String(), "192.0.2.1/32"},
		{"a list by flag", strings.Join(c.CORS.AllowMethods, " "), "GET PUT"},
		{"seconds", time.Duration(c.Cache.TTL), 5 * time.Second},
		{"a size", c.Limits.HeaderBytes, config.Size(32 << 10)},
		{"a block that was not there", c.RateLimiting.Default.RequestsPerMinute, 30},
		{"what a service starts from", *c.Services["a"].CircuitBreaker, config.Breaker{FailureThreshold: 7, RecoveryTimeout: 30 * time.Second, SuccessThreshold: 2}},
		{"an empty variable", c.Shutdown.Grace, 7 * time.Second},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.key, tt.got, tt.want)
		}
	}
}

func TestBadOverridesAreNamed(t *testing.T) {
	flags := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	flags.String("logging-level", "", "")
	if err := flags.Parse([]string{"--logging-level=loud"}); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(config.Options{Flags: flags, Environ: []string{
		"OUTRIDER_SERVER_PORT=http",
		"OUTRIDER_TRUSTED_PROXIES=10.0.0.0/8,nowhere",
		"OUTRIDER_SERVICE_NAME=orders",
		"OUTRIDER_CONSUL_TOKEN=hunter2",
		"OUTRIDER_CONSUL_SCHEME=tcp",
		"OUTRIDER_REDIS_URL=redis://:hunter2@redis",
		"OUTRIDER_ADMIN_TOKEN_FILE=/no/such/token",
		"OUTRIDER_AUTH_VALIDATE_URL=ftp://user:hunter2@host",
	}})
	faults, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("error %v, want Problems", err)
	}
	for _, want := range []string{
		`OUTRIDER_SERVER_PORT: server.port: want a whole number from 0 to 65535, found "http"`,
		`OUTRIDER_TRUSTED_PROXIES: trusted_proxies: want an address or a network such as 10.0.0.0/8, found "nowhere"`,
		`--logging-level: logging.level: want one of debug, info, warn, error, found "loud"`,
		`OUTRIDER_REDIS_URL: redis.url: Redis is not supported yet`,
		`OUTRIDER_ADMIN_TOKEN_FILE: admin.token_file: /no/such/token cannot be read: no such file or directory`,
		`OUTRIDER_AUTH_VALIDATE_URL: auth.validate_url: want a URL of http or https`,
		`OUTRIDER_SERVICE_NAME: service.name: belongs to the command run, and this is ingress`,
		`OUTRIDER_CONSUL_SCHEME: consul.scheme: want one of http, https, found "tcp"`,
	} {
		contains(t, faults, want)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password is shown:\n%v", err)
	}
}

func TestVariablesThatDoNothingAreWarnedOf(t *testing.T) {
	c := load(t, "routing: []", "OUTRIDER_SEVER_PORT=1", "OUTRIDER_QQQQQQQQQQQQQQQQQQ=1", "REDIS_URL=redis://:hunter2@redis:6379",
		"CONSUL_HTTP_TOKEN=without-an-address", "NODE_ENV=production")
	for _, want := range []string{
		"OUTRIDER_SEVER_PORT: no setting has this name, did you mean OUTRIDER_SERVER_PORT?",
		"OUTRIDER_QQQQQQQQQQQQQQQQQQ: no setting has this name",
		"REDIS_URL: is set, but nothing uses it: Redis is not supported yet",
	} {
		contains(t, c.Warnings(), want)
	}
	if n := len(c.Warnings()); n != 4 { // these three, and that there are no routes
		t.Errorf("%d warnings, want 4: %v", n, config.Problems(c.Warnings()))
	}
	if c.Redis.URL != "redis://:hunter2@redis:6379" {
		t.Errorf("redis.url = %q, want that of REDIS_URL", c.Redis.URL)
	}
	if shown := c.Redacted().String(); strings.Contains(shown, "hunter2") {
		t.Errorf("a password is shown:\n%s", shown)
	}
}

func TestEveryFixedKeyHasAVariableOfItsOwn(t *testing.T) {
	names := config.Variables()
	for _, want := range []string{"OUTRIDER_SERVER_PORT", "OUTRIDER_ADMIN_LISTEN", "OUTRIDER_TRUSTED_PROXIES", "OUTRIDER_SERVER_TLS_MIN_VERSION", "OUTRIDER_CONSUL_TLS_CA_FILE"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no %s", want)
		}
	}
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("two keys share a variable: %v", names)
	}
}
