package policy_test

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy"
)

// connection is a client's as an engine drives it: one Call, one Request and one
// Response for all of its requests, whose maps, lists and URL are written over after
// each.
type connection struct {
	stack  http.RoundTripper
	base   context.Context
	call   *mesh.Call
	req    *http.Request
	resp   *http.Response
	values []string
	after  func() // looks at the response; nil: nobody does
}

func connected(t testing.TB, layers ...mesh.Layer) *connection {
	t.Helper()
	c := &connection{base: t.Context(), values: make([]string, 8), resp: &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}}
	c.call = mesh.NewCall(c.base)
	c.req = c.call.Bind(&http.Request{URL: &url.URL{}, Header: http.Header{}})
	kind := []string{"text/plain"}
	c.stack = mesh.Stack(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		clear(c.resp.Header)
		c.resp.Header["Content-Type"] = kind
		return c.resp, nil
	}), layers...)
	return c
}

// ask sends a request and ends it. What it had is then no more.
func (c *connection) ask(t testing.TB, path string, fields ...string) error {
	clear(c.req.Header)
	c.req.Method, c.req.Host, c.req.Body, c.req.URL.Path = http.MethodGet, "shop.example", http.NoBody, path
	for i := 0; i < len(fields); i += 2 {
		c.values[i/2] = fields[i+1]
		c.req.Header[fields[i]] = c.values[i/2 : i/2+1 : i/2+1]
	}
	c.call.Start, c.call.Client = time.Now(), netip.AddrFrom4([4]byte{192, 0, 2, 7})
	resp, err := c.stack.RoundTrip(c.req)
	if err == nil && c.after != nil {
		c.after()
	}
	if err == nil {
		resp.Body.Close()
	}
	c.call.End(mesh.Result{Status: 200, Err: err})
	for i := range c.values {
		c.values[i] = "scribbled"
	}
	for name := range c.req.Header {
		c.req.Header[name] = c.values[:1]
	}
	c.req.URL.Path, c.req.Host = "/scribbled", "scribbled"
	if !c.call.Renew(c.base) { // somebody waited with its context: the engine makes new ones
		c.call = mesh.NewCall(c.base)
		c.req = c.call.Bind(&http.Request{URL: &url.URL{}, Header: http.Header{}})
	}
	return err
}

// steps is a clock that goes on by a second each time it is looked at, so that buckets
// are full again.
func steps() func() time.Time {
	now := time.Unix(1e9, 0)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

func TestLayersAllocateNothing(t *testing.T) {
	limiter := func(by policy.Key) *policy.Limiter {
		return newLimiter(t, policy.LimitConfig{Name: "default", Rate: policy.Rate{PerMinute: 6000, Burst: 10}, Key: by, Now: steps()})
	}
	paths, err := policy.PathLimits([]policy.PathLimit{{Path: "/api/**", Limiter: limiter(policy.ClientIP())}})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := policy.NewAuth(policy.AuthConfig{
		URL: &url.URL{Scheme: "http", Host: "auth-service", Path: "/validate"}, Origin: knows(), TTL: time.Hour,
		Headers: map[string]string{"id": "X-User-Id", "role": "X-User-Role"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(auth.Close)
	token := "Bearer " + strings.Repeat("abc.", 300) // as long as a JWT with some claims
	tests := []struct {
		name   string
		layer  mesh.Layer
		fields []string
	}{
		{"limit by address", limiter(policy.ClientIP()).Layer(), nil},
		{"limit by header", limiter(policy.Header("X-Api-Key")).Layer(), []string{"X-Api-Key", strings.Repeat("k", 64)}},
		{"limit by subject", limiter(policy.Subject()).Layer(), nil},
		{"limit by path", paths, nil},
		{"limit by no path", paths, nil},
		{"token known", auth.Layer(), []string{"Authorization", token, "X-User-Id", "forged"}},
		{"cors, all", corsLayer(t, policy.CORSConfig{AllowOrigins: []string{"*"}}), nil},
		{"cors, same origin", corsLayer(t, policy.CORSConfig{AllowOrigins: []string{"https://a.example"}}), nil},
		{"cors, allowed", corsLayer(t, policy.CORSConfig{AllowOrigins: []string{"https://a.example"}, AllowCredentials: true, ExposeHeaders: []string{"X-A"}}), []string{"Origin", "https://a.example"}},
		{"body", policy.MaxBody(1 << 20), nil},
		{"uri", policy.MaxURI(1 << 10), nil},
		{"header", policy.MaxHeaders(100, 1<<10), nil},
		{"shed", policy.MaxConcurrent(10), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, path := connected(t, tt.layer), "/api/users/7"
			if strings.HasSuffix(tt.name, "no path") {
				path = "/other"
			}
			ask := func() {
				if err := c.ask(t, path, tt.fields...); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				ask()
			}
			if n := testing.AllocsPerRun(200, ask); n != 0 {
				t.Errorf("%v allocations, the budget is 0", n)
			}
		})
	}
}

// What a layer keeps past a request's end is its own: the request's maps, lists and URL
// are another's by then.
func TestWhatIsKeptIsNotTheRequests(t *testing.T) {
	now := time.Unix(1e9, 0)
	limit := newLimiter(t, policy.LimitConfig{Name: "default", Rate: policy.Rate{PerMinute: 1, Burst: 2}, Key: policy.Header("X-Api-Key"), Now: func() time.Time { return now }})
	auth := knows()
	a, err := policy.NewAuth(policy.AuthConfig{
		URL: &url.URL{Scheme: "http", Host: "auth-service", Path: "/validate"}, Origin: auth, TTL: time.Hour, Headers: map[string]string{"id": "X-User-Id"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	c := connected(t, limit.Layer(), a.Layer())
	left := ""
	c.after = func() { left = c.resp.Header["Ratelimit"][0] }
	for i, tt := range []struct{ key, left string }{{"one", `"default";r=1;t=60`}, {"two", `"default";r=1;t=60`}, {"one", `"default";r=0;t=60`}, {"two", `"default";r=0;t=60`}} {
		if err := c.ask(t, "/", "X-Api-Key", tt.key, "Authorization", "Bearer abc"); err != nil || left != tt.left {
			t.Errorf("request %d: %v, %s is left, want %s", i, err, left, tt.left)
		}
	}
	for _, key := range []string{"one", "two"} {
		if err := c.ask(t, "/", "X-Api-Key", key, "Authorization", "Bearer abc"); mesh.AsFault(err).Kind != mesh.Limited {
			t.Errorf("%s once more: %v", key, err)
		}
	}
	if n := auth.calls.Load(); n != 1 {
		t.Errorf("the auth service was asked %d times, want once", n)
	}
	if got := auth.last.Load().Header["Authorization"]; got[0] != "Bearer abc" {
		t.Errorf("the auth service was asked about %q", got)
	}
}
