package integration_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"outrider/integration/meshtest"
	"outrider/internal/explain"
	"outrider/internal/why"
)

var update = flag.Bool("update", false, "write the golden files anew")

// failure is a request that fails on purpose.
type failure struct {
	name   string
	config func(t *testing.T) string
	before func(t *testing.T, g *meshtest.Running) // may be nil
	ask    explain.Question                        // of a GET of /x where it says nothing
	send   func(t *testing.T, g *meshtest.Running) // nil: as asked
	code   string                                  // of the fault; empty where the service itself answers
	key    string                                  // that is responsible; empty for none
}

// oneService is a configuration of one service s at a URL, with further lines of its
// block, and further blocks.
func oneService(url, lines string, further ...string) string {
	text := "services:\n  s:\n    url: " + url + "\n"
	for line := range strings.Lines(lines) {
		text += "    " + strings.TrimRight(line, "\n") + "\n"
	}
	text += "routing:\n  - path: /**\n    service: s\n"
	return text + strings.Join(further, "\n") + "\n"
}

// always is a service that answers each request alike.
func always(status int, lines string, further ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		return oneService(meshtest.Origin(t, meshtest.Says(status, "")).URL, lines, further...)
	}
}

// never is a service that takes a request and gives no answer.
func never(lines string, further ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		return oneService(e.URL, lines, further...)
	}
}

// wire is a service that speaks as speak does.
func wire(scheme, lines string, speak func(net.Conn)) func(*testing.T) string {
	return func(t *testing.T) string {
		return oneService(scheme+"://"+meshtest.RawOrigin(t, speak).Addr, "retries: 0\n"+lines)
	}
}

// hangUp reads a request and leaves.
func hangUp(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) }

func once(t *testing.T, g *meshtest.Running) {
	t.Helper()
	_ = g.Get("/x")
	eventually(t, "the request has ended", func() bool { return len(g.Access.Lines(t)) == 1 }) // after its place was given back
}

func failures() []failure {
	return append(append(failuresOfTheClient(), failuresOfPolicy()...), failuresOfTheEndpoint()...)
}

