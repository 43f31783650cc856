package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/internal/config"
)

// file serves text as the file that the options name, and nothing else.
func file(name, text string) func(string) ([]byte, error) {
	return func(asked string) ([]byte, error) {
		if asked != name {
			return nil, &fs.PathError{Op: "open", Path: asked, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
}

func load(t *testing.T, text string, environ ...string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Options{File: "g.yml", Environ: environ, ReadFile: file("g.yml", text)})
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

// refused returns the faults of text.
func refused(t *testing.T, text string, environ ...string) config.Problems {
	t.Helper()
	_, err := config.Load(config.Options{File: "g.yml", Environ: environ, ReadFile: file("g.yml", text)})
	faults, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("error %v, want Problems of:\n%s", err, text)
	}
	return faults
}

func contains(t *testing.T, got []config.Problem, want string) {
	t.Helper()
	for _, p := range got {
		if strings.Contains(p.String(), want) {
			return
		}
	}
	t.Errorf("no problem says %q; there are:\n%v", want, config.Problems(got))
}

// Every key of the user's own file, and what it does to the configuration.
func TestTheUsersFile(t *testing.T) {
	c, err := config.Load(config.Options{File: "../../examples/gateway.yml"})
	if err != nil {
		t.Fatal(err)
	}
	auth, users, orders := c.Services["auth-service"], c.Services["user-service"], c.Services["order-service"]
	login := c.RateLimiting.Paths["/api/auth/login"]
	tests := []struct {
		key       string
		got, want any
	}{
		{"server.port", c.Server.Port, 8080},
		{"server.host", c.Server.Host, "0.0.0.0"},
		{"services", len(c.Services), 3},
		{"services.auth-service.url", auth.URL, "http://auth-service:3001"},
		{"services.auth-service.health_check", auth.HealthCheck.Path, "/health"},
		{"services.auth-service.timeout", auth.Timeout, 5 * time.Second},
		{"services.auth-service.retries", auth.Retries.Attempts, 3},
		{"services.user-service.url", users.URL, "http://user-service:3002"},
		{"services.user-service.health_check", users.HealthCheck.Path, "/health"},
		{"services.user-service.timeout", users.Timeout, 3 * time.Second},
		{"services.order-service.url", orders.URL, "http://order-service:3003"},
		{"services.order-service.health_check", orders.HealthCheck.Path, "/health"},
		{"services.order-service.timeout", orders.Timeout, 10 * time.Second},
		{"routing", len(c.Routing), 3},
		{"routing[0].path", c.Routing[0].Path, "/api/auth/**"},
		{"routing[0].service", c.Routing[0].Service, "auth-service"},
		{"routing[0].strip_path", c.Routing[0].StripPath, false},
		{"routing[0].middleware", len(c.Routing[0].Middleware), 0},
		{"routing[1].path", c.Routing[1].Path, "/api/users/**"},
		{"routing[1].service", c.Routing[1].Service, "user-service"},
		{"routing[1].middleware", c.Routing[1].Middleware, []string{"rate-limit", "auth"}},
		{"routing[2].path", c.Routing[2].Path, "/api/orders/**"},
		{"routing[2].service", c.Routing[2].Service, "order-service"},
		{"routing[2].middleware", c.Routing[2].Middleware, []string{"rate-limit", "auth", "circuit-breaker"}},
		{"rate_limiting.default.requests_per_minute", c.RateLimiting.Default.RequestsPerMinute, 1000},
		{"rate_limiting.default.burst", c.RateLimiting.Default.Burst, 50},
		{"rate_limiting.paths", len(c.RateLimiting.Paths), 1},
		{"rate_limiting.paths./api/auth/login.requests_per_minute", login.RequestsPerMinute, 10},
		{"rate_limiting.paths./api/auth/login.burst", login.Burst, 2},
		{"circuit_breaker.failure_threshold", c.CircuitBreaker.FailureThreshold, 5},
		{"circuit_breaker.recovery_timeout", c.CircuitBreaker.RecoveryTimeout, 30 * time.Second},
		{"circuit_breaker.success_threshold", c.CircuitBreaker.SuccessThreshold, 3},
		{"the line of a service", users.Line, 12},
		{"the line of a route", c.Routing[2].Line, 31},
		{"the line of a rate", login.Line, 40},
	}
	for _, tt := range tests {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.key, tt.got, tt.want)
		}
	}
	for _, w := range c.Warnings() {
		if !strings.Contains(w.Message, "acts in the order") {
			t.Errorf("warning: %v", w)
		}
	}
}

