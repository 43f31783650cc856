package admin_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/internal/admin"
)

func TestPaths(t *testing.T) {
	h := admin.New(full())
	tests := []struct {
		method, path string
		status       int
		kind         string // Content-Type
		body         string // somewhere in it
	}{
		{"GET", "/live", 200, "text/plain; charset=utf-8", "ok\n"},
		{"HEAD", "/live", 200, "text/plain; charset=utf-8", ""},
		{"GET", "/ready", 200, "text/plain; charset=utf-8", "ok\n"},
		{"GET", "/metrics", 200, "", "up 1\n"},
		{"GET", "/config", 200, "application/json", `"port": 8080`},
		{"GET", "/services", 200, "application/json", `"address": "10.0.1.5:3001"`},
		{"GET", "/log-level", 200, "application/json", `"level": "info"`},
		{"POST", "/reload", 200, "application/json", `"status": "ok"`},
		{"GET", "/", 200, "text/html; charset=utf-8", "Outrider"},
		{"GET", "/debug/pprof/", 200, "text/html; charset=utf-8", "goroutine"},
		{"GET", "/debug/pprof/cmdline", 200, "text/plain; charset=utf-8", ""},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "text/plain; charset=utf-8", "goroutine profile"},
		{"GET", "/debug/pprof/trace?seconds=0.01", 200, "application/octet-stream", "go 1."},
		{"GET", "/debug/pprof/symbol", 200, "text/plain; charset=utf-8", "num_symbols"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := ask(h, tt.method, tt.path, nil)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			if kind := w.Header().Get("Content-Type"); tt.kind != "" && kind != tt.kind {
				t.Errorf("Content-Type = %q, want %q", kind, tt.kind)
			}
			if !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("no %q in %s", tt.body, w.Body)
			}
		})
	}
}

func TestWrongMethods(t *testing.T) {
	h := admin.New(full())
	tests := []struct{ method, path, allow string }{
		{"POST", "/", "GET, HEAD"},
		{"POST", "/live", "GET, HEAD"},
		{"DELETE", "/config", "GET, HEAD"},
		{"POST", "/services", "GET, HEAD"},
		{"POST", "/metrics", "GET, HEAD"},
		{"GET", "/reload", "POST"},
		{"HEAD", "/reload", "POST"},
		{"GET", "/drain", "POST"},
		{"GET", "/leave", "POST"},
		{"PUT", "/log-level", "GET, HEAD, POST"},
		{"POST", "/debug/pprof/profile", "GET, HEAD"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := ask(h, tt.method, tt.path, nil)
			isProblem(t, w, http.StatusMethodNotAllowed, tt.allow)
			if got := w.Header().Get("Allow"); got != tt.allow {
				t.Errorf("Allow = %q, want %q", got, tt.allow)
			}
		})
	}
}

func TestUnknownPath(t *testing.T) {
	for _, path := range []string{"/nothing", "/live/x", "/configs", "/debug/vars", "/%3Cscript%3E"} {
		isProblem(t, ask(admin.New(full()), "GET", path, nil), http.StatusNotFound, "There is nothing at")
	}
}

