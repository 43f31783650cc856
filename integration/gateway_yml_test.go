package integration_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.yaml.in/yaml/v3"

	"outrider/integration/meshtest"
	"outrider/internal/config"
)

const gatewayYML = "../examples/gateway.yml"

// TestEveryKeyOfGatewayYMLActs holds that examples/gateway.yml, unchanged unless a
// test says otherwise, does what each of its keys says.
func TestEveryKeyOfGatewayYMLActs(t *testing.T) {
	rows := []struct {
		keys string // dots become slashes; * is one step
		acts func(*testing.T)
	}{
		{"server/host", serverIsWhereItSays},
		{"server/port", serverIsWhereItSays},
		{"services/*/url", urlsLeadToTheirServices},
		{"services/*/health_check", healthChecksAct},
		{"services/*/timeout", timeoutsAct},
		{"services/auth-service/retries", retriesAct},
		{"routing/*/path", pathsMatch},
		{"routing/*/service", urlsLeadToTheirServices},
		{"routing/0/strip_path", pathsAreNotStripped},
		{"routing/*/middleware/auth", authActs},
		{"routing/*/middleware/rate-limit", defaultLimitActs},
		{"routing/*/middleware/circuit-breaker", breakerOpens},
		{"rate_limiting/default/requests_per_minute", defaultLimitActs},
		{"rate_limiting/default/burst", defaultLimitActs},
		{"rate_limiting/paths/api~auth~login/requests_per_minute", loginLimitActs},
		{"rate_limiting/paths/api~auth~login/burst", loginLimitActs},
		{"circuit_breaker/failure_threshold", breakerOpens},
		{"circuit_breaker/recovery_timeout", breakerCloses},
		{"circuit_breaker/success_threshold", breakerCloses},
	}
	for _, row := range rows {
		t.Run(row.keys, row.acts)
	}
	for _, key := range keysOf(t, gatewayYML) {
		named := false
		for _, row := range rows {
			matches, err := path.Match(row.keys, key)
			named = named || err == nil && matches
		}
		if !named {
			t.Errorf("no test names the key %s", key)
		}
	}
}

// keysOf returns the path of each value in a YAML file.
func keysOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var keys []string
	var visit func(at string, v any)
	visit = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				visit(path.Join(at, strings.ReplaceAll(strings.Trim(key, "/"), "/", "~")), value)
			}
		case []any:
			for i, value := range v {
				if word, ok := value.(string); ok {
					keys = append(keys, path.Join(at, word))
				} else {
					visit(path.Join(at, strconv.Itoa(i)), value)
				}
			}
		default:
			keys = append(keys, at)
		}
	}
	visit("", doc)
	if len(keys) < 20 {
		t.Fatalf("only %d keys in %s: %q", len(keys), file, keys)
	}
	return keys
}

// shop is what gateway.yml describes: the gateway and its three services.
type shop struct {
	*meshtest.Running
	auth, users, orders *meshtest.Endpoint
	authAnswers         atomic.Pointer[http.HandlerFunc]
}

const goodToken = "good"

// openShop starts the three services where gateway.yml looks for them, and the
// gateway. A nil handler answers with the service's name.
func openShop(t *testing.T, file string, users, orders http.HandlerFunc, options ...meshtest.Option) *shop {
	t.Helper()
	named := func(name string, h http.HandlerFunc) http.HandlerFunc {
		if h != nil {
			return h
		}
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s %s %s", name, r.Method, r.URL.Path)
		}
	}
	s := &shop{}
	other := named("auth-service", nil)
	s.authSays(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/validate":
			other(w, r)
		case r.Header.Get("Authorization") != "Bearer "+goodToken:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = w.Write([]byte(`{"id":"42","role":"admin"}`))
		}
	})
	hosts := map[string]string{"auth-service": meshtest.OwnHost(), "user-service": meshtest.OwnHost(), "order-service": meshtest.OwnHost()}
	s.auth = meshtest.OriginAt(t, hosts["auth-service"]+":3001", func(w http.ResponseWriter, r *http.Request) {
		(*s.authAnswers.Load())(w, r)
	})
	s.users = meshtest.OriginAt(t, hosts["user-service"]+":3002", named("user-service", users))
	s.orders = meshtest.OriginAt(t, hosts["order-service"]+":3003", named("order-service", orders))
	s.Running = meshtest.GatewayFile(t, file, append(options, meshtest.Names(hosts))...)
	return s
}