func failuresOfTheClient() []failure {
	return []failure{
		{name: "no-route", code: "no_route", key: "routing", config: func(*testing.T) string {
			return "services:\n  s: {url: \"http://127.0.0.1:1\"}\nrouting:\n  - path: /x/only\n    service: s\n"
		}},
		{name: "malformed-path", code: "malformed", config: always(200, ""), ask: explain.Question{URL: "/a%2fb"}},
		{name: "uri-too-long", code: "uri_too_long", key: "limits.uri_bytes", config: always(200, "", "limits:\n  uri_bytes: 64"),
			ask: explain.Question{URL: "/" + strings.Repeat("x", 64)}},
		{name: "header-too-large", code: "header_too_large", key: "limits.header_count", config: always(200, "", "limits:\n  body_bytes: 4\n  header_count: 5"),
			ask: explain.Question{Headers: []string{"A: 1", "B: 1", "C: 1", "D: 1", "E: 1", "F: 1"}}},
		{name: "body-too-large", code: "body_too_large", key: "limits.body_bytes", config: always(200, "", "limits:\n  body_bytes: 4"),
			ask:  explain.Question{Method: "POST", Headers: []string{"Content-Length: 5"}},
			send: func(_ *testing.T, g *meshtest.Running) { _ = g.Do("POST", "/x", "hello") }},
		{name: "body-too-slow", code: "request_timeout", key: "services.s.timeout",
			config: func(t *testing.T) string {
				e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				return oneService(e.URL, "timeout: 200ms")
			},
			ask:  explain.Question{Headers: []string{"Content-Length: 10"}},
			send: func(t *testing.T, g *meshtest.Running) { _, _ = sendsHalf(t, g) }},
		{name: "loop", code: "loop", config: always(200, ""), before: func(t *testing.T, g *meshtest.Running) {
			if err := g.Reload(oneService(g.URL, "retries: 0")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "method", code: "method_not_allowed", config: always(200, ""), ask: explain.Question{Method: "TRACE"}},
	}
}

func failuresOfPolicy() []failure {
	guarded := "routing:\n  - path: /**\n    service: s\n    middleware: [auth]\n"
	auth := func(answer http.HandlerFunc, lines string) func(*testing.T) string {
		return func(t *testing.T) string {
			return fmt.Sprintf("services:\n  s:\n    url: %s\n%sauth:\n  validate_url: %s/validate\n%s", meshtest.Origin(t, meshtest.Says(200, "")).URL,
				guarded, meshtest.Origin(t, answer).URL, lines)
		}
	}
	token := []string{"Authorization: Bearer t"}
	limited := "rate_limiting:\n  default:\n    requests_per_minute: 1\n    burst: 1\n  paths:\n    /x:\n      requests_per_minute: 1\n      burst: 1"
	return []failure{
		{name: "limited-by-path", code: "limited", key: `rate_limiting.paths["/x"]`, config: always(200, "", limited), before: once},
		{name: "limited", code: "limited", key: "rate_limiting.default",
			config: func(t *testing.T) string {
				return strings.Replace(always(200, "", limited)(t), "service: s\n", "service: s\n    middleware: [rate-limit]\n", 1)
			},
			before: func(_ *testing.T, g *meshtest.Running) { _ = g.Get("/y") }, ask: explain.Question{URL: "/y"}},
		{name: "unauthenticated", code: "unauthenticated", key: "routing[0].middleware", config: auth(meshtest.Says(401, ""), "")},
		{name: "token-refused", code: "unauthenticated", key: "routing[0].middleware", config: auth(meshtest.Says(401, ""), ""), ask: explain.Question{Headers: token}},
		{name: "auth-down", code: "auth_failed", key: "auth.validate_url", ask: explain.Question{Headers: token}, config: func(t *testing.T) string {
			return fmt.Sprintf("services:\n  s:\n    url: %s\n%sauth:\n  validate_url: http://%s/validate\n", meshtest.Origin(t, meshtest.Says(200, "")).URL, guarded, freeAddress(t))
		}},
		{name: "auth-slow", code: "auth_failed", key: "auth.timeout", ask: explain.Question{Headers: token},
			config: auth(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "  timeout: 50ms\n")},
		{name: "breaker-open", code: "breaker_open", key: "services.s.circuit_breaker.failure_threshold",
			config: always(500, "circuit_breaker:\n  failure_threshold: 1"), before: once},
		{name: "only-if-cached", code: "not_cached", key: "routing[0].middleware", ask: explain.Question{Headers: []string{"Cache-Control: only-if-cached"}},
			config: func(t *testing.T) string {
				return strings.Replace(always(200, "")(t), "service: s\n", "service: s\n    middleware: [cache]\n", 1)
			}},
		noPlace(),
		{name: "retry-budget", key: "services.s.retries.budget", config: always(503, "retries:\n  attempts: 2\n  budget:\n    percent: 0\n    min: 0")},
	}
}

// noPlace is an endpoint whose one place is taken.
func noPlace() failure {
	house := fullHouse()
	return failure{name: "no-place", code: "overflow", key: "services.s.max_connections", before: house.before, config: house.config}
}

func failuresOfTheEndpoint() []failure {
	return []failure{
		{name: "no-endpoints", code: "no_endpoints", key: "services.s.url", config: func(*testing.T) string { return oneService("http://orders.invalid", "") }},
		{name: "refused", code: "refused", key: "services.s.url", config: func(t *testing.T) string { return oneService("http://"+freeAddress(t), "retries: 0") }},
		{name: "reset", code: "reset", key: "services.s.url", config: wire("http", "", hangUp)},
		{name: "reset-post", code: "reset", key: "services.s.url", ask: explain.Question{Method: "POST"},
			config: func(t *testing.T) string { return oneService("http://"+meshtest.RawOrigin(t, hangUp).Addr, "") }},
		{name: "no-http", code: "bad_response", key: "services.s.url", config: wire("http", "", meshtest.Bytes("I speak no HTTP.\r\n\r\n"))},
		{name: "timeout-of-the-service", code: "response_timeout", key: "services.s.timeout", config: never("timeout: 50ms")},
		{name: "timeout-of-the-route", code: "response_timeout", key: "routing[0].timeout",
			config: func(t *testing.T) string {
				return strings.Replace(never("timeout: 30s")(t), "service: s\n", "service: s\n    timeout: 50ms\n", 1)
			}},
		{name: "timeout-of-an-attempt", code: "per_try_timeout", key: "services.s.per_try_timeout", config: never("retries: 0\nper_try_timeout: 50ms")},
		{name: "timeout-of-connecting", code: "connect_timeout", key: "services.s.connect_timeout", config: wire("https", "connect_timeout: 50ms", hold)},
		{name: "timeout-of-a-stream", code: "idle_timeout", key: "services.s.idle_timeout", config: func(t *testing.T) string {
			return strings.NewReplacer("{s: {url: ", "\n  s:\n    url: ", ", idle", "\n    idle", "}}\nrouting: [{path: /**, service: s}]", "\nrouting:\n  - {path: /**, service: s}").Replace(standsStill(t))
		}, send: func(t *testing.T, g *meshtest.Running) { _, _ = cutShortWhileReading(t, g) }},
		{name: "tls-name", code: "tls_certificate", key: "services.s.tls", config: func(t *testing.T) string {
			s := secure(t)
			file := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			return oneService(s.URL, "retries: 0\ntls: {ca_file: "+file+", server_name: wrong.example}")
		}},
		{name: "tls-none", code: "tls_failed", key: "services.s.url", config: wire("https", "", func(c net.Conn) { _, _ = io.WriteString(c, "I speak no TLS.\r\n"); hold(c) })},
		{name: "the-service-fails", config: always(500, "")},
	}
}

// secure is a server with a certificate that nobody knows.
func secure(t *testing.T) *httptest.Server {
	s := httptest.NewUnstartedServer(meshtest.Says(http.StatusOK, ""))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestExplainAndWhyOnFailures holds, for each failure made on purpose, what explain says
// before the request and what why says after it, and that the line that is named has
// the key that is responsible.
func TestExplainAndWhyOnFailures(t *testing.T) {
	for _, f := range failures() {
		t.Run(f.name, f.hold)
	}
}

func (f failure) hold(t *testing.T) {
	g := meshtest.Gateway(t, f.config(t))
	if f.before != nil {
		f.before(t, g)
	}
	if f.ask.URL == "" {
		f.ask.URL = "/x"
	}
	if f.ask.Method == "" {
		f.ask.Method = http.MethodGet
	}
	foretold := postText(t, g.Admin+"/explain", f.ask)
	seen := len(g.Access.Lines(t))
	if f.send != nil {
		f.send(t, g)
	} else {
		_ = g.Do(f.ask.Method, f.ask.URL, "", fieldsOf(f.ask.Headers)...)
	}
	id := ""
	eventually(t, "the failure is in the access log", func() bool {
		for _, line := range g.Access.Lines(t)[seen:] {
			if line["code"] == f.code {
				id, _ = line["request_id"].(string)
			}
		}
		return id != ""
	})
	said := getText(t, g.Admin+"/why?id="+url.QueryEscape(id), "text/plain")
	var a why.Answer
	if err := json.Unmarshal([]byte(getText(t, g.Admin+"/why?id="+url.QueryEscape(id), "application/json")), &a); err != nil {
		t.Fatal(err)
	}
	f.caused(t, g, a)
	goldenText(t, "explained/"+f.name+".txt", constant("EXPLAIN\n"+head(foretold)+"\nWHY\n"+said, g.File, id))
}

// caused holds that the cause is the true one, and that the line which it names has the
// key.
func (f failure) caused(t *testing.T, g *meshtest.Running, a why.Answer) {
	t.Helper()
	switch {
	case a.Cause == nil:
		t.Fatalf("no cause in %+v", a)
	case a.Cause.Code != f.code:
		t.Errorf("the cause is %q, want %q", a.Cause.Code, f.code)
	case f.key == "" && a.Cause.Because != "":
		t.Errorf("because of %s, want nothing", a.Cause.Because)
	case f.key != "":
		named := regexp.MustCompile(`:(\d+) \((.*)\)$`).FindStringSubmatch(a.Cause.Because)
		if named == nil || named[2] != f.key {
			t.Fatalf("because of %q, want %s", a.Cause.Because, f.key)
		}
		text, err := os.ReadFile(g.File)
		if err != nil {
			t.Fatal(err)
		}
		number, _ := strconv.Atoi(named[1])
		last := regexp.MustCompile(`[^.\[\]"]+"?\]?$`).FindString(f.key)
		if line := strings.Split(string(text), "\n")[number-1]; !strings.Contains(line, strings.Trim(last, `"]`)) {
			t.Errorf("line %d is %q, which has no %s", number, line, last)
		}
	}
}

// head returns the lines up to the first empty one, and those of the timeout and of the
// endpoints.
func head(text string) string {
	first, rest, _ := strings.Cut(text, "\n\n")
	out := first + "\n"
	for line := range strings.Lines(rest) {
		if regexp.MustCompile(`^  timeout |^  127\.`).MatchString(line) {
			out += line
		}
	}
	return out
}

func fieldsOf(lines []string) []string {
	var fields []string
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		fields = append(fields, name, value)
	}
	return fields
}

func postText(t *testing.T, at string, question any) string {
	t.Helper()
	body, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return textOf(t, req)
}

func getText(t *testing.T, at, accept string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	return textOf(t, req)
}

func textOf(t *testing.T, req *http.Request) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", req.URL, resp.StatusCode, text)
	}
	return string(text)
}

// varying is what differs from run to run, and what stands for it.
var varying = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`(another|next in) [\dms.]+`), "$1 TIME"},
	{regexp.MustCompile(`127\.\d+\.\d+\.\d+:\d+`), "HOST:PORT"},
	{regexp.MustCompile(`lookup (\S+) on \S+: `), "lookup $1: "},
	{regexp.MustCompile(`(in|after) [\d.e+]+ms`), "$1 TIME"},
	{regexp.MustCompile(` {2}[\d.e+]+ms`), "  TIME"},
	{regexp.MustCompile(`outrider-[0-9a-f]{12}`), "outrider-NAME"},
	{regexp.MustCompile(`(\S) {2,}`), "$1  "},
}

// constant replaces in text what differs from run to run.
func constant(text, file, id string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, file, "gateway.yml"), id, "ID")
	for _, v := range varying {
		text = v.what.ReplaceAllString(text, v.as)
	}
	return text
}

func goldenText(t *testing.T, name, got string) {
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
		t.Fatalf("%v: write it with go test ./integration -run ExplainAndWhy -update", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}
