package config_test

import (
	"testing"

	"outrider/internal/config"
)

const origins = `services:
  orders:
    url: http://127.0.0.1:1
    retries: 1
    timeout: 3s
  "b.c": {url: "http://127.0.0.1:2"}
routing:
  - path: /a
    service: orders
  - path: /b
    service: orders
    retries: {on: [connect]}
`

func TestOrigin(t *testing.T) {
	cfg, err := config.Load(config.Options{
		File:     "gateway.yml",
		Environ:  []string{"OUTRIDER_LIMITS_URI_BYTES=4KiB"},
		ReadFile: func(string) ([]byte, error) { return []byte(origins), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"a key of the file", []string{"services.orders.timeout"}, "gateway.yml:5"},
		{"a short form is its block's word", []string{"services.orders.retries.attempts"}, "gateway.yml:4"},
		{"the first that is set", []string{"routing[1].retries.attempts", "services.orders.retries.attempts"}, "gateway.yml:4"},
		{"and not one after it", []string{"routing[1].retries.on", "services.orders.retries.on"}, "gateway.yml:12"},
		{"nobody", []string{"services.orders.connect_timeout"}, "default"},
		{"a block above does not set what it leaves out", []string{"services.orders.retries.base"}, "default"},
		{"a variable", []string{"limits.uri_bytes"}, "OUTRIDER_LIMITS_URI_BYTES"},
		{"a key with a dot", []string{config.Key("services", "b.c", "url")}, "gateway.yml:6"},
		{"a route", []string{cfg.RouteKey(cfg.Routing[1])}, "gateway.yml:10"},
		{"no route of this configuration", []string{cfg.RouteKey(&config.Route{})}, "default"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := cfg.Origin(tt.paths...).String(); got != tt.want {
				t.Errorf("%v: %s, want %s", tt.paths, got, tt.want)
			}
		})
	}
}