// authSays makes h what the auth service answers from now on.
func (s *shop) authSays(h http.HandlerFunc) { s.authAnswers.Store(&h) }

// as sends a GET with the good token.
func (s *shop) as(path string, headers ...string) meshtest.Reply {
	return s.Get(path, append(headers, "Authorization", "Bearer "+goodToken)...)
}

// edited returns a copy of gateway.yml in which each old is replaced by its new.
func edited(t *testing.T, oldnew ...string) string {
	t.Helper()
	raw, err := os.ReadFile(gatewayYML)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("gateway.yml does not say %q", oldnew[i])
		}
		text = strings.ReplaceAll(text, oldnew[i], oldnew[i+1])
	}
	file := filepath.Join(t.TempDir(), "gateway.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func serverIsWhereItSays(t *testing.T) {
	cfg, err := config.Load(config.Options{File: gatewayYML, Mode: config.Ingress})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Server.Host != "0.0.0.0" || cfg.Server.Port != 8080 {
		t.Errorf("the file says %s port %d, want 0.0.0.0 port 8080", cfg.Server.Host, cfg.Server.Port)
	}
	addr := freeAddress(t)
	host, port, _ := net.SplitHostPort(addr)
	s := openShop(t, edited(t, "host: 0.0.0.0", "host: "+host, "port: 8080", "port: "+port), nil, nil, meshtest.AsWritten())
	if want := "http://" + addr; s.URL != want {
		t.Errorf("the gateway listens on %s, want %s", s.URL, want)
	}
	if got := s.Get("/api/auth/me"); got.StatusCode != http.StatusOK {
		t.Errorf("status %d", got.StatusCode)
	}
}

// freeAddress returns an address where nobody listens, on a host of its own.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", meshtest.OwnHost()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func urlsLeadToTheirServices(t *testing.T) {
	s := openShop(t, gatewayYML, nil, nil)
	for at, want := range map[string]string{
		"/api/auth/me":  "auth-service GET /api/auth/me",
		"/api/users/7":  "user-service GET /api/users/7",
		"/api/orders/7": "order-service GET /api/orders/7",
	} {
		if got := s.as(at); got.Text != want {
			t.Errorf("%s: %d %q, want %q", at, got.StatusCode, got.Text, want)
		}
	}
}

// healthChecksAct looks at each endpoint's first probe; the next is 30 s away.
func healthChecksAct(t *testing.T) {
	s := openShop(t, gatewayYML, nil, nil)
	for name, e := range map[string]*meshtest.Endpoint{"auth": s.auth, "users": s.users, "orders": s.orders} {
		eventually(t, "a probe of "+name, func() bool { return e.Probes() > 0 })
	}
	if state := endpointOf(t, s.Running, "user-service")["state"]; state != "healthy" {
		t.Errorf("an endpoint that passes its check is %v", state)
	}
	ill := meshtest.OriginAt(t, meshtest.OwnHost()+":3002", meshtest.Says(http.StatusOK, ""))
	ill.SetHealth(http.StatusServiceUnavailable)
	host, _, _ := net.SplitHostPort(ill.Listener.Addr().String())
	g := meshtest.GatewayFile(t, gatewayYML, meshtest.Names(map[string]string{"user-service": host}))
	var shown map[string]any
	eventually(t, "/services shows that the endpoint is unhealthy", func() bool {
		shown = endpointOf(t, g, "user-service")
		return shown["state"] == "unhealthy"
	})
	if note := fmt.Sprint(shown["note"]); !strings.Contains(note, "503") {
		t.Errorf("note %q does not tell the status", note)
	}
	eventually(t, "the change is counted", func() bool {
		return g.Metric(`outrider_health_changes_total{service="user-service",to="unhealthy"}`) == "1"
	})
}

