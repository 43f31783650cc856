package policy_test

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"outrider/internal/mesh"
	"outrider/internal/route"
	"outrider/policy"
)

func TestRedirectLocation(t *testing.T) {
	tests := []struct {
		name    string
		pattern string
		c       policy.RedirectConfig
		url     string
		secure  bool
		want    string
	}{
		{"nothing changed", "/**", policy.RedirectConfig{}, "http://a.example/x/y?q=1&r", false, "http://a.example/x/y?q=1&r"},
		{"nothing changed, TLS", "/**", policy.RedirectConfig{}, "http://a.example/x", true, "https://a.example/x"},
		{"the port of Host stays", "/**", policy.RedirectConfig{}, "http://a.example:8080/x", false, "http://a.example:8080/x"},
		{"the usual port goes", "/**", policy.RedirectConfig{}, "http://a.example:80/x", false, "http://a.example/x"},
		{"the usual port of TLS goes", "/**", policy.RedirectConfig{}, "http://a.example:443/x", true, "https://a.example/x"},
		{"not that of the other", "/**", policy.RedirectConfig{}, "http://a.example:443/x", false, "http://a.example:443/x"},
		{"scheme brings its port", "/**", policy.RedirectConfig{Scheme: "https"}, "http://a.example:8080/x", false, "https://a.example/x"},
		{"same scheme too", "/**", policy.RedirectConfig{Scheme: "http"}, "http://a.example:8080/x", false, "http://a.example/x"},
		{"scheme and port", "/**", policy.RedirectConfig{Scheme: "https", Port: 8443}, "http://a.example:8080/x", false, "https://a.example:8443/x"},
		{"scheme and usual port", "/**", policy.RedirectConfig{Scheme: "https", Port: 443}, "http://a.example/x", false, "https://a.example/x"},
		{"port alone", "/**", policy.RedirectConfig{Port: 9000}, "http://a.example:8080/x", false, "http://a.example:9000/x"},
		{"host keeps the port", "/**", policy.RedirectConfig{Host: "b.example"}, "http://a.example:8080/x", false, "http://b.example:8080/x"},
		{"IPv6 with port", "/**", policy.RedirectConfig{}, "http://[::1]:8080/x", false, "http://[::1]:8080/x"},
		{"IPv6 without", "/**", policy.RedirectConfig{Scheme: "https"}, "http://[::1]:8080/x", false, "https://[::1]/x"},
		{"path", "/old/**", policy.RedirectConfig{Path: "/new"}, "http://a.example/old/x?q", false, "http://a.example/new?q"},
		{"path with tail", "/old/**", policy.RedirectConfig{Path: "/new/**"}, "http://a.example/old/x/y?q=1", false, "http://a.example/new/x/y?q=1"},
		{"path without tail", "/old/**", policy.RedirectConfig{Path: "/new/**"}, "http://a.example/old", false, "http://a.example/new"},
		{"escapes stay", "/old/**", policy.RedirectConfig{Path: "/new/**"}, "http://a.example/old/a%20b%2C", false, "http://a.example/new/a%20b%2C"},
		{"escapes stay without path", "/**", policy.RedirectConfig{}, "http://a.example/a%2Cb?x=%2F", false, "http://a.example/a%2Cb?x=%2F"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := route.ParsePattern(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			tt.c.Pattern = p
			req := get(t.Context(), tt.url)
			mesh.From(req).Secure = tt.secure
			before := *req.URL
			resp, err := policy.Redirect(tt.c).RoundTrip(req)
			if got := passed(t, resp, err).Header.Get("Location"); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if *req.URL != before {
				t.Errorf("the request's URL has become %v", req.URL)
			}
		})
	}
}

