package policy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy"
	"outrider/policy/cache"
	"outrider/policy/transform"
)

// authStack returns a stack of an Auth before an app, and the Auth, which is closed
// with the test.
func authStack(t testing.TB, c policy.AuthConfig) (http.RoundTripper, *service, *policy.Auth) {
	t.Helper()
	if c.URL == nil {
		c.URL = &url.URL{Scheme: "http", Host: "auth-service:3001", Path: "/validate"}
	}
	if c.Headers == nil {
		c.Headers = map[string]string{"id": "X-User-Id", "role": "X-User-Role"}
	}
	a, err := policy.NewAuth(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	app := &service{}
	return mesh.Stack(app, a.Layer()), app, a
}

// knows is a service that knows everybody as u1.
func knows() *service { return &service{body: `{"id":"u1","role":"admin"}`} }

func TestAuthTakesTheToken(t *testing.T) {
	const required, invalid = "Token required", "Invalid token"
	tests := []struct {
		name   string
		values []string
		asked  string // what the service is sent; empty when it is not asked
		says   string // why not
	}{
		{"bearer", []string{"Bearer abc"}, "Bearer abc", ""},
		{"any case", []string{"bEARER abc"}, "Bearer abc", ""},
		{"much space", []string{" Bearer \t abc\t"}, "Bearer abc", ""},
		{"bare token", []string{"abc.def-ghi"}, "Bearer abc.def-ghi", ""},
		{"token with space", []string{"Bearer a b"}, "Bearer a b", ""},
		{"token called bearer", []string{"Bearer bearer"}, "Bearer bearer", ""},
		{"beginning like bearer", []string{"Bearerabc"}, "Bearer Bearerabc", ""},
		{"absent", nil, "", required},
		{"empty", []string{""}, "", required},
		{"blank", []string{" \t "}, "", required},
		{"nothing after bearer", []string{"Bearer"}, "", required},
		{"space after bearer", []string{"Bearer  "}, "", required},
		{"basic", []string{"Basic dTpw"}, "", invalid},
		{"digest", []string{`Digest username="u"`}, "", invalid},
		{"two fields", []string{"Bearer abc", "Bearer abc"}, "", invalid},
		{"control character", []string{"Bearer a\x01b"}, "", invalid},
		{"line break", []string{"Bearer a\r\nX: y"}, "", invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			auth := knows()
			stack, app, _ := authStack(t, policy.AuthConfig{Origin: auth})
			req := get(t.Context(), "/")
			req.Header["Authorization"] = tt.values
			resp, err := stack.RoundTrip(req)
			if tt.asked != "" {
				passed(t, resp, err)
				if got := auth.last.Load().Header.Get("Authorization"); got != tt.asked {
					t.Errorf("the service was sent %q, want %q", got, tt.asked)
				}
				if got := app.last.Load().Header.Get("Authorization"); got != tt.values[0] {
					t.Errorf("the app was sent %q, want %q", got, tt.values[0])
				}
				return
			}
			f := faulted(t, err, mesh.Unauthenticated)
			challenge := map[string]string{required: `Bearer realm="outrider"`, invalid: `Bearer realm="outrider", error="invalid_token"`}[tt.says]
			if f.Text() != tt.says || field(f.Header, "WWW-Authenticate") != challenge {
				t.Errorf("got %q, %v; want %q, %s", f.Text(), f.Header, tt.says, challenge)
			}
			if auth.calls.Load()+app.calls.Load() != 0 {
				t.Error("the request went on")
			}
		})
	}
}

