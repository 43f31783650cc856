package inbound_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"outrider/inbound"
	"outrider/internal/mesh"
	"outrider/internal/route"
)

func TestTheMostSpecificRouteTakesTheRequest(t *testing.T) {
	tests := []struct{ name, method, target, want string }{
		{"a literal before a wildcard", http.MethodGet, "/users/me", "/users/me"},
		{"a wildcard", http.MethodGet, "/users/7", "/users/**"},
		{"the bare prefix", http.MethodGet, "/users", "/users/**"},
		{"the rest", http.MethodGet, "/orders", "/**"},
		{"another form of the path", http.MethodGet, "/x/../users/%6De", "/users/me"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s seen
			g := guard(t, inbound.Config{Routes: []inbound.Route{s.to("/**"), s.to("/users/**"), s.to("/users/me")}})
			req := request(t, tt.method, tt.target)
			pass(t, g, req)
			s.want(t, tt.want)
			if got := mesh.From(req).Route; got == nil || got.Name != tt.want {
				t.Errorf("the call's route is %v, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatNoRouteMatchesIsRefused(t *testing.T) {
	tests := []struct {
		name, method, target string
		want                 mesh.Kind
		met                  []string
	}{
		{"another path", http.MethodGet, "/orders", mesh.NoRoute, []string{"paths"}},
		{"another method", http.MethodDelete, "/users/7", mesh.NoRoute, []string{"paths"}},
		{"an encoded slash", http.MethodGet, "/users%2f7", mesh.Malformed, nil},
		{"a NUL", http.MethodGet, "/users/%00", mesh.Malformed, nil},
		{"a backslash", http.MethodGet, "/users/..%5c7", mesh.Malformed, nil},
		{"parameters on dots", http.MethodGet, "/users/..;/admin", mesh.Malformed, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s seen
			g := guard(t, inbound.Config{PathLimits: s.layer("paths"), Routes: []inbound.Route{s.to("/users/**", methods(http.MethodGet))}})
			req := request(t, tt.method, tt.target)
			refuse(t, g, req, tt.want)
			s.want(t, tt.met...)
			if got := mesh.From(req).Route; got != nil {
				t.Errorf("the call's route is %v, want none", got)
			}
		})
	}
}

func TestAGuardWithoutRoutesRefusesAll(t *testing.T) {
	refuse(t, guard(t, inbound.Config{}), request(t, http.MethodGet, "/"), mesh.NoRoute)
}

// A browser's preflight belongs to the route of the request that it asks about, where
// that one answers preflights.
func TestPreflightsFollowTheRequestTheyAskAbout(t *testing.T) {
	const ask, from = "Access-Control-Request-Method", "Origin"
	tests := []struct {
		name, method string
		fields       []string
		want         []string
	}{
		{"the preflight of a PUT", http.MethodOptions, []string{ask, http.MethodPut, from, "https://a.example"}, []string{"cors", "/users/**"}},
		{"the preflight of what has no cors", http.MethodOptions, []string{ask, http.MethodDelete, from, "https://a.example"}, []string{"/**"}},
		{"the preflight of what no route takes", http.MethodOptions, []string{ask, "BREW", from, "https://a.example"}, []string{"/**"}},
		{"one that names no origin", http.MethodOptions, []string{ask, http.MethodPut}, []string{"/**"}},
		{"an OPTIONS that is none", http.MethodOptions, nil, []string{"/**"}},
		{"a GET that says it asks", http.MethodGet, []string{ask, http.MethodPut, from, "https://a.example"}, []string{"/**"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s seen
			g := guard(t, inbound.Config{Routes: []inbound.Route{
				s.to("/**"),
				s.to("/users/**", methods(http.MethodPut), func(r *inbound.Route) { r.CORS = s.layer("cors") }),
				s.to("/users/*", methods(http.MethodDelete)),
			}})
			req := request(t, tt.method, "/users/7/x", tt.fields...)
			pass(t, g, req)
			s.want(t, tt.want...)
			if req.Method != tt.method {
				t.Errorf("the method became %s", req.Method)
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	tests := []struct {
		name, path   string
		rewrite      inbound.Rewrite
		target, want string
	}{
		{"nothing", "/api/users/**", inbound.Rewrite{}, "/api/users/7?q=1", "shop.test/api/users/7?q=1"},
		{"strip", "/api/users/**", inbound.Rewrite{StripPath: true}, "/api/users/7?q=1", "shop.test/7?q=1"},
		{"strip the bare prefix", "/api/users/**", inbound.Rewrite{StripPath: true}, "/api/users", "shop.test/"},
		{"strip keeps escapes", "/api/**", inbound.Rewrite{StripPath: true}, "/api/a%20b", "shop.test/a%20b"},
		{"path", "/api/users/**", inbound.Rewrite{Path: "/v2/**"}, "/api/users/7/edit?q=1", "shop.test/v2/7/edit?q=1"},
		{"path as a whole", "/api/users/**", inbound.Rewrite{Path: "/v2"}, "/api/users/7", "shop.test/v2"},
		{"host", "/api/**", inbound.Rewrite{Host: "users.internal:81"}, "/api/7", "users.internal:81/api/7"},
		{"strip and host", "/api/**", inbound.Rewrite{StripPath: true, Host: "users.internal"}, "/api/7", "users.internal/7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s seen
			g := guard(t, inbound.Config{Routes: []inbound.Route{s.to(tt.path, func(r *inbound.Route) { r.Rewrite = tt.rewrite })}})
			req := request(t, http.MethodGet, "http://shop.test"+tt.target)
			pass(t, g, req)
			if got := req.Host + req.URL.RequestURI(); got != tt.want {
				t.Errorf("the origin was asked for %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	with := func(edit func(*inbound.Route)) []inbound.Route {
		var s seen
		r := s.to("/users/**")
		r.Is.Line = 7
		edit(&r)
		return []inbound.Route{r}
	}
	var s seen
	twin := s.to("/orders/**")
	other := s.to("/users/**")
	other.Is = twin.Is
	tests := []struct {
		name   string
		routes []inbound.Route
		want   string
		line   int
	}{
		{"no path", with(func(r *inbound.Route) { r.Match.Path = "" }), "path", 7},
		{"no origin", with(func(r *inbound.Route) { r.Origin = nil }), "leads nowhere", 7},
		{"no name", with(func(r *inbound.Route) { r.Is = nil }), "does not say what it is", 0},
		{"one name for two routes", []inbound.Route{twin, other}, "says that it is another", 0},
		{"a replacement without its tail", with(func(r *inbound.Route) { r.Match.Path, r.Rewrite.Path = "/users", "/v2/**" }), "replacement", 7},
		{"a replacement that is no path", with(func(r *inbound.Route) { r.Rewrite.Path = "v2" }), "begin with a slash", 7},
		{"strip and replace", with(func(r *inbound.Route) { r.Rewrite.Path, r.Rewrite.StripPath = "/v2", true }), "excludes", 7},
		{"a rewrite of no path", with(func(r *inbound.Route) { r.Match.Path, r.Rewrite.StripPath = "users", true }), "users", 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := inbound.New(inbound.Config{Routes: tt.routes})
			rule, ok := errors.AsType[*route.RuleError](err)
			if !ok || !strings.Contains(rule.Message, tt.want) || rule.Line != tt.line {
				t.Errorf("got %v, want a fault of line %d with %q", err, tt.line, tt.want)
			}
		})
	}
}

func TestNewFindsEveryFault(t *testing.T) {
	var s seen
	lost := s.to("/a")
	lost.Origin = nil
	bad := s.to("/b")
	bad.Rewrite.Path = "b"
	_, err := inbound.New(inbound.Config{Routes: []inbound.Route{lost, bad, s.to("/c"), s.to("/c")}})
	for _, want := range []string{"/a leads nowhere", "begin with a slash", "/c"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}
