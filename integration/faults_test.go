package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"outrider/integration/meshtest"
	"outrider/internal/mesh"
)

// unprovoked are the kinds that no request to an ingress can meet today, and why.
var unprovoked = map[mesh.Kind]string{
	mesh.Internal: "a mistake of our own: whoever finds a way to provoke one has found a bug",
	mesh.Denied:   "no rule refuses a caller that is known: authorisation is not built yet",
	mesh.Shed:     "only a sidecar sheds: see TestInboundShedsWhatIsTooMuch",
	mesh.Draining: "only at the end of a grace: see TestDrainCutsAtTheEndOfTheGrace",
}

// provocation is how a request meets a fault on a running gateway.
type provocation struct {
	config     func(t *testing.T) string
	before     func(t *testing.T, g *meshtest.Running)                        // may be nil
	path       string                                                         // of a GET; empty means /x
	ask        func(t *testing.T, g *meshtest.Running) (meshtest.Reply, bool) // instead of the GET; false: there is no answer
	retryAfter bool                                                           // the answer knows when to come back
	message    string                                                         // the member error; empty means the kind's own
}

// TestEveryFaultKind holds for each kind what the client reads, what the access log
// says and what is counted.
func TestEveryFaultKind(t *testing.T) {
	table := provocations()
	for _, kind := range mesh.Kinds() {
		p, provoked := table[kind]
		reason, listed := unprovoked[kind]
		switch {
		case provoked == listed:
			t.Errorf("%v: it is to be either provoked or listed with the reason why it cannot be", kind)
		case listed && reason == "":
			t.Errorf("%v: it is listed without a reason", kind)
		case provoked:
			t.Run(kind.Code(), func(t *testing.T) { p.hold(t, kind) })
		}
	}
}

// start returns a gateway on which the next request meets the fault.
func (p provocation) start(t *testing.T) *meshtest.Running {
	t.Helper()
	g := meshtest.Gateway(t, p.config(t))
	if p.before != nil {
		p.before(t, g)
	}
	return g
}

func (p provocation) target() string {
	if p.path == "" {
		return "/x"
	}
	return p.path
}

func (p provocation) hold(t *testing.T, kind mesh.Kind) {
	g := p.start(t)
	if p.ask == nil {
		p.answered(t, kind, g.Get(p.target()))
	} else if reply, answered := p.ask(t, g); answered {
		p.answered(t, kind, reply)
	}
	status := kind.Status()
	if kind == mesh.IdleTimeout {
		status = http.StatusOK // it comes after the head
	}
	recorded(t, g, kind, status)
}

// proxyStatus is what strangers are told: no address, no cause.
var proxyStatus = regexp.MustCompile(`^outrider-[0-9a-f]{12}; error=([a-z_]+)$`)

// answered holds what the client reads.
func (p provocation) answered(t *testing.T, kind mesh.Kind, got meshtest.Reply) {
	t.Helper()
	if got.StatusCode != kind.Status() {
		t.Errorf("status %d, want %d", got.StatusCode, kind.Status())
	}
	if media := got.Header.Get("Content-Type"); media != "application/problem+json" {
		t.Errorf("Content-Type %q", media)
	}
	var problem struct {
		Type, Title, Error, Code string
		Status                   int
		RequestID                string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(got.Text), &problem); err != nil {
		t.Fatalf("%v: %s", err, got.Text)
	}
	sentence := kind.Text()
	if p.message != "" {
		sentence = p.message
	}
	if problem.Error != sentence || problem.Code != kind.Code() || problem.Status != kind.Status() ||
		problem.Type != "about:blank" || problem.Title != http.StatusText(kind.Status()) {
		t.Errorf("problem %s, want error %q, code %q, status %d", got.Text, sentence, kind.Code(), kind.Status())
	}
	early := kind == mesh.Loop || kind == mesh.MethodNotAllowed // refused before a request has its ID
	if id := got.Header.Get("X-Request-Id"); !early && (id == "" || id != problem.RequestID) {
		t.Errorf("X-Request-Id %q beside request_id %q", id, problem.RequestID)
	}
	status := proxyStatus.FindStringSubmatch(got.Header.Get("Proxy-Status"))
	if status == nil || status[1] != kind.Token() {
		t.Errorf("Proxy-Status %q, want the error %s and no more", got.Header.Get("Proxy-Status"), kind.Token())
	}
	if wait := got.Header.Get("Retry-After"); p.retryAfter != (wait != "") {
		t.Errorf("Retry-After %q, want one: %v", wait, p.retryAfter)
	}
}

// recorded holds that log and metric tell of one fault of that kind, and the log of
// the status that the client was sent.
func recorded(t *testing.T, g *meshtest.Running, kind mesh.Kind, status int) {
	t.Helper()
	series := fmt.Sprintf(`outrider_faults_total{code=%q,direction="ingress"}`, kind.Code())
	eventually(t, series+" 1", func() bool { return g.Metric(series) == "1" })
	eventually(t, "a line with the code in the access log", func() bool {
		for _, line := range g.Access.Lines(t) {
			if line["code"] != kind.Code() {
				continue
			}
			if line["status"] != float64(status) {
				t.Errorf("the log says status %v, want %d", line["status"], status)
			}
			if line["direction"] != "ingress" || line["error"] == "" {
				t.Errorf("the log says %v", line)
			}
			return true
		}
		return false
	})
}

