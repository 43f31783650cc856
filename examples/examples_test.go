package examples_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"outrider/examples"
	"outrider/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs an instance on a free port until the test ends.
func start(t *testing.T, s examples.Service) *examples.Server {
	t.Helper()
	srv, err := examples.Start(t.Context(), s, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	return srv
}

// send sends one request on a connection of its own.
func send(t *testing.T, method, url, body string, header http.Header) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

func TestServicesAnswerAsTheySay(t *testing.T) {
	bearer := func(token string) http.Header { return http.Header{"Authorization": {token}} }
	known := http.Header{"X-User-Id": {"42"}, "X-User-Role": {"admin"}}
	tests := []struct {
		service           examples.Service
		method, path      string
		header            http.Header
		body              string
		status            int
		want              string
		withoutAnInstance bool
	}{
		{service: examples.Auth("auth-1"), method: "GET", path: "/health", status: 200, want: `{"status":"ok"}`, withoutAnInstance: true},
		{service: examples.Auth("auth-1"), method: "POST", path: "/api/auth/login", status: 200, want: `{"token":"test-token"}`},
		{service: examples.Auth("auth-1"), method: "GET", path: "/api/auth/login", status: 405},
		{service: examples.Auth("auth-1"), method: "GET", path: "/validate", header: bearer("Bearer " + examples.Token), status: 200, want: `{"id":"42","role":"admin"}`},
		{service: examples.Auth("auth-1"), method: "GET", path: "/validate", header: bearer("Bearer stolen"), status: 401, want: `{"error":"unknown token"}`},
		{service: examples.Auth("auth-1"), method: "GET", path: "/validate", status: 401, want: `{"error":"unknown token"}`},
		{service: examples.Users("users-1"), method: "GET", path: "/health", status: 200, want: `{"status":"ok"}`, withoutAnInstance: true},
		{service: examples.Users("users-1"), method: "GET", path: "/api/users", status: 200, want: `{"users":{"1":"Ada","2":"Grace","42":"Barbara"}}`},
		{service: examples.Users("users-1"), method: "GET", path: "/api/users/me", header: known, status: 200, want: `{"id":"42","role":"admin"}`},
		{service: examples.Users("users-1"), method: "GET", path: "/api/users/2", status: 200, want: `{"id":"2","name":"Grace"}`},
		{service: examples.Users("users-1"), method: "GET", path: "/api/users/3", status: 404, want: `{"error":"no such user"}`},
		{service: examples.Users("users-1"), method: "GET", path: "/elsewhere", status: 404},
		{service: examples.Orders("orders-1"), method: "GET", path: "/health", status: 200, want: `{"status":"ok"}`, withoutAnInstance: true},
		{service: examples.Orders("orders-1"), method: "GET", path: "/api/orders", header: known, status: 200, want: `{"orders":["tea","cake"],"user":"42"}`},
		{service: examples.Orders("orders-1"), method: "POST", path: "/api/orders", body: `{"item":"tea"}`, status: 201, want: `{"ordered":{"item":"tea"}}`},
		{service: examples.Orders("orders-1"), method: "POST", path: "/api/orders", body: `tea`, status: 400, want: `{"error":"an order is a JSON object"}`},
		{service: examples.Orders("orders-1"), method: "GET", path: "/api/orders/broken", status: 500, want: `{"error":"the kitchen is on fire"}`},
	}
	for _, tt := range tests {
		t.Run(tt.service.Name+" "+tt.method+" "+tt.path, func(t *testing.T) {
			srv := start(t, tt.service)
			resp, err := send(t, tt.method, "http://"+srv.Addr+tt.path, tt.body, tt.header)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || tt.want != "" && strings.TrimSpace(string(text)) != tt.want {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, text, tt.status, tt.want)
			}
			if tt.want != "" && (resp.Header.Get("Content-Type") != "application/json" || !json.Valid(text)) {
				t.Errorf("Content-Type %q: %s", resp.Header.Get("Content-Type"), text)
			}
			if got := resp.Header.Get("X-Instance"); got != tt.service.Name && !tt.withoutAnInstance {
				t.Errorf("X-Instance %q, want %q", got, tt.service.Name)
			}
		})
	}
}

func TestStartOnAPortThatIsTaken(t *testing.T) {
	srv := start(t, examples.Users("users-1"))
	other, err := examples.Start(t.Context(), examples.Users("users-2"), srv.Addr)
	if err == nil {
		other.Stop()
		t.Fatal("two instances listen on one port")
	}
	if !strings.Contains(err.Error(), srv.Addr) {
		t.Errorf("the error does not name %s: %v", srv.Addr, err)
	}
}