// What a service and a route are when the file says next to nothing.
func TestDefaultsOfBlocks(t *testing.T) {
	c := load(t, `
services:
  a: {url: "http://a", health_check: /h}
  b: {instances: [{url: "http://b"}]}
routing:
  - {path: /a, service: a}
  - {path: /b, split: [{service: b}]}
  - {path: /c, redirect: {path: /a}}
  - {path: /d, respond: {}}
`)
	want := config.DefaultService()
	want.Name, want.Line, want.URL = "a", 3, "http://a"
	want.HealthCheck = &config.HealthCheck{
		Path: "/h", Interval: 30 * time.Second, Timeout: 2 * time.Second, Healthy: 1, Unhealthy: 3,
		Expect: []config.StatusRange{{From: 200, To: 299}},
	}
	if got := c.Services["a"]; !reflect.DeepEqual(got, want) {
		t.Errorf("service a:\n got %+v\nwant %+v", got, want)
	}
	for _, tt := range []struct {
		key       string
		got, want int
	}{
		{"instances[].weight", c.Services["b"].Instances[0].Weight, 1},
		{"split[].weight", c.Routing[1].Split[0].Weight, 1},
		{"redirect.status", c.Routing[2].Redirect.Status, 302},
		{"respond.status", c.Routing[3].Respond.Status, 200},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %d, want %d", tt.key, tt.got, tt.want)
		}
	}
}

func TestAnEmptyFileIsTheDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "server:\nservices:\nrouting:\n", "\ufeff"} {
		got, want := load(t, text).Redacted().String(), config.Defaults().Redacted().String()
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
	if _, err := config.Load(config.Options{}); err != nil {
		t.Errorf("without a file: %v", err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yml")
	if err := os.WriteFile(large, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ file, want string }{
		{filepath.Join(dir, "none.yml"), "cannot be read: no such file or directory"},
		{dir, "cannot be read: is a directory"},
		{large, "cannot be read: it is larger than 4 MiB"},
	}
	for _, tt := range tests {
		_, err := config.Load(config.Options{File: tt.file})
		faults, _ := errors.AsType[config.Problems](err)
		if len(faults) != 1 || faults[0].String() != tt.file+": "+tt.want {
			t.Errorf("got %v, want %s: %s alone", err, tt.file, tt.want)
		}
	}
}

func TestAliasesAreBounded(t *testing.T) {
	bombs := map[string]string{
		"lists": "routing:\n  - &r\n    path: /a\n    service: a\n    hosts: &h [" + strings.Repeat("a, ", 2000) + "a]\n" + strings.Repeat("  - *r\n", 2000),
		"maps":  "services:\n  a0: &a {" + strings.Repeat("x: 1, ", 2000) + "}\n" + many(2000, "  b%d: *a\n"),
		"merge": "services:\n  a0: &a {url: \"http://a\"}\n  a1: &b {<<: [" + strings.Repeat("*a, ", 2000) + "]}\n" + many(2000, "  b%d: *b\n"),
	}
	for name, text := range bombs {
		faults := refused(t, text)
		if len(faults) > 1000 {
			t.Errorf("%s: %d faults, want at most 1000", name, len(faults))
		}
		if name != "maps" { // there the faults themselves are the bound
			contains(t, faults, "use fewer aliases")
		}
	}
	contains(t, refused(t, "services: &s {<<: *s}\n"), "merge keys are nested too deep")
}

func many(n int, format string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

func TestProblemsAreBoundedAndSayThatThereAreMore(t *testing.T) {
	faults := refused(t, many(3000, "key%d: 1\n"))
	if len(faults) != 1000 {
		t.Errorf("%d faults, want 1000", len(faults))
	}
	contains(t, faults, "there is more wrong than is listed here")
}

func TestAReaderOfOnesOwn(t *testing.T) {
	_, err := config.Load(config.Options{File: "g.yml", ReadFile: func(string) ([]byte, error) { return nil, errors.New("no luck") }})
	if err == nil || err.Error() != "g.yml: cannot be read: no luck" {
		t.Errorf("error %v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(dir, "g.yml")
	text := fmt.Sprintf("admin: {token_file: %s}\ntransform: {version: \"${file:%s}\"}\n", token, token)
	if err := os.WriteFile(main, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Options{File: main})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Files(), []string{main, token}; !slices.Equal(got, want) {
		t.Errorf("Files = %v, want %v", got, want)
	}
	if c.Transform.Version != "x" {
		t.Errorf("version = %q, want the file's content without its line break", c.Transform.Version)
	}
	if got := config.Defaults().Files(); len(got) != 0 {
		t.Errorf("Files of the defaults = %v, want none", got)
	}
}