func TestWhatConfigLacksDoesNotExist(t *testing.T) {
	h := admin.New(admin.Config{})
	for _, path := range []string{"/metrics", "/config", "/services", "/log-level", "/reload", "/drain", "/leave"} {
		isProblem(t, ask(h, "GET", path, nil), http.StatusNotFound, path)
	}
	for _, path := range []string{"/live", "/ready", "/"} {
		if w := ask(h, "GET", path, nil); w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	page := ask(h, "GET", "/", nil).Body.String()
	for _, absent := range []string{`href="/config"`, `href="/metrics"`, "Log level", "Last reload", "<dt>Up"} {
		if strings.Contains(page, absent) {
			t.Errorf("the page shows %q", absent)
		}
	}
}

func TestHealthSaysWhatIsMissing(t *testing.T) {
	sick := admin.Config{
		Live:  func() error { return errBroken },
		Ready: func() []string { return []string{"orders: no endpoint", "users: no endpoint"} },
	}
	tests := []struct{ name, path, accept, want string }{
		{"live", "/live", "", "unavailable\nbroken\n"},
		{"ready", "/ready", "*/*", "unavailable\norders: no endpoint\nusers: no endpoint\n"},
		{"ready as JSON", "/ready", "text/html, application/json;q=0.9",
			"{\n  \"status\": \"unavailable\",\n  \"reasons\": [\n    \"orders: no endpoint\",\n    \"users: no endpoint\"\n  ]\n}\n"},
	}
	for _, tt := range tests {
		for port, h := range map[string]http.Handler{"admin": admin.New(sick), "probe": admin.Probe(sick)} {
			t.Run(tt.name+" on "+port, func(t *testing.T) {
				w := ask(h, "GET", tt.path, header("Accept", tt.accept))
				if w.Code != http.StatusServiceUnavailable || w.Body.String() != tt.want {
					t.Errorf("%d %q, want 503 %q", w.Code, w.Body, tt.want)
				}
			})
		}
	}
	if w := ask(admin.New(full()), "GET", "/ready", header("Accept", "application/json")); w.Body.String() != "{\n  \"status\": \"ok\"\n}\n" {
		t.Errorf("ready as JSON: %q", w.Body)
	}
}

func TestLogLevel(t *testing.T) {
	form := func(body string) func(*http.Request) {
		return func(r *http.Request) {
			*r = *httptest.NewRequest(http.MethodPost, "/log-level", strings.NewReader(body))
			r.Host = "localhost"
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	tests := []struct {
		name, path string
		edit       func(*http.Request)
		want       slog.Level
		status     int
	}{
		{"in the query", "/log-level?level=debug", nil, slog.LevelDebug, 200},
		{"as a form", "/log-level", form("level=error"), slog.LevelError, 200},
		{"warn", "/log-level?level=warn", nil, slog.LevelWarn, 200},
		{"info", "/log-level?level=info", nil, slog.LevelInfo, 200},
		{"unknown", "/log-level?level=loud", nil, slog.LevelInfo, 400},
		{"missing", "/log-level", nil, slog.LevelInfo, 400},
		{"slog's arithmetic", "/log-level?level=INFO%2B2", nil, slog.LevelInfo, 400},
		{"a form that never ends", "/log-level", form("level=debug&x=" + strings.Repeat("x", 1<<20)), slog.LevelInfo, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := full()
			var logged bytes.Buffer
			c.Log = slog.New(slog.NewTextHandler(&logged, nil))
			w := ask(admin.New(c), "POST", tt.path, tt.edit)
			if w.Code != tt.status || c.Level.Level() != tt.want {
				t.Errorf("status %d, level %s, want %d, %s", w.Code, c.Level.Level(), tt.status, tt.want)
			}
			if tt.status != 200 {
				isProblem(t, w, tt.status, "Send level=")
				return
			}
			if want := strings.ToLower(tt.want.String()); !strings.Contains(w.Body.String(), `"level": "`+want+`"`) {
				t.Errorf("answered %s", w.Body)
			}
			if !strings.Contains(logged.String(), "to="+tt.want.String()) {
				t.Errorf("logged %q", &logged)
			}
		})
	}
}

func TestGoingIsAskedFor(t *testing.T) {
	c := full()
	var asked []string
	c.Drain = func() { asked = append(asked, "draining") }
	c.Leave = func() { asked = append(asked, "leaving") }
	for path, status := range map[string]string{"/drain": "draining", "/leave": "leaving"} {
		asked = nil
		w := ask(admin.New(c), "POST", path, nil)
		if w.Code != http.StatusAccepted || len(asked) != 1 || asked[0] != status || !strings.Contains(w.Body.String(), `"status": "`+status+`"`) {
			t.Errorf("%s: status %d, asked %q, answered %s", path, w.Code, asked, w.Body)
		}
		foreign := ask(admin.New(c), "POST", path, header("Sec-Fetch-Site", "cross-site"))
		if foreign.Code != http.StatusForbidden || len(asked) != 1 {
			t.Errorf("%s of another site's page: status %d, asked %q", path, foreign.Code, asked)
		}
	}
}

func TestReloadRefused(t *testing.T) {
	c := full()
	c.Reload = func(context.Context) error { return errBroken }
	isProblem(t, ask(admin.New(c), "POST", "/reload", nil), http.StatusUnprocessableEntity, "refused, and the one before stays: broken")
}

func TestServicesAreNeverNull(t *testing.T) {
	c := full()
	c.Services = func() []admin.Service { return nil }
	if got := ask(admin.New(c), "GET", "/services", nil).Body.String(); got != "{\n  \"services\": []\n}\n" {
		t.Errorf("no services: %q", got)
	}
	golden(t, "services.json", ask(admin.New(full()), "GET", "/services", nil).Body.String())
}

func TestProbeShowsHealthAndMetricsOnly(t *testing.T) {
	c := full()
	c.Token = func() string { return "s3cr3t" } // asked for on the admin port only
	h := admin.Probe(c)
	anywhere := func(r *http.Request) { r.Host = "10.1.2.3:15020" }
	for _, path := range []string{"/live", "/ready", "/metrics"} {
		for _, method := range []string{"GET", "HEAD"} {
			if w := ask(h, method, path, anywhere); w.Code != http.StatusOK {
				t.Errorf("%s %s: status %d", method, path, w.Code)
			}
		}
		isProblem(t, ask(h, "POST", path, anywhere), http.StatusMethodNotAllowed, "GET, HEAD")
	}
	for _, path := range []string{"/", "/config", "/services", "/log-level", "/reload", "/drain", "/leave", "/debug/pprof/", "/debug/pprof/heap"} {
		isProblem(t, ask(h, "GET", path, anywhere), http.StatusNotFound, "There is nothing at")
		isProblem(t, ask(h, "POST", path, anywhere), http.StatusNotFound, "There is nothing at")
	}
}
