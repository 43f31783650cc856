package policy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy"
)

func corsLayer(t testing.TB, c policy.CORSConfig) mesh.Layer {
	t.Helper()
	layer, err := policy.NewCORS(c)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// sees fails unless the fields of h that speak of sharing are exactly want.
func sees(t *testing.T, h http.Header, want map[string]string) {
	t.Helper()
	for name := range h {
		if _, ok := want[name]; !ok && (strings.HasPrefix(name, "Access-Control-") || name == "Vary") {
			t.Errorf("%s: %q, want none", name, h[name])
		}
	}
	for name, value := range want {
		if got := field(h, name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

const preflightVary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

func TestCORSPreflight(t *testing.T) {
	some := policy.CORSConfig{
		AllowOrigins: []string{"https://a.example", "https://*.b.example"}, AllowMethods: []string{"PUT", "DELETE"},
		AllowHeaders: []string{"X-A", "Authorization"}, ExposeHeaders: []string{"X-B"}, MaxAge: time.Hour,
	}
	private := some
	private.AllowCredentials = true
	all := policy.CORSConfig{AllowOrigins: []string{"*"}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}}
	allPrivate := all
	allPrivate.AllowCredentials, allPrivate.MaxAge = true, -1
	tests := []struct {
		name   string
		c      policy.CORSConfig
		fields []string // beside Origin, when that is not among them
		want   map[string]string
	}{
		{"allowed", some, nil, map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Methods": "PUT, DELETE",
			"Access-Control-Allow-Headers": "X-A, Authorization", "Access-Control-Max-Age": "3600",
		}},
		{"with credentials", private, nil, map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Methods": "PUT, DELETE",
			"Access-Control-Allow-Headers": "X-A, Authorization", "Access-Control-Max-Age": "3600", "Access-Control-Allow-Credentials": "true",
		}},
		{"not allowed", some, []string{"Origin", "https://c.example"}, nil},
		{"two origins", some, []string{"Origin", "https://a.example", "Origin", "https://a.example"}, nil},
		{"everything", all, []string{"Access-Control-Request-Headers", "authorization,x-a"}, map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "*",
			"Access-Control-Allow-Headers": "authorization,x-a", "Access-Control-Max-Age": "5",
		}},
		{"everything, no headers asked for", all, nil, map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "*", "Access-Control-Max-Age": "5",
		}},
		{"everything with credentials", allPrivate, []string{"Access-Control-Request-Headers", "x-a", "Access-Control-Request-Headers", "x-b"}, map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Credentials": "true",
			"Access-Control-Allow-Headers": "x-a, x-b", "Access-Control-Max-Age": "0",
		}},
		{"what is no list of names is not repeated", allPrivate, []string{"Access-Control-Request-Headers", "x-a, <b>"}, map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Credentials": "true",
			"Access-Control-Max-Age": "0",
		}},
		{"null with credentials", allPrivate, []string{"Origin", "null"}, nil},
		{"null without", all, []string{"Origin", "null"}, map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "*", "Access-Control-Max-Age": "5",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			origin := &service{}
			req := get(t.Context(), "/", append(tt.fields, "Access-Control-Request-Method", "PUT")...)
			req.Method = http.MethodOptions
			if req.Header["Origin"] == nil {
				req.Header.Set("Origin", "https://a.example")
			}
			resp, err := mesh.Stack(origin, corsLayer(t, tt.c)).RoundTrip(req)
			passed(t, resp, err)
			if resp.StatusCode != http.StatusNoContent || resp.ContentLength != 0 || resp.Body != http.NoBody || resp.ProtoMajor != 0 || origin.calls.Load() != 0 {
				t.Errorf("status %d, length %d, %d calls; want a 204 from the layer", resp.StatusCode, resp.ContentLength, origin.calls.Load())
			}
			want := map[string]string{"Vary": preflightVary}
			for name, value := range tt.want {
				want[name] = value
			}
			sees(t, resp.Header, want)
		})
	}
}

func TestCORSOtherOptionsPass(t *testing.T) {
	layer := corsLayer(t, policy.CORSConfig{AllowOrigins: []string{"*"}})
	for name, fields := range map[string][]string{
		"no Origin":         {"Access-Control-Request-Method", "PUT"},
		"no method":         {"Origin", "https://a.example"},
		"GET, not OPTIONS":  {"Origin", "https://a.example", "Access-Control-Request-Method", "PUT"},
		"nothing of either": nil,
	} {
		origin := &service{}
		req := get(t.Context(), "/", fields...)
		if len(fields) != 4 {
			req.Method = http.MethodOptions
		}
		if resp, err := mesh.Stack(origin, layer).RoundTrip(req); err != nil || origin.calls.Load() != 1 {
			t.Errorf("%s: %v, %v, %d calls", name, resp, err, origin.calls.Load())
		}
	}
}