// endpointOf returns the only endpoint of a service as /services shows it.
func endpointOf(t *testing.T, g *meshtest.Running, service string) map[string]any {
	t.Helper()
	services, _ := g.Show("/services")["services"].([]any)
	for _, s := range services {
		s, _ := s.(map[string]any)
		if s["name"] != service {
			continue
		}
		if endpoints, _ := s["endpoints"].([]any); len(endpoints) == 1 {
			e, _ := endpoints[0].(map[string]any)
			return e
		}
	}
	t.Fatalf("/services shows no endpoint of %s: %v", service, services)
	return nil
}

func timeoutsAct(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	s := openShop(t, edited(t, "timeout: 3000", "timeout: 50"), hang, nil)
	for name, want := range map[string]string{"auth-service": "5s", "user-service": "50ms", "order-service": "10s"} {
		if got := shownTimeout(s.Running, name); got != want {
			t.Errorf("/config: %s has timeout %v, want %s", name, got, want)
		}
	}
	got := s.as("/api/users/1")
	if got.StatusCode != http.StatusGatewayTimeout || got.JSON(t)["code"] != "response_timeout" {
		t.Errorf("a service that is too slow: %d %s", got.StatusCode, got.Text)
	}
	unchanged := openShop(t, gatewayYML, nil, nil)
	if got := shownTimeout(unchanged.Running, "user-service"); got != "3s" {
		t.Errorf("/config: user-service has timeout %v, want 3s", got)
	}
}

func shownTimeout(g *meshtest.Running, service string) any {
	services, _ := g.Show("/config")["services"].(map[string]any)
	s, _ := services[service].(map[string]any)
	return s["timeout"]
}

func retriesAct(t *testing.T) {
	t.Run("answers of 503", func(t *testing.T) {
		s := openShop(t, gatewayYML, nil, nil)
		s.authSays(meshtest.Says(http.StatusServiceUnavailable, "busy"))
		if got := s.Get("/api/auth/me"); got.StatusCode != http.StatusServiceUnavailable || got.Text != "busy" {
			t.Errorf("%d %s", got.StatusCode, got.Text)
		}
		if got := s.auth.Requests(); got != 4 {
			t.Errorf("the endpoint got %d requests, want one and three retries", got)
		}
		attemptsOf(t, s.Running, "/api/auth/me", 4)
	})
	t.Run("no connection, whatever the method", func(t *testing.T) {
		s := openShop(t, gatewayYML, nil, nil)
		s.auth.Close()
		got := s.Do(http.MethodPost, "/api/auth/me", "a body")
		if got.StatusCode != http.StatusBadGateway || got.JSON(t)["code"] != "refused" {
			t.Errorf("%d %s", got.StatusCode, got.Text)
		}
		attemptsOf(t, s.Running, "/api/auth/me", 4)
	})
}

// attemptsOf holds that the request for path took so many attempts.
func attemptsOf(t *testing.T, g *meshtest.Running, path string, want float64) {
	t.Helper()
	eventually(t, "a log line of "+path, func() bool {
		for _, line := range g.Access.Lines(t) {
			if line["path"] == path {
				if line["attempt_count"] != want {
					t.Errorf("%v attempts, want %v", line["attempt_count"], want)
				}
				return true
			}
		}
		return false
	})
}

func pathsMatch(t *testing.T) {
	s := openShop(t, gatewayYML, nil, nil)
	for _, prefix := range []string{"/api/auth", "/api/users", "/api/orders"} {
		for _, at := range []string{prefix, prefix + "/", prefix + "/a", prefix + "/a/b/c?d=e"} {
			if got := s.as(at); got.StatusCode != http.StatusOK {
				t.Errorf("%s: %d, want 200", at, got.StatusCode)
			}
		}
		for _, at := range []string{prefix + "x", "/x" + prefix, "/api", "/"} {
			if got := s.as(at); got.StatusCode != http.StatusNotFound || got.JSON(t)["code"] != "no_route" {
				t.Errorf("%s: %d %s, want no route", at, got.StatusCode, got.Text)
			}
		}
	}
}

func pathsAreNotStripped(t *testing.T) {
	s := openShop(t, gatewayYML, nil, nil)
	if got := s.Do(http.MethodPut, "/api/auth/a/b", ""); got.Text != "auth-service PUT /api/auth/a/b" {
		t.Errorf("the service saw %q", got.Text)
	}
}