// What a trusted proxy told of the client's own request counts, as Forward leaves it.
func TestRedirectBehindAProxy(t *testing.T) {
	told := func(proto, host, port string) []string {
		return []string{"X-Forwarded-Proto", proto, "X-Forwarded-Host", host, "X-Forwarded-Port", port}
	}
	for _, tt := range []struct {
		name    string
		c       policy.RedirectConfig
		told    []string
		trusted bool
		want    string
	}{
		{"all", policy.RedirectConfig{}, told("https", "b.example", "8443"), true, "https://b.example:8443/"},
		{"the usual port", policy.RedirectConfig{}, told("https", "b.example", "443"), true, "https://b.example/"},
		{"the told port, not the host's", policy.RedirectConfig{}, told("http", "b.example:1", "9000"), true, "http://b.example:9000/"},
		{"IPv6", policy.RedirectConfig{}, told("https", "[::1]:8443", "8443"), true, "https://[::1]:8443/"},
		{"the rule's host", policy.RedirectConfig{Host: "c.example"}, told("https", "b.example", "8443"), true, "https://c.example:8443/"},
		{"the rule's scheme", policy.RedirectConfig{Scheme: "https"}, told("http", "b.example", "80"), true, "https://b.example/"},
		{"the rule's port", policy.RedirectConfig{Port: 9000}, told("https", "b.example", "443"), true, "https://b.example:9000/"},
		{"by a stranger", policy.RedirectConfig{}, told("https", "b.example", "8443"), false, "http://a.example:8080/"},
		{"nothing", policy.RedirectConfig{}, nil, true, "http://a.example:8080/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := get(t.Context(), "http://a.example:8080/", tt.told...)
			mesh.From(req).Trusted = tt.trusted
			resp, err := policy.Redirect(tt.c).RoundTrip(req)
			if got := passed(t, resp, err).Header.Get("Location"); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRedirectWithoutHost(t *testing.T) {
	req := get(t.Context(), "http://a.example/x?q=1")
	req.Host = ""
	resp, err := policy.Redirect(policy.RedirectConfig{Scheme: "https"}).RoundTrip(req)
	if got := passed(t, resp, err).Header.Get("Location"); got != "/x?q=1" {
		t.Errorf("got %s, want a reference without authority", got)
	}
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name   string
		origin http.RoundTripper
		method string
		status int
		length int64
		fields map[string]string
		body   string
	}{
		{"redirect", policy.Redirect(policy.RedirectConfig{}), "GET", 302, 0, map[string]string{"Content-Length": "0", "Content-Type": ""}, ""},
		{"permanent redirect", policy.Redirect(policy.RedirectConfig{Status: 308}), "POST", 308, 0, nil, ""},
		{"nothing said", policy.Respond(policy.RespondConfig{}), "GET", 200, 0, map[string]string{"Content-Length": "0", "Content-Type": ""}, ""},
		{"text", policy.Respond(policy.RespondConfig{Status: 503, Body: "later", Headers: map[string]string{"retry-after": "9"}}), "GET", 503, 5, map[string]string{"Content-Length": "5", "Content-Type": "text/plain; charset=utf-8", "Retry-After": "9"}, "later"},
		{"JSON", policy.Respond(policy.RespondConfig{Body: "{}", Headers: map[string]string{"content-type": "application/json"}}), "POST", 200, 2, map[string]string{"Content-Type": "application/json"}, "{}"},
		{"HEAD", policy.Respond(policy.RespondConfig{Body: "later"}), "HEAD", 200, 5, map[string]string{"Content-Length": "5", "Content-Type": "text/plain; charset=utf-8"}, ""},
		{"204", policy.Respond(policy.RespondConfig{Status: 204, Body: "later"}), "GET", 204, 0, map[string]string{"Content-Length": ""}, ""},
		{"304", policy.Respond(policy.RespondConfig{Status: 304, Headers: map[string]string{"Content-Length": "7"}}), "GET", 304, 0, map[string]string{"Content-Length": ""}, ""},
		{"a length of one's own", policy.Respond(policy.RespondConfig{Body: "later", Headers: map[string]string{"Content-Length": "7"}}), "GET", 200, 5, map[string]string{"Content-Length": "5"}, "later"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // layers may edit the first answer's header
				req := request(t.Context(), tt.method, "http://a.example/")
				req.Body = owned{t}
				resp, err := tt.origin.RoundTrip(req)
				passed(t, resp, err)
				body, err := io.ReadAll(resp.Body)
				if err != nil || string(body) != tt.body {
					t.Errorf("body %q, %v; want %q", body, err, tt.body)
				}
				if resp.StatusCode != tt.status || resp.ContentLength != tt.length || resp.Request != req || resp.ProtoMajor != 0 {
					t.Errorf("got %d of length %d, want %d of %d", resp.StatusCode, resp.ContentLength, tt.status, tt.length)
				}
				for name, want := range tt.fields {
					if got := field(resp.Header, name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				for name := range resp.Header {
					resp.Header[name][0] = "edited"
				}
			}
		})
	}
}

// owned is a body that only its owner may touch.
type owned struct{ t *testing.T }

func (o owned) Read([]byte) (int, error) { o.t.Error("the client's body was read"); return 0, io.EOF }
func (o owned) Close() error             { o.t.Error("the client's body was closed"); return nil }

// A redirect never leads to another authority than it says, whatever the path.
func TestRedirectStaysOnItsHost(t *testing.T) {
	for _, path := range []string{"//evil.example/x", "/\\evil.example", "/@evil.example", "*"} {
		req := get(t.Context(), "http://a.example/")
		req.URL = &url.URL{Path: path}
		resp, err := policy.Redirect(policy.RedirectConfig{}).RoundTrip(req)
		u, err2 := url.Parse(passed(t, resp, err).Header.Get("Location"))
		if err2 != nil || u.Host != "a.example" {
			t.Errorf("%s: leads to %v, %v", path, u, err2)
		}
	}
}
