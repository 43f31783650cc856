package config_test

import (
	"strings"
	"testing"

	"outrider/internal/config"
)

// What a sidecar can change while it runs, and what it cannot.
func TestImmutableOfRun(t *testing.T) {
	const base = `
service: {name: a, id: a1, app: "127.0.0.1:1", address: 10.0.0.1}
consul: {token: hunter1, token_file: "", address: "127.0.0.1:8500", tls: }
services: {b: {listen: "127.0.0.1:9101"}, c: {}}
identity: {provider: none, mtls: off}
`
	running := loadRun(t, base)
	for _, tt := range []struct{ old, new, want string }{
		{"127.0.0.1:1\"", "127.0.0.1:2\"", ""}, // service.app
		{"address: 10.0.0.1}", "address: 10.0.0.1, weight: 3, tags: [x], meta: {k: v}, zone: z, health_check: /h}\nlogging: {level: debug}", ""},
		{"c: {}", "c: {consul: other}, d: {}", ""},
		{"name: a", "name: b", `s.yml:2: service.name: cannot change while the proxy runs: it is "a" now, and would be "b": restart it`},
		{"id: a1", "id: a2", `s.yml:2: service.id: `},
		{"address: 10.0.0.1", "address: 10.0.0.2", `s.yml:2: service.address: `},
		{"identity", "inbound: {listen: ':3'}\nidentity", `s.yml:5: inbound.listen: `},
		{"identity", "outbound: {listen: '127.0.0.1:2'}\nidentity", `s.yml:5: outbound.listen: `},
		{"9101", "9102", `s.yml:4: services.b.listen: `},
		{"c: {}", "c: {listen: '127.0.0.1:9103'}", `s.yml:4: services.c.listen: cannot change while the proxy runs: it is "" now`},
		{"b: {listen: \"127.0.0.1:9101\"}, ", "", `s.yml:4: services.b.listen: cannot change while the proxy runs: it is "127.0.0.1:9101" now, and would be "": restart it`},
		{"127.0.0.1:8500", "127.0.0.1:8501", `s.yml:3: consul.address: `},
		{"tls:", "scheme: https, datacenter: dc", "s.yml:3: consul.datacenter: cannot change while the proxy runs: it is \"\" now, and would be \"dc\": restart it\ns.yml:3: consul.scheme: "},
		{"tls:", "register: false", `s.yml:3: consul.register: `},
		{"tls:", "stale: false", `s.yml:3: consul.stale: `},
		{"tls:", "max_watches: 3", `s.yml:3: consul.max_watches: `},
		{"tls:", "snapshot_dir: d", `s.yml:3: consul.snapshot_dir: `},
		{"hunter1", "hunter2", `s.yml:3: consul.token: cannot change while the proxy runs: restart it; a token in consul.token_file can, since the file is read anew at each request`},
	} {
		next := loadRun(t, strings.Replace(base, tt.old, tt.new, 1))
		got := config.Problems(config.Immutable(running, next)).Error()
		if !strings.HasPrefix(got, tt.want) || strings.Count(got, "\n") != strings.Count(tt.want, "\n") || tt.want == "" && got != "" {
			t.Errorf("%s → %s: got:\n%s\nwant:\n%s", tt.old, tt.new, got, tt.want)
		}
		if strings.Contains(got, "hunter") {
			t.Errorf("a token is shown: %s", got)
		}
	}
}

func TestImmutableOfConsulAndIdentity(t *testing.T) {
	files := map[string]string{
		"off":   "routing: []\n",
		"on":    "consul: {token: hunter2}\n",
		"https": "consul: {scheme: https, tls: {ca_file: pem}}\n",
		"other": "consul: {scheme: https, tls: {ca_file: pem2, server_name: s}}\n",
		"spans": "tracing: {endpoint: 'otel:1', sample: 0.5}\n",
		"span2": "tracing: {endpoint: 'otel:1', sample: 0.6, propagators: [b3]}\n",
		"span3": "tracing: {endpoint: 'otel:2', protocol: http}\n",
		"mtls":  "identity: {provider: files, mtls: strict, cert_file: pem, key_file: pem, ca_file: pem}\n",
	}
	files["pem"] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	files["pem2"] = files["pem"]
	loaded := func(name string) *config.Config {
		c, err := config.Load(config.Options{File: name, ReadFile: several(files)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct{ from, to, want string }{
		{"off", "on", `on:1: consul: cannot change while the proxy runs: it is "off" now, and would be "on": restart it`},
		{"on", "off", `off: consul: cannot change while the proxy runs: it is "on" now, and would be "off": restart it`},
		{"https", "https", ""},
		{"https", "other", `other:1: consul.tls.ca_file: cannot change while the proxy runs: it is "pem" now, and would be "pem2": restart it` + "\n" +
			`other:1: consul.tls.server_name: cannot change while the proxy runs: it is "" now, and would be "s": restart it`},
		{"spans", "span2", ""},
		{"spans", "span3", `span3:1: tracing.endpoint: cannot change while the proxy runs: it is "http://otel:1" now, and would be "http://otel:2/v1/traces": restart it` + "\n" +
			`span3:1: tracing.protocol: cannot change while the proxy runs: it is "grpc" now, and would be "http": restart it`},
		{"off", "mtls", `mtls:1: identity.mtls: cannot change while the proxy runs: it is "off" now, and would be "strict": restart it` + "\n" +
			`mtls:1: identity.provider: cannot change while the proxy runs: it is "none" now, and would be "files": restart it`},
	} {
		if got := config.Problems(config.Immutable(loaded(tt.from), loaded(tt.to))).Error(); got != tt.want {
			t.Errorf("%s → %s: got:\n%s\nwant:\n%s", tt.from, tt.to, got, tt.want)
		}
	}
}