func TestCORSAnswers(t *testing.T) {
	list := policy.CORSConfig{AllowOrigins: []string{"https://a.example"}, ExposeHeaders: []string{"X-B", "X-C"}}
	private := list
	private.AllowCredentials = true
	all := policy.CORSConfig{AllowOrigins: []string{"*"}, ExposeHeaders: []string{"*"}}
	allPrivate := policy.CORSConfig{AllowOrigins: []string{"*"}, AllowCredentials: true}
	const a, other = "https://a.example", "https://evil.example"
	tests := []struct {
		name   string
		c      policy.CORSConfig
		origin string
		vary   []string // the service's own
		want   map[string]string
	}{
		{"allowed", list, a, nil, map[string]string{"Vary": "Origin", "Access-Control-Allow-Origin": a, "Access-Control-Expose-Headers": "X-B, X-C"}},
		{"with credentials", private, a, nil, map[string]string{"Vary": "Origin", "Access-Control-Allow-Origin": a, "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "X-B, X-C"}},
		{"not allowed", list, other, nil, map[string]string{"Vary": "Origin"}},
		{"no origin", list, "", nil, map[string]string{"Vary": "Origin"}},
		{"null", list, "null", nil, map[string]string{"Vary": "Origin"}},
		{"all", all, other, nil, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}},
		{"all, for caches", all, "", nil, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}},
		{"all with credentials", allPrivate, other, nil, map[string]string{"Vary": "Origin", "Access-Control-Allow-Origin": other, "Access-Control-Allow-Credentials": "true"}},
		{"all with credentials, null", allPrivate, "null", nil, map[string]string{"Vary": "Origin"}},
		{"all with credentials, none", allPrivate, "", nil, map[string]string{"Vary": "Origin"}},
		{"Vary is added to", list, other, []string{"Accept"}, map[string]string{"Vary": "Accept, Origin"}},
		{"Vary has it", list, other, []string{"Accept, ORIGIN"}, map[string]string{"Vary": "Accept, ORIGIN"}},
		{"Vary has all", list, other, []string{"*"}, map[string]string{"Vary": "*"}},
	}
	own := http.Header{
		"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Expose-Headers": {"X-Own"},
		"Access-Control-Allow-Methods": {"OWN"}, "Access-Control-Allow-Headers": {"X-Own"}, "Access-Control-Max-Age": {"99"}, "X-B": {"1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := own.Clone()
			if tt.vary != nil {
				header["Vary"] = tt.vary
			}
			shared := &mesh.Fault{Kind: mesh.Unauthenticated, Header: header}
			req := get(t.Context(), "/")
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}

			resp, err := mesh.Stack(&service{header: header}, corsLayer(t, tt.c)).RoundTrip(req)
			sees(t, passed(t, resp, err).Header, tt.want)

			_, err = mesh.Stack(&service{err: shared}, corsLayer(t, tt.c)).RoundTrip(req)
			f := faulted(t, err, mesh.Unauthenticated)
			sees(t, f.Header, tt.want)
			if field(shared.Header, "Access-Control-Max-Age") != "99" || field(f.Header, "X-B") != "1" {
				t.Error("the Fault below has been edited, or lost a field")
			}
		})
	}
}

func TestCORSOrigins(t *testing.T) {
	tests := []struct {
		allow   string
		yes, no []string
	}{
		{"https://a.example", []string{"https://a.example"}, []string{
			"http://a.example", "https://a.example:8443", "https://a.example.evil.example", "https://xa.example", "https://A.example", "https://a.example/", "", "null",
		}},
		{"HTTPS://A.Example:443", []string{"https://a.example"}, []string{"https://a.example:443"}},
		{"http://localhost:3000", []string{"http://localhost:3000"}, []string{"http://localhost", "http://localhost:30001"}},
		{"http://[::1]:3000", []string{"http://[::1]:3000"}, []string{"http://[::1]", "http://[::2]:3000"}},
		{"http://[::1]", []string{"http://[::1]"}, []string{"http://[::1]:3000"}},
		{"capacitor://localhost", []string{"capacitor://localhost"}, []string{"http://localhost"}},
		{"https://*.a.example", []string{"https://x.a.example", "https://x.y.a.example"}, []string{
			"https://a.example", "https://xa.example", "https://.a.example", "http://x.a.example", "https://x.a.example:8443",
			"https://evil.example/.a.example", "https://evil.example:1.a.example", "https://evil@x.a.example", "https://x.a.example.evil.example",
		}},
		{"https://*.a.example:8443", []string{"https://x.a.example:8443"}, []string{"https://x.a.example", "https://x.a.example:84430"}},
		{"https://*", []string{"https://x", "https://x.y"}, []string{"http://x", "https://x:1", "https://", "https:///"}},
		{"https://*:8443", []string{"https://x.y:8443"}, []string{"https://x.y", "https://:8443"}},
	}
	for _, tt := range tests {
		stack := mesh.Stack(&service{}, corsLayer(t, policy.CORSConfig{AllowOrigins: []string{tt.allow}}))
		allowed := func(origin string) bool {
			resp, err := stack.RoundTrip(get(t.Context(), "/", "Origin", origin))
			got := passed(t, resp, err).Header["Access-Control-Allow-Origin"]
			if len(got) > 0 && got[0] != origin {
				t.Errorf("%s: %q was told of %q", tt.allow, origin, got)
			}
			return len(got) > 0
		}
		for _, origin := range tt.yes {
			if !allowed(origin) {
				t.Errorf("%s: %q is not allowed", tt.allow, origin)
			}
		}
		for _, origin := range tt.no {
			if allowed(origin) {
				t.Errorf("%s: %q is allowed", tt.allow, origin)
			}
		}
	}
}

