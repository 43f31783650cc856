package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/internal/admin"
)

func TestHostMustBeLoopback(t *testing.T) {
	h := admin.New(full())
	tests := []struct {
		host string
		ok   bool
	}{
		{"localhost", true},
		{"LOCALHOST:15000", true},
		{"127.0.0.1", true},
		{"127.0.0.1:15000", true},
		{"127.8.9.10:1", true},
		{"[::1]", true},
		{"[::1]:15000", true},
		{"[::ffff:127.0.0.1]:15000", true},
		{"", false},
		{"evil.example", false},
		{"localhost.evil.example:15000", false},
		{"127.0.0.1.evil.example", false},
		{"10.0.0.1:15000", false},
		{"0.0.0.0:15000", false},
		{"[::]:15000", false},
		{"[::1", false},
		{"[::ffff:10.0.0.1]", false},
		{"localhost:1:2", false},
		{"2130706433", false}, // 127.0.0.1 as one number
		{"127.1", false},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			w := ask(h, "GET", "/config", func(r *http.Request) { r.Host = tt.host })
			if tt.ok && w.Code != http.StatusOK {
				t.Errorf("refused: %d %s", w.Code, w.Body)
			}
			if !tt.ok {
				isProblem(t, w, http.StatusForbidden, "only to localhost")
			}
		})
	}
}

func TestOtherSitesPagesAreRefused(t *testing.T) {
	h := admin.New(full())
	tests := []struct {
		name, method, path string
		headers            map[string]string
		ok                 bool
	}{
		{"curl", "POST", "/reload", nil, true},
		{"our own page", "POST", "/reload", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:15000"}, true},
		{"typed into the address bar", "GET", "/", map[string]string{"Sec-Fetch-Site": "none"}, true},
		{"another site's form", "POST", "/reload", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, false},
		{"an old browser's form", "POST", "/reload", map[string]string{"Origin": "http://evil.example"}, false},
		{"a neighbour port's script", "POST", "/log-level?level=debug", map[string]string{"Origin": "http://localhost:3000"}, false},
		{"another site's image", "GET", "/debug/pprof/heap", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, false},
		{"another site's link", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, true},
		{"another site's link to a profile", "GET", "/debug/pprof/heap", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, false},
		{"another site's frame", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, false},
		{"another port's fetch", "GET", "/config", map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(h, tt.method, tt.path, func(r *http.Request) {
				for name, value := range tt.headers {
					r.Header.Set(name, value)
				}
			})
			if tt.ok && w.Code != http.StatusOK {
				t.Errorf("refused: %d %s", w.Code, w.Body)
			}
			if !tt.ok {
				isProblem(t, w, http.StatusForbidden, "pages of other sites")
			}
		})
	}
}

func TestToken(t *testing.T) {
	token := "s3cr3t"
	c := full()
	c.Token = func() string { return token }
	h := admin.New(c)
	tests := []struct {
		name, path, authorization string
		ok                        bool
	}{
		{"right", "/config", "Bearer s3cr3t", true},
		{"the scheme's case is free", "/config", "bearer s3cr3t", true},
		{"none", "/config", "", false},
		{"wrong", "/config", "Bearer s3cr3T", false},
		{"a prefix", "/config", "Bearer s3cr3", false},
		{"empty", "/config", "Bearer ", false},
		{"another scheme", "/config", "Basic s3cr3t", false},
		{"no scheme", "/config", "s3cr3t", false},
		{"live is exempt", "/live", "", true},
		{"ready is exempt", "/ready", "", true},
		{"a path that begins like live is not", "/live/../config", "", false},
		{"metrics are not", "/metrics", "", false},
		{"the page is not", "/", "", false},
		{"what does not exist is not told", "/nothing", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(h, "GET", tt.path, header("Authorization", tt.authorization))
			if tt.ok {
				if w.Code != http.StatusOK {
					t.Errorf("refused: %d %s", w.Code, w.Body)
				}
				return
			}
			isProblem(t, w, http.StatusUnauthorized, "Authorization: Bearer")
			if got := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
				t.Errorf("WWW-Authenticate = %q", got)
			}
		})
	}

	token = "n3xt" // read anew for every request
	if w := ask(h, "GET", "/config", header("Authorization", "Bearer s3cr3t")); w.Code != http.StatusUnauthorized {
		t.Errorf("the token before still opens: %d", w.Code)
	}
}

func TestAnEmptyTokenLetsNobodyIn(t *testing.T) {
	c := full()
	c.Token = func() string { return "" }
	h := admin.New(c)
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer x"} {
		isProblem(t, ask(h, "GET", "/config", header("Authorization", authorization)), http.StatusUnauthorized, "Authorization: Bearer")
	}
	if w := ask(h, "GET", "/live", nil); w.Code != http.StatusOK {
		t.Errorf("/live is refused: %d", w.Code)
	}
	c.Token = nil
	if w := ask(admin.New(c), "GET", "/config", nil); w.Code != http.StatusOK {
		t.Errorf("where none is asked for: %d", w.Code)
	}
}

func TestEveryAnswerIsSecured(t *testing.T) {
	c := full()
	for name, h := range map[string]http.Handler{"admin": admin.New(c), "probe": admin.Probe(c)} {
		for _, path := range []string{"/", "/live", "/metrics", "/nothing"} {
			w := ask(h, "GET", path, nil)
			for field, want := range map[string]string{
				"Cache-Control":                "no-store",
				"Content-Security-Policy":      "default-src 'none'",
				"Cross-Origin-Resource-Policy": "same-origin",
				"Referrer-Policy":              "no-referrer",
				"X-Content-Type-Options":       "nosniff",
				"X-Frame-Options":              "DENY",
			} {
				if got := w.Header().Get(field); !strings.HasPrefix(got, want) {
					t.Errorf("%s %s: %s = %q, want %q", name, path, field, got, want)
				}
			}
		}
	}
}
