package app

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"outrider/discovery"
	"outrider/internal/explain"
	"outrider/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden holds got to the file of that name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: write it with go test ./internal/app -update", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// changing is what differs from run to run: ports and times measured.
var changing = regexp.MustCompile(`127\.0\.0\.1:\d+|\d[\d.]*(?:e\+\d+)?ms  |outrider-[0-9a-f]{12}`)

// steady returns text with what changes replaced by names, in the order of their
// appearance; known names some of it.
func steady(text, file string, known map[string]string) string {
	text = strings.ReplaceAll(text, file, "config.yml")
	for address, name := range known {
		text = strings.ReplaceAll(text, address, name)
	}
	text = spansOfTime.ReplaceAllString(text, "$1 TIME")
	text = agos.ReplaceAllString(text, "TIME old")
	text = changing.ReplaceAllStringFunc(text, func(s string) string {
		if strings.Contains(s, ":") {
			return "HOST:PORT"
		}
		if strings.HasPrefix(s, "outrider-") {
			return "outrider-NAME"
		}
		return "TIME  "
	})
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = columns.ReplaceAllString(line, "$1  ") // their width depends on what was replaced
	}
	return strings.Join(lines, "\n")
}

var (
	spansOfTime = regexp.MustCompile(`(another|the next in) [\dms]+`)
	agos        = regexp.MustCompile(`\b[\dms]+ old`)
)

var columns = regexp.MustCompile(`(\S) {2,}`)

func address(url string) string { return strings.TrimPrefix(url, "http://") }

func (g *gateway) explain(q explain.Question) explain.Answer {
	g.t.Helper()
	a, err := g.Explain(g.t.Context(), q)
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

const wholeConfig = `services:
  users:
    url: %[1]q
    timeout: 3s
    per_try_timeout: 500ms
    load_balancing: round_robin
  orders:
    instances: [{url: %[1]q}, {url: %[2]q}]
    retries: {attempts: 1, on: [connect]}
    circuit_breaker: {failure_threshold: 2}
  auth-service: {url: %[3]q}
routing:
  - path: /api/users/**
    service: users
    middleware: [cors, rate-limit, auth, transform, cache]
    strip_path: true
    timeout: 2s
  - path: /api/users/me
    methods: [PUT]
    service: users
  - path: /api/orders/**
    split: [{service: orders, weight: 3}, {service: users, weight: 1}]
    middleware: [circuit-breaker]
  - path: /old/**
    redirect: {path: /api/**}
  - path: /hello
    respond: {body: hello}
  - path: /kept
    service: users
    middleware: [cache]
  - path: /secret
    headers: {X-Api-Key: "letmein"}
    service: users
rate_limiting:
  default: {requests_per_minute: 1, burst: 5}
  paths:
    /api/users/login: {requests_per_minute: 1, burst: 1}
transform:
  request: {set: {X-Channel: web}, remove: [X-Debug]}
limits: {uri_bytes: 200, header_count: 4, body_bytes: 10}
`

// complete starts a gateway that has some of everything.
func complete(t *testing.T) (*gateway, map[string]string) {
	users, orders := origin(t, "users"), origin(t, "orders")
	auth := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer bad" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"id":"u1"}`)
	})
	g := start(t, fmt.Sprintf(wholeConfig, users.URL, orders.URL, auth.URL))
	return g, map[string]string{address(users.URL): "USERS", address(orders.URL): "ORDERS", address(auth.URL): "AUTH", address(g.url): "GATEWAY"}
}