func TestNewCORSRefuses(t *testing.T) {
	star := []string{"*"}
	tests := []struct {
		name string
		c    policy.CORSConfig
		want string
	}{
		{"nothing", policy.CORSConfig{}, "allowed origins: none"},
		{"* and more", policy.CORSConfig{AllowOrigins: []string{"*", "https://a.example"}}, "nothing beside it"},
		{"no scheme", policy.CORSConfig{AllowOrigins: []string{"a.example"}}, "an origin like"},
		{"bad scheme", policy.CORSConfig{AllowOrigins: []string{"1x://a.example"}}, "an origin like"},
		{"empty scheme", policy.CORSConfig{AllowOrigins: []string{"://a.example"}}, "an origin like"},
		{"path", policy.CORSConfig{AllowOrigins: []string{"https://a.example/"}}, "ends with its host"},
		{"no host", policy.CORSConfig{AllowOrigins: []string{"https://"}}, "the host must be"},
		{"bad host", policy.CORSConfig{AllowOrigins: []string{"https://a b"}}, "the host must be"},
		{"bad port", policy.CORSConfig{AllowOrigins: []string{"https://a:0"}}, "not a port"},
		{"large port", policy.CORSConfig{AllowOrigins: []string{"https://a:65536"}}, "not a port"},
		{"unbracketed IPv6 that is none", policy.CORSConfig{AllowOrigins: []string{"https://a:b:c"}}, "the host must be"},
		{"star in the middle", policy.CORSConfig{AllowOrigins: []string{"https://a.*.example"}}, "the host must be"},
		{"star in a label", policy.CORSConfig{AllowOrigins: []string{"https://*a.example"}}, "the host must be"},
		{"two stars", policy.CORSConfig{AllowOrigins: []string{"https://*.*.example"}}, "the host must be"},
		{"method", policy.CORSConfig{AllowOrigins: star, AllowMethods: []string{"GET, PUT"}}, "allowed methods"},
		{"* and a method", policy.CORSConfig{AllowOrigins: star, AllowMethods: []string{"*", "PUT"}}, "allowed methods"},
		{"header", policy.CORSConfig{AllowOrigins: star, AllowHeaders: []string{""}}, "allowed headers"},
		{"exposed", policy.CORSConfig{AllowOrigins: star, ExposeHeaders: []string{"X:"}}, "exposed headers"},
		{"exposed with credentials", policy.CORSConfig{AllowOrigins: star, ExposeHeaders: star, AllowCredentials: true}, "with credentials"},
	}
	for _, tt := range tests {
		if _, err := policy.NewCORS(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzCORSOrigin holds: an origin without wildcard that is accepted allows what a
// browser would send for it, and nothing is allowed but what is sent.
func FuzzCORSOrigin(f *testing.F) {
	for _, s := range []string{"https://a.example", "https://*.a.example:8443", "http://[::1]:80", "*", "x://"} {
		f.Add(s, "https://a.example")
	}
	f.Fuzz(func(t *testing.T, allow, origin string) {
		layer, err := policy.NewCORS(policy.CORSConfig{AllowOrigins: []string{allow}})
		if err != nil {
			return
		}
		resp, err := mesh.Stack(&service{}, layer).RoundTrip(get(t.Context(), "/", "Origin", origin))
		got := field(passed(t, resp, err).Header, "Access-Control-Allow-Origin")
		switch {
		case allow == "*":
			if got != "*" {
				t.Errorf("got %q", got)
			}
		case got != "" && got != origin:
			t.Errorf("%q was told of %q", origin, got)
		case got != "" && !strings.Contains(allow, "*") && strings.TrimPrefix(strings.ToLower(allow), origin) == strings.ToLower(allow):
			t.Errorf("%q allows %q", allow, origin)
		case got != "" && strings.ContainsAny(strings.SplitN(origin, "://", 2)[1], "/@?# "):
			t.Errorf("%q is allowed", origin)
		}
	})
}

func BenchmarkCORS(b *testing.B) {
	stack := mesh.Stack(&service{}, corsLayer(b, policy.CORSConfig{AllowOrigins: []string{"https://*.a.example"}}))
	req := get(context.Background(), "/", "Origin", "https://x.a.example")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = stack.RoundTrip(req)
	}
}