func TestQuitKills(t *testing.T) {
	srv := start(t, examples.Users("users-1"))
	if resp, err := send(t, http.MethodGet, "http://"+srv.Addr+"/quit", "", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed && resp.StatusCode != http.StatusNotFound {
		t.Fatalf("a GET must not kill: %v, %v", resp, err)
	}
	// A connection in use goes down with the instance.
	idle, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if _, err := io.WriteString(idle, "GET /health HTTP/1.1\r\nHost: users\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}

	if resp, err := send(t, http.MethodPost, "http://"+srv.Addr+"/quit", "", nil); err == nil {
		t.Errorf("it said goodbye: %s", resp.Status)
	}
	<-srv.Done()
	if _, err := io.Copy(io.Discard, idle); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection ended with %v", err)
	}
	if resp, err := send(t, http.MethodGet, "http://"+srv.Addr+"/health", "", nil); err == nil {
		t.Errorf("it lives: %s", resp.Status)
	}
	again, err := examples.Start(t.Context(), examples.Users("users-1"), srv.Addr)
	if err != nil {
		t.Fatalf("its port is not free: %v", err)
	}
	again.Stop()
}

func TestAnInstanceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv, err := examples.Start(ctx, examples.Auth("auth-1"), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-srv.Done()
	srv.Stop() // once more is no harm
}

func TestStopTwice(t *testing.T) {
	srv := start(t, examples.Auth("auth-1"))
	srv.Stop()
	srv.Stop()
}

// What the demo starts is what its configurations lead to, and no two share a port.
func TestTheDemoStartsWhatItsConfigurationsName(t *testing.T) {
	gateway := loadDemo(t, config.Ingress, examples.DemoConfig)
	instances := map[string]int{} // by service
	ports := map[string]bool{gateway.Admin.Listen: true}
	for _, i := range examples.DemoInstances() {
		cfg := loadDemo(t, config.Run, i.SidecarConfig())
		if cfg.Service.Name != i.Of || cfg.Service.ID != i.Service.Name || cfg.Service.App != i.Addr {
			t.Errorf("the sidecar of %s stands beside %+v", i.Service.Name, *cfg.Service)
		}
		instances[cfg.Service.Name]++
		for _, port := range []string{i.Addr, cfg.Inbound.Listen, cfg.Outbound.Listen, cfg.Admin.Listen} {
			if ports[port] {
				t.Errorf("%s: the port %s is used twice", i.Service.Name, port)
			}
			ports[port] = true
		}
		for name, s := range cfg.Services {
			if gateway.Services[name] == nil || s.Consul == nil {
				t.Errorf("%s calls %s, which is no service of the registry", i.Service.Name, name)
			}
		}
	}
	for name := range gateway.Services {
		if instances[name] != 2 {
			t.Errorf("%s has %d instances, want 2", name, instances[name])
		}
	}
}

// loadDemo reads a configuration that must be valid.
func loadDemo(t *testing.T, mode config.Mode, text []byte) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Options{File: "demo.yml", Mode: mode, ReadFile: func(string) ([]byte, error) { return text, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// What a request came with goes along with the call that it leads to.
func TestUsersAskTheirPeer(t *testing.T) {
	asked := make(chan *http.Request, 1)
	orders := start(t, examples.Service{Name: "orders-1", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.WriteHeader(http.StatusTeapot)
	})})
	users := start(t, examples.Users("users-1", examples.Peer{Via: "http://" + orders.Addr, Name: "orders"}))
	resp, err := send(t, http.MethodGet, "http://"+users.Addr+"/api/users/42/orders", "", http.Header{"X-Request-Id": {"one"}, "Cookie": {"secret"}})
	if err != nil {
		t.Fatal(err)
	}
	got := <-asked
	if got.Host != "orders" || got.URL.Path != "/api/orders" || got.Header.Get("X-Request-Id") != "one" || got.Header.Get("Cookie") != "" {
		t.Errorf("orders was asked for %s%s with %v", got.Host, got.URL, got.Header)
	}
	if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Instance") != "users-1" || resp.Header.Get("X-Peer-Instance") != "orders-1" {
		t.Errorf("status %d, %v", resp.StatusCode, resp.Header)
	}
}