func TestExplainGolden(t *testing.T) {
	g, known := complete(t)
	for _, tt := range []struct {
		name   string
		before func()
		ask    explain.Question
	}{
		{"route", nil, explain.Question{URL: "/api/users/42?token=x", Headers: []string{"Authorization: Bearer never-seen", "X-Debug: 1"}}},
		{"split", nil, explain.Question{Method: "POST", URL: "http://shop.example/api/orders/1"}},
		{"no-route", nil, explain.Question{URL: "/api//nothing"}},
		{"no-route-secret", nil, explain.Question{URL: "/secret", Headers: []string{"X-Api-Key: guess"}}},
		{"malformed", nil, explain.Question{URL: "/api/users/a%2fb"}},
		{"uri-too-long", nil, explain.Question{URL: "/" + strings.Repeat("a", 200)}},
		{"header-too-large", nil, explain.Question{URL: "/", Headers: []string{"A: 1", "B: 1", "C: 1", "D: 1", "E: 1"}}},
		{"body-too-large", nil, explain.Question{Method: "POST", URL: "/api/users/1", Headers: []string{"Content-Length: 11"}}},
		{"method", nil, explain.Question{Method: "CONNECT", URL: "/"}},
		{"host", nil, explain.Question{URL: "/", Headers: []string{"Host: a,b"}}},
		{"loop", nil, explain.Question{URL: "/", Headers: []string{"Via: 1.1 " + g.name}}},
		{"no-token", nil, explain.Question{URL: "/api/users/42"}},
		{"bad-token", func() { g.want2("/api/users/42", http.StatusUnauthorized, "Authorization", "Bearer bad") }, explain.Question{URL: "/api/users/42", Headers: []string{"Authorization: Bearer bad"}}},
		{"preflight", nil, explain.Question{Method: "OPTIONS", URL: "/api/users/42", Headers: []string{"Origin: https://page.example", "Access-Control-Request-Method: DELETE"}}},
		{"redirect", nil, explain.Question{URL: "https://shop.example/old/users/7?q=1"}},
		{"respond", nil, explain.Question{URL: "/hello"}},
		{"limited", func() { g.want2("/api/users/login", http.StatusUnauthorized) }, explain.Question{URL: "/api/users/login"}},
		{"limited-another", nil, explain.Question{URL: "/api/users/login", Client: "192.0.2.7"}},
		{"cached", func() { g.want("/kept", http.StatusOK) }, explain.Question{URL: "/kept"}},
		{"only-if-cached", nil, explain.Question{URL: "/kept?other", Headers: []string{"Cache-Control: only-if-cached"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before()
			}
			text := g.explain(tt.ask).Text()
			for _, secret := range []string{"never-seen", "letmein", "token=x"} {
				if strings.Contains(text, secret) {
					t.Errorf("the text tells %s", secret)
				}
			}
			golden(t, "explain/"+tt.name+".txt", steady(text, g.file, known))
		})
	}
}

// want2 is want with fields.
func (g *gateway) want2(path string, status int, fields ...string) {
	g.t.Helper()
	if got, text := g.get(path, fields...); got != status {
		g.t.Errorf("GET %s: status %d, want %d\n%s", path, got, status, text)
	}
}

// What is said is what then happens, and asking spends nothing.
func TestExplainForetells(t *testing.T) {
	g, _ := complete(t)
	for _, path := range []string{"/api/nothing", "/api/users/42", "/hello", "/old/x", "/kept", "/api/users/a%2fb", "/api/users/login"} {
		var said explain.Report
		for range 20 {
			said = g.explain(explain.Question{URL: path}).Reports[0]
		}
		want := said.Status
		if want == 0 {
			want = http.StatusOK
		}
		g.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if got, text := g.get(path); got != want {
			t.Errorf("GET %s: %d %s; foretold: %s", path, got, text, said.Verdict)
		}
	}
}

