package inbound_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/inbound"
	"outrider/internal/mesh"
)

// every returns a route on which every layer notes itself.
func (s *seen) every(path string) inbound.Route {
	return s.to(path, func(r *inbound.Route) {
		// In another order than the one they act in.
		r.Cache = s.layer("cache")
		r.Transform = s.layer("transform")
		r.SubjectLimit = s.layer("subject")
		r.Auth = s.layer("auth")
		r.AddressLimit = s.layer("address")
		r.CORS = s.layer("cors")
	})
}

func TestTheOrderOfLayersIsFixed(t *testing.T) {
	var s seen
	g := guard(t, inbound.Config{PathLimits: s.layer("paths"), Routes: []inbound.Route{s.every("/users/**")}})
	pass(t, g, request(t, http.MethodGet, "/users/7"))
	s.want(t, "cors", "paths", "address", "auth", "subject", "transform", "cache", "/users/**")
}

func TestAbsentLayersArePassedOver(t *testing.T) {
	var s seen
	g := guard(t, inbound.Config{Routes: []inbound.Route{s.to("/users/**", func(r *inbound.Route) { r.Auth = s.layer("auth") })}})
	pass(t, g, request(t, http.MethodGet, "/users/7"))
	s.want(t, "auth", "/users/**")
}

// What a layer above refuses costs nothing below it.
func TestALayerThatRefusesEndsTheWay(t *testing.T) {
	denied := func(http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
			return nil, &mesh.Fault{Kind: mesh.Unauthenticated}
		})
	}
	var s seen
	r := s.every("/users/**")
	r.Auth = denied
	g := guard(t, inbound.Config{Routes: []inbound.Route{r}})
	refuse(t, g, request(t, http.MethodGet, "/users/7"), mesh.Unauthenticated)
	s.want(t, "cors", "address")
}

// Rules see a request as the client sent it, normalised; only the origin sees it
// rewritten.
func TestRulesSeeWhatTheClientAskedFor(t *testing.T) {
	note := func(into *string) mesh.Layer {
		return func(next http.RoundTripper) http.RoundTripper {
			return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				*into = req.Host + req.URL.Path
				return next.RoundTrip(req)
			})
		}
	}
	var s seen
	var limits, cache, origin string
	r := s.to("/users/**")
	r.Rewrite = inbound.Rewrite{Path: "/v2/**", Host: "users.internal"}
	r.Cache = note(&cache)
	r.Origin = note(&origin)(r.Origin)
	g := guard(t, inbound.Config{PathLimits: note(&limits), Routes: []inbound.Route{r}})
	pass(t, g, request(t, http.MethodGet, "http://shop.test/a/..//users/%37"))
	for _, at := range []struct{ where, got, want string }{
		{"the path limits", limits, "shop.test/users/7"},
		{"the cache", cache, "shop.test/users/7"},
		{"the origin", origin, "users.internal/v2/7"},
	} {
		if at.got != at.want {
			t.Errorf("%s saw %s, want %s", at.where, at.got, at.want)
		}
	}
}

// What a path limit refuses is counted under its route, so the route is known there.
func TestTheRouteIsKnownAbovePathLimits(t *testing.T) {
	var s seen
	r := s.to("/users/**")
	var got *mesh.Route
	paths := func(http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			got = mesh.From(req).Route
			return nil, &mesh.Fault{Kind: mesh.Limited}
		})
	}
	g := guard(t, inbound.Config{PathLimits: paths, Routes: []inbound.Route{r}})
	refuse(t, g, request(t, http.MethodGet, "/users/7"), mesh.Limited)
	if got != r.Is {
		t.Errorf("the path limits saw route %v, want %v", got, r.Is)
	}
	s.want(t)
}

func TestSizesAreBoundedAboveEverything(t *testing.T) {
	limits := inbound.Limits{URIBytes: 32, HeaderCount: 2, BodyBytes: 4}
	post := func(body string) *http.Request {
		req := request(t, http.MethodPost, "/users")
		req.Body, req.ContentLength = http.NoBody, int64(len(body))
		return req
	}
	tests := []struct {
		name string
		req  *http.Request
		want mesh.Kind
	}{
		{"target", request(t, http.MethodGet, "/users/"+strings.Repeat("7", 32)), mesh.URITooLong},
		{"header fields", request(t, http.MethodGet, "/users", "A", "1", "B", "2", "B", "3"), mesh.HeaderTooLarge},
		{"body", post("12345"), mesh.BodyTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s seen
			g := guard(t, inbound.Config{Limits: limits, PathLimits: s.layer("paths"), Routes: []inbound.Route{s.to("/users/**")}})
			refuse(t, g, tt.req, tt.want)
			s.want(t)
		})
	}
	var s seen
	g := guard(t, inbound.Config{Limits: limits, Routes: []inbound.Route{s.to("/users/**")}})
	pass(t, g, request(t, http.MethodGet, "/users", "A", "1", "B", "2"))
	pass(t, g, post("1234"))
	s.want(t, "/users/**", "/users/**")
}