// to is a configuration with one service for all paths, and whatever else.
func to(url, settings string, further ...string) string {
	return fmt.Sprintf("services: {s: {url: %q, %s}}\nrouting: [{path: /**, service: s}]\n%s", url, settings, strings.Join(further, "\n"))
}

func provocations() map[mesh.Kind]provocation {
	table := map[mesh.Kind]provocation{}
	for _, some := range []map[mesh.Kind]provocation{faultsOfTheClient(), faultsOfPolicy(), faultsOfTheWay(), faultsOfTheAnswer()} {
		for kind, p := range some {
			table[kind] = p
		}
	}
	return table
}

// sound is the configuration of a service that answers everything.
func sound(further ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		return to(meshtest.Origin(t, meshtest.Says(http.StatusOK, "ok")).URL, "retries: 0", further...)
	}
}

// faultsOfTheClient are requests that nobody could serve.
func faultsOfTheClient() map[mesh.Kind]provocation {
	send := func(method, path, body string, headers ...string) func(*testing.T, *meshtest.Running) (meshtest.Reply, bool) {
		return func(_ *testing.T, g *meshtest.Running) (meshtest.Reply, bool) {
			return g.Do(method, path, body, headers...), true
		}
	}
	return map[mesh.Kind]provocation{
		mesh.Malformed: {config: sound(), path: "/a%00b", message: "The path has a control character."},
		mesh.NoRoute: {config: func(t *testing.T) string {
			return "services: {s: {url: 'http://127.0.0.1:1'}}\nrouting: [{path: /only, service: s}]"
		}},
		mesh.MethodNotAllowed: {config: sound(), message: "CONNECT is not supported here.",
			ask: func(_ *testing.T, g *meshtest.Running) (meshtest.Reply, bool) {
				return g.Raw("CONNECT orders:443 HTTP/1.1\r\nHost: orders:443\r\n\r\n"), true
			}},
		mesh.BodyTooLarge:   {config: sound("limits: {body_bytes: 4}"), ask: send("POST", "/x", "hello")},
		mesh.URITooLong:     {config: sound("limits: {uri_bytes: 64}"), path: "/" + strings.Repeat("x", 64)},
		mesh.HeaderTooLarge: {config: sound("limits: {header_count: 10}"), ask: send("GET", "/x", "", manyHeaders(11)...)},
		mesh.Loop:           {config: sound(), before: ringUp},
		mesh.ClientGone:     {config: sound(), ask: comesAndGoes},
	}
}

// manyHeaders returns n header fields.
func manyHeaders(n int) []string {
	var headers []string
	for i := range n {
		headers = append(headers, fmt.Sprintf("X-%d", i), "1")
	}
	return headers
}

// ringUp makes the gateway its own endpoint.
func ringUp(t *testing.T, g *meshtest.Running) {
	t.Helper()
	if err := g.Reload(to(g.URL, "retries: 0")); err != nil {
		t.Fatal(err)
	}
}

// faultsOfPolicy are requests that a rule refuses.
func faultsOfPolicy() map[mesh.Kind]provocation {
	guarded := func(answer http.HandlerFunc) func(*testing.T) string {
		return func(t *testing.T) string {
			auth := meshtest.Origin(t, answer)
			return fmt.Sprintf("services: {s: {url: %q}}\nrouting: [{path: /**, service: s, middleware: [auth]}]\nauth: {validate_url: %q}",
				meshtest.Origin(t, meshtest.Says(http.StatusOK, "")).URL, auth.URL+"/validate")
		}
	}
	withToken := func(_ *testing.T, g *meshtest.Running) (meshtest.Reply, bool) {
		return g.Get("/x", "Authorization", "Bearer t"), true
	}
	once := func(t *testing.T, g *meshtest.Running) { _ = g.Get("/x") }
	return map[mesh.Kind]provocation{
		mesh.Unauthenticated: {config: guarded(meshtest.Says(http.StatusUnauthorized, "")), message: "Token required"},
		mesh.AuthFailed:      {config: guarded(meshtest.Says(http.StatusOK, "?")), ask: withToken, message: "Auth validation failed"},
		mesh.Limited: {config: sound("rate_limiting: {paths: {/**: {requests_per_minute: 1, burst: 1}}}"),
			before: once, retryAfter: true},
		mesh.BreakerOpen: {before: once, retryAfter: true, config: func(t *testing.T) string {
			return to(meshtest.Origin(t, meshtest.Says(http.StatusInternalServerError, "")).URL, "circuit_breaker: {failure_threshold: 1}")
		}},
		mesh.NotCached: {
			config: func(t *testing.T) string {
				return fmt.Sprintf("services: {s: {url: %q}}\nrouting: [{path: /**, service: s, middleware: [cache]}]",
					meshtest.Origin(t, meshtest.Says(http.StatusOK, "")).URL)
			},
			ask: func(_ *testing.T, g *meshtest.Running) (meshtest.Reply, bool) {
				return g.Get("/x", "Cache-Control", "only-if-cached"), true
			},
		},
		mesh.Overflow: fullHouse(),
	}
}