func TestExplainOfEndpointsThatFail(t *testing.T) {
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	g := start(t, fmt.Sprintf(`services:
  broken:
    url: %q
    circuit_breaker: {failure_threshold: 2}
  nowhere: {url: "http://nowhere.example"}
  gone: {instances: [{url: "http://127.0.0.1:1"}, {url: %q}], retries: 0, outlier: {consecutive_failures: 1}, load_balancing: round_robin}
routing:
  - {path: /broken, service: broken}
  - {path: /nowhere, service: nowhere}
  - {path: /gone, service: gone}
  - {path: /auth, service: gone, middleware: [auth]}
auth: {validate_url: "http://nowhere/validate"}
`, broken.URL, broken.URL), func(o *Options) { o.Lookup = names(nil) })
	known := map[string]string{address(broken.URL): "BROKEN", address(g.url): "GATEWAY"}
	for range 3 {
		_, _ = g.get("/broken")
	}
	g.want("/gone", http.StatusInternalServerError)
	for _, name := range []string{"broken", "nowhere", "gone", "auth"} {
		text := g.explain(explain.Question{URL: "/" + name, Headers: []string{"Authorization: t"}}).Text()
		golden(t, "explain/failing-"+name+".txt", steady(text, g.file, known))
	}
}

func TestExplainOfASidecar(t *testing.T) {
	app := echo(t)
	m := &discovery.Memory{}
	m.Register("milk", mesh.Endpoint{ID: "milk-1", Scheme: "http", Address: "127.0.0.1:7", Withdrawn: true, HealthNote: "maintenance: cleaning"})
	s := beside(t, app.URL, `inbound:
  max_concurrent: 3
  middleware: [rate-limit]
  timeout: 4s
  routing:
    - {path: /slow/**, timeout: 9s}
rate_limiting: {default: {requests_per_minute: 60}}
consul: {}
services:
  milk: {timeout: 1s}
`, in(m))
	known := map[string]string{address(app.URL): "APP", s.where.Inbound: "INBOUND"}
	eventually(t, "the app is well", func() bool { return len(instances(t, m, "tea")) == 1 && !instances(t, m, "tea")[0].Unhealthy })
	for _, tt := range []struct {
		name string
		ask  explain.Question
	}{
		{"both", explain.Question{URL: "http://milk/x"}},
		{"inbound-route", explain.Question{URL: "/slow/x", Direction: "inbound"}},
		{"undeclared", explain.Question{URL: "http://sugar/x", Direction: "outbound"}},
	} {
		a, err := s.Explain(t.Context(), tt.ask)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "explain/sidecar-"+tt.name+".txt", steady(a.Text(), configOf(s), known))
	}
	if _, err := s.Explain(t.Context(), explain.Question{URL: "/", Direction: "ingress"}); err == nil {
		t.Error("a sidecar has an ingress")
	}
}

// configOf returns the file of a sidecar's configuration.
func configOf(s *sidecar) string { return s.current.Load().cfg.File }

func TestExplainRefusesBadQuestions(t *testing.T) {
	g := start(t, "routing: [{path: /, respond: {body: hello}}]")
	for _, q := range []explain.Question{
		{URL: "api"}, {URL: "ftp://a/b"}, {URL: "/a b\x00"}, {URL: "/", Client: "somebody"}, {URL: "/", Headers: []string{"no colon"}},
		{URL: "/", Headers: []string{"Content-Length: x"}}, {URL: "/", Direction: "inbound"},
	} {
		if a, err := g.Explain(t.Context(), q); err == nil {
			t.Errorf("%+v: %+v", q, a)
		}
	}
}

func TestExplainInJSON(t *testing.T) {
	g, _ := complete(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.where.Admin+"/explain", strings.NewReader(`{"method":"GET","url":"/api/users/7"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a explain.Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	r := a.Reports[0]
	if r.Code != "unauthenticated" || r.Status != http.StatusUnauthorized || r.Route.Key != "routing[0]" || r.From != g.file+":15 (routing[0].middleware)" {
		t.Errorf("%+v", r)
	}
}

// A route of the inbound may have another bound than the rest.
func TestInboundRouteHasItsOwnTimeout(t *testing.T) {
	app := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			<-r.Context().Done()
		}
	})
	s := beside(t, app.URL, "inbound: {timeout: 1h, routing: [{path: /quick, timeout: 50ms}]}\n")
	if got := s.ask(s.where.Inbound, http.MethodGet, "/quick"); got.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("status %d", got.StatusCode)
	}
}
