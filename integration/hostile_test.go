package integration_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"outrider/integration/meshtest"
)

// trick is a request target that tries to pass by a rule.
type trick struct {
	target string
	want   int // status of the answer to a request without a token
}

// tricks on /api/users/**, which needs a token; everything else is open, and leads to
// the same endpoint.
func tricks() []trick {
	const refused, guarded, open, tooLong = http.StatusBadRequest, http.StatusUnauthorized, http.StatusOK, http.StatusRequestURITooLong
	return []trick{
		// As it is meant.
		{"/api/users/1", guarded}, {"/api/users", guarded}, {"/api/users/", guarded}, {"/open", open},
		// Dot segments.
		{"/open/../api/users/1", guarded}, {"/../../api/users/1", guarded}, {"/./api/./users/./1", guarded},
		{"/api/users/../users/1", guarded}, {"/api/users/..", open}, {"/open/..", open},
		{"/open/%2e%2e/api/users/1", guarded}, {"/open/%2E%2e/api/users/1", guarded}, {"/open/.%2e/api/users/1", guarded},
		{"/api/%2e/users/1", guarded}, {"/open/" + strings.Repeat("../", 3000) + "api/users/1", guarded},
		{"/open#/../api/users/1", guarded}, {"/open?/../api/users/1", open},
		// Slashes of all sorts.
		{"//api/users/1", guarded}, {"/api//users/1", guarded}, {"///api///users///1", guarded}, {"/open/..//api/users/1", guarded},
		{"/api%2Fusers/1", refused}, {"/api%2fusers%2f1", refused}, {"/api/users%2f1", refused}, {"/open/..%2fapi/users/1", refused},
		{"/open/%2e%2e%2Fapi/users/1", refused}, {`/api\users\1`, refused}, {"/api%5cusers%5c1", refused}, {"/open/..%5Capi/users/1", refused},
		// Characters in disguise.
		{"/api/%75sers/1", guarded}, {"/%61%70%69/%75%73%65%72%73/1", guarded}, {"/api/user%73", guarded},
		{"/api/users%00/1", refused}, {"/api/users/1%00.css", refused}, {"/api%00/users/1", refused}, {"/api/users%0a", refused}, {"/api/users%7f", refused},
		{"/api/users/%zz", refused}, {"/api/users/%", refused}, {"/api/users/%2", refused},
		// Parameters.
		{"/api/users;a=b/1", guarded}, {"/api;a=b/users/1", guarded}, {"/api/users/1;a=b", guarded}, {"/api/users;", guarded}, {"/api/users%3Ba=b/1", guarded},
		{"/;/api/users/1", refused}, {"/api/;a/users/1", refused}, {"/open/..;/api/users/1", refused}, {"/open/..%3b/api/users/1", refused}, {"/open/%2e%2e;a=b/api/users", refused},
		// What only who decodes twice, folds case or reads overlong forms would take for it: another path, here.
		{"/open/%252e%252e/api/users/1", open}, {"/api%252fusers/1", open}, {"/API/USERS/1", open}, {"/api/users%20/1", open}, {"/open/%c0%ae%c0%ae/api/users/1", open},
		// Other forms of the target.
		{"http://evil.test/api/users/1", guarded}, {"HTTP://evil.test//api/users/1", guarded}, {"http:/api/users/1", guarded}, {"http:api/users/1", refused},
		{"*", http.StatusNotFound}, {"api/users/1", refused},
		{"/api/users/" + strings.Repeat("a", 17<<10), tooLong}, {"/open?" + strings.Repeat("a", 17<<10), tooLong},
	}
}

// misshapen targets are no targets in HTTP/1.1 (RFC 9112, section 3.2); HTTP/2 has none but paths.
var misshapen = []string{"/open#/../api/users/1", "http:/api/users/1", "*"}

// TestPathTricks holds that no disguise of a guarded path reaches the endpoint
// without a token, however carelessly that reads its paths.
func TestPathTricks(t *testing.T) {
	seen := &targets{}
	app := meshtest.Origin(t, seen.note)
	auth := meshtest.Origin(t, meshtest.Says(http.StatusUnauthorized, ""))
	g := meshtest.Gateway(t, fmt.Sprintf(`
services: {app: {url: %q}}
routing:
  - {path: /api/users/**, service: app, middleware: [auth]}
  - {path: /**, service: app}
auth: {validate_url: %q}`, app.URL, auth.URL+"/validate"))
	for _, tt := range tricks() {
		t.Run("HTTP/1.1 "+short(tt.target), func(t *testing.T) {
			got := g.Raw("GET " + tt.target + " HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			want := tt.want
			if slices.Contains(misshapen, tt.target) {
				want = http.StatusBadRequest
			}
			if got.StatusCode != want {
				t.Errorf("%d %s, want %d", got.StatusCode, got.Text, want)
			}
			seen.hold(t)
		})
		t.Run("HTTP/2 "+short(tt.target), func(t *testing.T) {
			got := stream(t, g, "", ":path", tt.target)
			reset := got.reset && tt.want == http.StatusBadRequest // HTTP/2's own way to refuse what is malformed
			if status := got.fields[":status"]; status != fmt.Sprint(tt.want) && !reset {
				t.Errorf("%+v, want %d", got, tt.want)
			}
			seen.hold(t)
		})
	}
}

func short(s string) string { return fmt.Sprintf("%.60q", s) }

// targets are the request targets that an endpoint has seen.
type targets struct {
	mu  sync.Mutex // protects all
	all []string
}

func (s *targets) note(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r.RequestURI)
}

