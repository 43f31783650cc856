package config_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"outrider/internal/config"
)

// The reference is a valid configuration for either command, so that nobody copies a
// key from it that does not exist.
func TestTheReferenceLoads(t *testing.T) {
	text, err := os.ReadFile("../../docs/CONFIG.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode             config.Mode
		routes, services int
	}{{config.Ingress, 5, 4}, {config.Run, 5, 5}} {
		yaml := blocks(t, string(text), tt.mode.String())
		cfg, err := config.Load(config.Options{
			File: "reference.yml", Mode: config.Auto,
			ReadFile: func(string) ([]byte, error) { return []byte(yaml), nil },
		})
		if err != nil {
			t.Fatalf("docs/CONFIG.md does not load for %s:\n%v\n%s", tt.mode, err, yaml)
		}
		if cfg.Mode != tt.mode || len(cfg.Routing) != tt.routes || len(cfg.Services) != tt.services {
			t.Errorf("%s: %d routes, %d services in mode %s: the blocks were not put together", tt.mode, len(cfg.Routing), len(cfg.Services), cfg.Mode)
		}
		for _, w := range cfg.Warnings() {
			if !strings.Contains(w.Message, "no route leads") && !strings.Contains(w.Message, "cache beside auth") {
				t.Errorf("%s: %v", tt.mode, w)
			}
		}
	}
}

// What the reference calls a default is one.
func TestTheReferenceTellsTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../docs/CONFIG.md")
	if err != nil {
		t.Fatal(err)
	}
	yaml := blocks(t, string(text), "run")
	cfg, err := config.Load(config.Options{File: "r.yml", Mode: config.Run, ReadFile: func(string) ([]byte, error) { return []byte(yaml), nil }})
	if err != nil {
		t.Fatal(err)
	}
	plain := loadRun(t, "tracing: {endpoint: '127.0.0.1:4317'}\nservice: {name: orders, app: '127.0.0.1:3003'}\nconsul: {}\nservices: {orders: {url: 'http://a'}}\n")
	cfg.Inbound.Routing, cfg.Inbound.Middleware = plain.Inbound.Routing, plain.Inbound.Middleware
	cfg.Service.HealthCheck, cfg.Service.Tags, cfg.Service.Meta = nil, nil, nil
	for _, tt := range []struct {
		key       string
		got, want any
	}{
		{"service", cfg.Service, plain.Service},
		{"inbound", cfg.Inbound, plain.Inbound},
		{"outbound", cfg.Outbound, plain.Outbound},
		{"consul", cfg.Consul, plain.Consul},
		{"identity", cfg.Identity, plain.Identity},
		{"load_balancing", cfg.Services["orders"].LoadBalancing, plain.Services["orders"].LoadBalancing},
		{"logging", cfg.Logging, plain.Logging},
		{"limits", cfg.Limits, plain.Limits},
		{"tracing", cfg.Tracing, plain.Tracing},
		{"auth", cfg.Auth.Headers, plain.Auth.Headers},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: the reference says %+v, and the defaults are %+v", tt.key, tt.got, tt.want)
		}
	}
}

// blocks returns the document's blocks for a command: those that name no command,
// and those that name this one.
func blocks(t *testing.T, text, mode string) string {
	t.Helper()
	var yaml strings.Builder
	open := "" // what stands behind the fence of the block that we are in
	for line := range strings.Lines(text) {
		fence, is := strings.CutPrefix(line, "```")
		switch {
		case is && open != "":
			open = ""
		case is:
			open = strings.TrimSpace(fence)
			if !slices.Contains([]string{"yaml", "yaml run", "yaml ingress"}, open) {
				t.Errorf("a block of the kind %q, which nothing would read", open)
			}
		case open == "yaml" || open == "yaml "+mode:
			yaml.WriteString(line)
		}
	}
	return yaml.String()
}
