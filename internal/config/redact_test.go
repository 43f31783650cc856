package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"outrider/internal/config"
)

func TestRedactedHidesSecrets(t *testing.T) {
	c := load(t, `
services: {a: {url: "http://${HOST}"}}
auth: {validate_url: "http://a/v?key=${KEY}"}
transform:
  version: plain
  request: {set: {Authorization: Basic hunter2, X-Api-Key: hunter2, X-Plain: shown}, add: {X-Other: "${KEY}"}}
  response: {set: {Set-Cookie: hunter2}}
routing:
  - path: /a
    service: a
    headers: {X-Token: hunter2, X-Plain: {regex: shown}}
    query: {token: {regex: hunter2}}
    middleware: [auth, transform]
    auth: {timeout: 1s}
  - path: /b
    respond: {body: hello, headers: {X-Session-Id: hunter2}}
`, "KEY=hunter2", "HOST=inner")
	shown := c.Redacted().String()
	if strings.Contains(shown, "hunter2") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
	if strings.Contains(shown, "inner") {
		t.Errorf("what ${…} put in is shown:\n%s", shown)
	}
	for _, want := range []string{`"X-Plain": "shown"`, `"version": "plain"`, `"Authorization": "…redacted…"`, `"validate_url": "…redacted…"`, `"regex": "shown"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is missing in:\n%s", want, shown)
		}
	}
	if c.Services["a"].URL != "http://inner" || c.Transform.Request.Add["X-Other"] != "hunter2" {
		t.Errorf("the configuration itself lost its values: %+v", c.Transform)
	}
}

// A secret that stands in the file as it is can be told by the name of its header or
// parameter only.
func TestRedactedHidesLiteralsByName(t *testing.T) {
	for _, name := range []string{
		"Authorization", "Cookie", "Key", "X-Api-Key", "X-Backend-Key", "X_BACKEND_KEY", "X-Backend-Key-2", "X-Auth",
		"X-Token", "X-Client-Secret", "X-Password", "X-Passphrase", "X-Credential", "X-Credentials", "X-Session", "X-Signature",
	} {
		t.Run(name, func(t *testing.T) {
			for _, rule := range []string{
				"{path: /a, service: a, headers: {N: hunter2}}",
				"{path: /a, service: a, query: {N: {regex: hunter2}}}",
				"{path: /a, service: a, transform: {request: {set: {N: hunter2}}, response: {add: {N: hunter2}}}}",
				"{path: /a, respond: {body: hello, headers: {N: hunter2}}}",
			} {
				rule = strings.ReplaceAll(rule, "N:", name+":")
				if shown := load(t, "services: {a: {url: http://a}}\nrouting: ["+rule+"]\n").Redacted().String(); strings.Contains(shown, "hunter2") {
					t.Errorf("%s shows its secret:\n%s", rule, shown)
				}
			}
		})
	}
}

func TestAFaultOfASecretValueHidesIt(t *testing.T) {
	faults := refused(t, `
services: {a: {url: "http://a"}}
routing: [{path: /a, service: "${KEY}"}]
`, "KEY=hunter2")
	if strings.Contains(faults.Error(), "hunter2") {
		t.Errorf("a secret is shown: %v", faults)
	}
	contains(t, faults, "there is no service")
}

// Without secrets, what is shown is a configuration that means the same.
func TestRedactedLoadsToTheSame(t *testing.T) {
	const text = `
server: {port: 0, host: ""}
admin: {listen: ""}
trusted_proxies: [10.0.0.0/8]
logging: {access: false}
limits: {body_bytes: 3, idle_timeout: 1500}
services:
  a: {url: "h2c://a:1", outlier: false, health_check: {path: /h, expect: [200-204, 404]}, retries: {on: []}}
  b: {instances: [{url: "http://b", weight: 3}, {url: "http://[::1]:80"}], circuit_breaker: {failure_threshold: 1}}
rate_limiting: {default: {requests_per_minute: 5}, paths: {/x: {requests_per_minute: 1, burst: 2}}}
routing:
  - {path: /a/**, service: a, strip_path: true, middleware: [cors, cache, rate-limit], cache: {ttl: 0}, rate_limiting: {default: {burst: 3}}}
  - {path: /b/**, split: [{service: a}, {service: b, weight: 0}], rewrite: {path: "/c/**", host: h}, headers: {X-A: "", X-B: {regex: "."}}, methods: [GET]}
  - {path: /c, redirect: {host: d, status: 308}, hosts: ["*.example.com"]}
  - {path: /d, respond: {status: 204, headers: {X-A: b}}}
`
	first := load(t, text).Redacted().String()
	second := load(t, first).Redacted().String()
	if first != second || !strings.Contains(first, `"access": false`) {
		t.Errorf("shown:\n%s\nloads to:\n%s", first, second)
	}
	if !json.Valid([]byte(first)) {
		t.Errorf("not JSON:\n%s", first)
	}
	order := []string{`"server"`, `"services"`, `"routing"`, `"admin"`, `"shutdown"`}
	for i := 1; i < len(order); i++ {
		if strings.Index(first, order[i-1]) > strings.Index(first, order[i]) {
			t.Errorf("%s stands behind %s", order[i-1], order[i])
		}
	}
}

// Of a sidecar too, whose file knows no server.
func TestRedactedOfASidecarLoadsToTheSame(t *testing.T) {
	first := loadRun(t, `
service: {name: a, app: "127.0.0.1:1", meta: {k: v}, health_check: /h}
consul: {stale: false, tls: , datacenter: dc1}
inbound:
  middleware: [cors, cache]
  routing:
    - {path: /a, middleware: [auth], timeout: 1s}
    - {path: /b, redirect: {path: /c}}
services:
  auth-service:
  b: {consul: {service: bees, tag: v2}, listen: "127.0.0.1:9101", load_balancing: ring_hash}
  c: {instances: [{url: "http://c", zone: z}], load_balancing: {zone_first: false, slow_start: 3s}}
`, "CONSUL_NAMESPACE=team").Redacted().String()
	if second := loadRun(t, first).Redacted().String(); first != second {
		t.Errorf("shown:\n%s\nloads to:\n%s", first, second)
	}
	if strings.Contains(first, `"server"`) {
		t.Errorf("a listener is shown that is not there:\n%s", first)
	}
}

func TestTheTokenOfConsulIsHidden(t *testing.T) {
	for _, c := range []*config.Config{
		load(t, "consul: {token: hunter2}"),
		load(t, "", "CONSUL_HTTP_ADDR=a:1", "CONSUL_HTTP_TOKEN=hunter2"),
		load(t, "consul: {}", "OUTRIDER_CONSUL_TOKEN=hunter2"),
	} {
		if shown := c.Redacted().String(); strings.Contains(shown, "hunter2") || !strings.Contains(shown, `"token": "…redacted…"`) {
			t.Errorf("a token is shown, or not told of:\n%s", shown)
		}
	}
}

func TestImmutable(t *testing.T) {
	running := load(t, "server: {port: 80}\n")
	if got := config.Immutable(running, load(t, "logging: {level: debug}\nserver: {port: 80}\n")); len(got) != 0 {
		t.Errorf("a change that can be made is refused: %v", got)
	}
	next := load(t, "probe:\n  listen: :15020\nadmin: {listen: \"127.0.0.1:1\"}\nserver:\n  port: 81\n", "OUTRIDER_SERVER_HOST=::1")
	got := config.Problems(config.Immutable(running, next)).Error()
	want := `OUTRIDER_SERVER_HOST: server.host: cannot change while the proxy runs: it is "0.0.0.0" now, and would be "::1": restart it
g.yml:2: probe.listen: cannot change while the proxy runs: it is "" now, and would be ":15020": restart it
g.yml:3: admin.listen: cannot change while the proxy runs: it is "127.0.0.1:15000" now, and would be "127.0.0.1:1": restart it
g.yml:5: server.port: cannot change while the proxy runs: it is "80" now, and would be "81": restart it`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	sidecar := &config.Config{
		Service:  &config.Instance{Name: "a", ID: "a1"},
		Inbound:  &config.Inbound{Listen: ":1"},
		Outbound: &config.Outbound{Listen: ":2"},
		Services: map[string]*config.Service{"b": {Listen: ":3"}},
	}
	if n := len(config.Immutable(sidecar, &config.Config{})); n != 5 {
		t.Errorf("%d problems, want one for each of service.name, service.id and three listens", n)
	}
}