// hold holds that nothing seen since the last time can be read as a guarded path.
func (s *targets) hold(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, target := range s.all {
		for _, reading := range readings(target) {
			if reading == "/api/users" || strings.HasPrefix(reading, "/api/users/") {
				t.Errorf("the endpoint saw %q without a token, and can read it as %s", target, reading)
			}
		}
	}
	s.all = nil
}

// readings are the paths for which various servers take a request target: they decode
// it, drop parameters before or after that, end it at a NUL, take backslashes for
// slashes, and resolve dot segments.
func readings(target string) []string {
	raw, _, _ := strings.Cut(target, "?")
	decode := func(s string) string {
		if d, err := url.PathUnescape(s); err == nil {
			return d
		}
		return s
	}
	drop := func(s string) string {
		segments := strings.Split(s, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		return strings.Join(segments, "/")
	}
	var all []string
	for _, p := range []string{raw, decode(raw), decode(drop(raw)), drop(decode(raw))} {
		p, _, _ = strings.Cut(strings.ReplaceAll(p, `\`, "/"), "\x00")
		all = append(all, path.Clean("/"+p))
	}
	return all
}

// TestLimitTricks holds that no disguise of a limited path has a bucket of its own.
func TestLimitTricks(t *testing.T) {
	var mu sync.Mutex // protects logins
	var logins []string
	auth := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) {
		for _, reading := range readings(r.RequestURI) {
			if strings.TrimSuffix(reading, "/") == "/api/auth/login" {
				mu.Lock()
				logins = append(logins, r.Method+" "+r.RequestURI)
				mu.Unlock()
				return
			}
		}
	})
	g := meshtest.Gateway(t, to(auth.URL, "", "rate_limiting: {paths: {/api/auth/login: {requests_per_minute: 1, burst: 2}}}"))
	const refused, limited, other = http.StatusBadRequest, http.StatusTooManyRequests, http.StatusOK
	for i, tt := range []struct {
		request string // without its version
		headers string
		want    int
	}{
		{"POST /api/auth/login", "", http.StatusOK},
		{"POST /api/auth//login/", "", http.StatusOK}, // the bucket is empty now
		{"POST /api/auth/login", "", limited},
		{"GET /api/auth/login", "", limited},
		{"OPTIONS /api/auth/login", "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n", limited},
		{"POST /api/auth/login/", "", limited},
		{"POST /api/auth/login?x", "", limited},
		{"POST /api/auth/login#x/..", "", refused},
		{"POST /api/auth/./login", "", limited},
		{"POST /api/auth/x/../login", "", limited},
		{"POST /api/auth/%2e%2e/auth/login", "", limited},
		{"POST /api/auth/%6cogin", "", limited},
		{"POST /%61pi/auth/%6C%6f%67%69%6E", "", limited},
		{"POST /api/auth/login;a=b", "", limited},
		{"POST /api;a/auth/login", "", limited},
		{"POST /api/auth/login%3Ba", "", limited},
		{"POST //api//auth//login", "", limited},
		{"POST http://other.test/api/auth/login", "", limited},
		{"POST /api/auth%2flogin", "", refused},
		{"POST /api/auth%5clogin", "", refused},
		{"POST /api/auth/login%00", "", refused},
		{"POST /api/auth/login%0d", "", refused},
		{"POST /api/auth/;/login", "", refused},
		{"POST /api/auth/LOGIN", "", other},
		{"POST /api/auth/login%20", "", other},
		{"POST /api/auth/login", "Host: b.test\r\n", http.StatusBadRequest}, // two of them
		{"POST /api/auth/login", "X-Forwarded-For: 192.0.2.1\r\n", limited},
		{"POST /api/auth/login", "Forwarded: for=192.0.2.1\r\n", limited},
		{"POST /api/auth/login", "X-Real-Ip: 192.0.2.1\r\n", limited},
		{"POST /api/auth/login", "X-Original-Url: /other\r\nX-Rewrite-Url: /other\r\n", limited},
		{"POST /other", "X-Original-Url: /api/auth/login\r\n", other},
		{"POST /api/auth/login", "User-Agent: another\r\nCookie: session=another\r\nAuthorization: Bearer another\r\n", limited},
	} {
		got := g.Raw(tt.request + " HTTP/1.1\r\nHost: shop.test\r\n" + tt.headers + "\r\n")
		if got.StatusCode != tt.want {
			t.Errorf("%d. %s %q: %d %s, want %d", i+1, tt.request, tt.headers, got.StatusCode, got.Text, tt.want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(logins) != 2 {
		t.Errorf("these logins reached the endpoint, want 2: %q", logins)
	}
}