func TestAuthWeighsTheAnswer(t *testing.T) {
	gone := &mesh.Fault{Kind: mesh.NoEndpoints, RetryAfter: 3 * time.Second}
	tests := []struct {
		name   string
		auth   *service
		kind   mesh.Kind
		says   string // empty: the request passes
		result string
	}{
		{"object", knows(), 0, "", policy.ResultValid},
		{"empty object", &service{body: `{}`}, 0, "", policy.ResultValid},
		{"201", &service{status: 201, body: `{}`}, 0, "", policy.ResultValid},
		{"401", &service{status: 401}, mesh.Unauthenticated, "Invalid token", policy.ResultInvalid},
		{"404", &service{status: 404, body: `{}`}, mesh.Unauthenticated, "Invalid token", policy.ResultInvalid},
		{"302", &service{status: 302}, mesh.Unauthenticated, "Invalid token", policy.ResultInvalid},
		{"500", &service{status: 500}, mesh.Unauthenticated, "Invalid token", policy.ResultInvalid},
		{"503 with a long body", &service{status: 503, body: strings.Repeat("x", 1<<20)}, mesh.Unauthenticated, "Invalid token", policy.ResultInvalid},
		{"Fault", &service{err: gone}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"other error", &service{err: io.ErrUnexpectedEOF}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"no content", &service{status: 204}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"no JSON", &service{body: `<html>`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"cut JSON", &service{body: `{"id":"u1"`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"more than JSON", &service{body: `{"id":"u1"} x`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"array", &service{body: `[{"id":"u1"}]`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"null", &service{body: `null`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"string", &service{body: `"u1"`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"largest", &service{body: `{}` + strings.Repeat(" ", 64<<10-2)}, 0, "", policy.ResultValid},
		{"too large", &service{body: `{}` + strings.Repeat(" ", 64<<10-1)}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"line break in a field", &service{body: `{"id":"u1\r\nX-User-Role: admin"}`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"NUL in a field", &service{body: `{"role":"\u0000"}`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"control in sub", &service{body: `{"sub":"a\u0085"}`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
		{"endless field", &service{body: `{"id":"` + strings.Repeat("u", 5000) + `"}`}, mesh.AuthFailed, "Auth validation failed", policy.ResultError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen []string
			stack, app, _ := authStack(t, policy.AuthConfig{
				Origin: tt.auth, TTL: time.Hour, NegativeTTL: time.Hour,
				Checked: func(result string, cached bool) { seen = append(seen, fmt.Sprint(result, cached)) },
			})
			resp, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "Bearer abc"))
			if want := tt.result + "false"; len(seen) != 1 || seen[0] != want {
				t.Errorf("Checked heard %v, want %s", seen, want)
			}
			if tt.says == "" {
				passed(t, resp, err)
				return
			}
			f := faulted(t, err, tt.kind)
			if f.Text() != tt.says {
				t.Errorf("got %q, want %q", f.Text(), tt.says)
			}
			if errors.Is(tt.auth.err, gone) && f.RetryAfter != gone.RetryAfter {
				t.Errorf("RetryAfter %v, want %v", f.RetryAfter, gone.RetryAfter)
			}
			if tt.auth.err != nil && !errors.Is(f, tt.auth.err) {
				t.Errorf("the cause %v is lost in %v", tt.auth.err, f)
			}
			if app.calls.Load() != 0 {
				t.Error("the request went on")
			}
		})
	}
}

func TestAuthHandsIdentityOn(t *testing.T) {
	headers := map[string]string{"id": "X-User-Id", "role": "x-user-role", "n": "X-N", "o": "X-O"}
	spoofed := map[string][]string{
		"X-User-Id": {"root", "root2"}, "X_user_id": {"root"}, "x-user_ID": {"root"}, "X-User-Role": {"root"},
		"X-N": {"root"}, "X_O": {"root"}, "X-User-Id2": {"mine"}, "User-Id": {"mine"}, "X-User.id": {"mine"},
	}
	kept := map[string]string{"X-User-Id2": "mine", "User-Id": "mine", "X-User.id": "mine", "Authorization": "Bearer abc"}
	tests := []struct {
		name, body string
		subject    string
		want       map[string]string
	}{
		{"strings", `{"id":"u1","role":"admin"}`, "u1", map[string]string{"X-User-Id": "u1", "X-User-Role": "admin"}},
		{"numbers as written", `{"id" : 12345678901234567890 ,"n":1.50e3}`, "12345678901234567890", map[string]string{"X-User-Id": "12345678901234567890", "X-N": "1.50e3"}},
		{"booleans", `{"role":true,"n":false}`, "", map[string]string{"X-User-Role": "true", "X-N": "false"}},
		{"null, object, array, empty", `{"id":null,"role":{"a":1},"n":[1],"o":""}`, "", map[string]string{}},
		{"escapes and UTF-8", `{"id":"\u00e9 \"x\"","n":"日本"}`, `é "x"`, map[string]string{"X-User-Id": `é "x"`, "X-N": "日本"}},
		{"sub for want of id", `{"sub":"s1","role":"r"}`, "s1", map[string]string{"X-User-Role": "r"}},
		{"id before sub", `{"sub":"s1","id":"u1"}`, "u1", map[string]string{"X-User-Id": "u1"}},
		{"other case is another field", `{"ID":"u1","Role":"admin"}`, "", map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stack, app, _ := authStack(t, policy.AuthConfig{Origin: &service{body: tt.body}, Headers: headers, TTL: time.Hour})
			for _, round := range []string{"asked", "remembered"} {
				req := get(t.Context(), "/", "Authorization", "Bearer abc")
				for name, values := range spoofed {
					req.Header[name] = values
				}
				resp, err := stack.RoundTrip(req)
				passed(t, resp, err)
				want := make(map[string]string)
				for _, m := range []map[string]string{kept, tt.want} {
					for name, value := range m {
						want[name] = value
					}
				}
				for name, values := range app.last.Load().Header {
					if len(values) != 1 || values[0] != want[name] {
						t.Errorf("%s: the app got %s: %q, want %q", round, name, values, want[name])
					}
					delete(want, name)
				}
				if len(want) != 0 {
					t.Errorf("%s: the app did not get %v", round, want)
				}
				if got := mesh.From(req).Subject; got != tt.subject {
					t.Errorf("%s: subject %q, want %q", round, got, tt.subject)
				}
				if !mesh.From(req).Personal {
					t.Errorf("%s: the Call is not Personal", round)
				}
			}
		})
	}
}

// A good token makes an answer personal even where the service names nobody and no
// field of the request tells any more.
func TestAuthKeepsAnswersOutOfTheCache(t *testing.T) {
	anonymous, err := policy.NewAuth(policy.AuthConfig{
		URL: &url.URL{Scheme: "http", Host: "auth-service"}, Origin: &service{body: `{}`}, TTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(anonymous.Close)
	strip, err := transform.New(transform.Config{Request: transform.Edit{Remove: []string{"Authorization"}}})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	app := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		calls++
		body := fmt.Sprint("account ", calls)
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	})
	stack := mesh.Stack(app, anonymous.Layer(), strip, cache.New(cache.Config{TTL: time.Hour}).Layer())
	for i, who := range []string{"alice", "bob", "alice"} {
		resp, err := stack.RoundTrip(get(t.Context(), "http://app/account", "Authorization", who))
		body, err := io.ReadAll(passed(t, resp, err).Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint("account ", i+1); string(body) != want {
			t.Errorf("%s got %q, the answer to another request; want %q", who, body, want)
		}
	}
}

func TestAuthAsksProperly(t *testing.T) {
	var order []string
	auth := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		call := mesh.From(req)
		if call == nil {
			t.Fatal("the question has no Call")
		}
		if call.ID != "r-1" || req.Header.Get("X-Request-Id") != "r-1" {
			t.Errorf("request id %q, %q; want r-1", call.ID, req.Header.Get("X-Request-Id"))
		}
		if call.Deadline().IsZero() {
			t.Error("the question has no deadline")
		}
		if req.Method != http.MethodGet || req.URL.String() != "http://auth-service:3001/validate" || req.Host != "auth-service:3001" {
			t.Errorf("asked %s %s of %s", req.Method, req.URL, req.Host)
		}
		if req.Body != http.NoBody || req.Header.Get("Cookie") != "" {
			t.Error("the question bears more than the token")
		}
		req.URL.Host = "10.0.0.1:3001" // as a balancer does
		call.OnEnd(func(r mesh.Result) { order = append(order, fmt.Sprint("end ", r.Status, r.Sent, r.Err)) })
		body := closer{strings.NewReader(`{}`), func() { order = append(order, "close") }}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body}, nil
	})
	stack, _, _ := authStack(t, policy.AuthConfig{Origin: auth})
	for range 2 { // the second is asked at the same URL
		order = nil
		req := get(t.Context(), "/", "Authorization", "Bearer abc", "Cookie", "a=b")
		mesh.From(req).ID = "r-1"
		resp, err := stack.RoundTrip(req)
		passed(t, resp, err)
		if got, want := strings.Join(order, ", "), "close, end 200 2 <nil>"; got != want {
			t.Errorf("at the end: %s; want %s", got, want)
		}
	}
}

type closer struct {
	io.Reader
	closed func()
}

func (c closer) Close() error { c.closed(); return nil }

func TestNewAuthRefuses(t *testing.T) {
	good := &url.URL{Scheme: "http", Host: "auth-service"}
	tests := []struct {
		name string
		c    policy.AuthConfig
		want string
	}{
		{"no URL", policy.AuthConfig{Origin: knows()}, "validate URL"},
		{"relative URL", policy.AuthConfig{URL: &url.URL{Path: "/validate"}, Origin: knows()}, "validate URL"},
		{"other scheme", policy.AuthConfig{URL: &url.URL{Scheme: "ftp", Host: "a"}, Origin: knows()}, "validate URL"},
		{"no origin", policy.AuthConfig{URL: good}, "no origin"},
		{"negative timeout", policy.AuthConfig{URL: good, Origin: knows(), Timeout: -1}, "must not be negative"},
		{"negative cache", policy.AuthConfig{URL: good, Origin: knows(), MaxCached: -1}, "must not be negative"},
		{"negative pending", policy.AuthConfig{URL: good, Origin: knows(), MaxPending: -1}, "must not be negative"},
		{"header name", policy.AuthConfig{URL: good, Origin: knows(), Headers: map[string]string{"id": "X User"}}, `"X User" is not a header name`},
		{"header of the message", policy.AuthConfig{URL: good, Origin: knows(), Headers: map[string]string{"id": "content-length"}}, "Content-Length"},
		{"header twice", policy.AuthConfig{URL: good, Origin: knows(), Headers: map[string]string{"id": "X-A", "sub": "x-a"}}, `"id" and "sub"`},
	}
	for _, tt := range tests {
		if _, err := policy.NewAuth(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzAuth holds: whatever a client and the service send, nothing but a clean
// identity reaches the app, and the service is asked with a clean token only.
func FuzzAuth(f *testing.F) {
	f.Add("Bearer abc", `{"id":"u1","role":"admin"}`)
	f.Add("bearer\t abc", `{"id":1e3,"role":null}`)
	f.Add("Basic abc", `[]`)
	f.Add("abc", `{"id":"a\nb"}`)
	f.Fuzz(func(t *testing.T, authorization, answer string) {
		auth := &service{body: answer}
		stack, app, _ := authStack(t, policy.AuthConfig{Origin: auth})
		_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", authorization))
		if auth.last.Load() != nil {
			clean(t, auth.last.Load().Header)
		}
		if app.last.Load() == nil {
			if k := mesh.AsFault(err).Kind; k != mesh.Unauthenticated && k != mesh.AuthFailed {
				t.Errorf("refused with %v", err)
			}
			return
		}
		identity := app.last.Load().Header.Clone()
		identity.Del("Authorization")
		clean(t, identity)
	})
}

func clean(t *testing.T, h http.Header) {
	t.Helper()
	for name, values := range h {
		for _, v := range values {
			if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%s: %q", name, v)
			}
		}
	}
}

func BenchmarkAuthRemembered(b *testing.B) {
	stack, _, _ := authStack(b, policy.AuthConfig{Origin: knows(), TTL: time.Hour})
	req := get(context.Background(), "/", "Authorization", "Bearer abc")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := stack.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}
