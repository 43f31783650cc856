package inbound_test

import (
	"net/http"
	"testing"

	"outrider/inbound"
	"outrider/internal/mesh"
	"outrider/internal/route"
)

func TestExplain(t *testing.T) {
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, &mesh.Fault{}
	})
	to := func(path string, methods ...string) inbound.Route {
		return inbound.Route{Match: route.Match{Path: path, Methods: methods}, Is: &mesh.Route{Name: path}, Origin: origin}
	}
	put := to("/a/b", http.MethodPut)
	put.CORS = func(next http.RoundTripper) http.RoundTripper { return next }
	g, err := inbound.New(inbound.Config{Limits: inbound.Limits{URIBytes: 64}, Routes: []inbound.Route{to("/a/**"), put, to("/x")}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, url string, fields ...string) (inbound.Explanation, *mesh.Fault) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		return g.Explain(mesh.NewCall(t.Context()).Bind(req), 5)
	}
	x, fault := ask(http.MethodGet, "http://h/a/./b")
	if fault != nil || x.Route.Name != "/a/**" || len(x.Others) != 1 || x.Others[0].Route.Name != "/a/b" || x.Others[0].Failed != "method" {
		t.Errorf("GET: %+v, %v", x, fault)
	}
	x, _ = ask(http.MethodOptions, "http://h/a/b", "Origin", "https://page", "Access-Control-Request-Method", "PUT")
	if x.Route.Name != "/a/b" || len(x.Others) != 1 || x.Others[0].Route.Name != "/a/**" {
		t.Errorf("a preflight: %+v", x)
	}
	if x, _ = ask(http.MethodGet, "http://h/nothing"); x.Route != nil || len(x.Others) != 0 {
		t.Errorf("what matches nothing: %+v", x)
	}
	if _, fault = ask(http.MethodGet, "http://h/a%2fb"); fault == nil || fault.Kind != mesh.Malformed {
		t.Errorf("an encoded slash: %v", fault)
	}
	long, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/a/0123456789012345678901234567890123456789012345678901234567890123456789", nil)
	if fault := g.TooLarge(mesh.NewCall(t.Context()).Bind(long)); fault == nil || fault.Kind != mesh.URITooLong {
		t.Errorf("a long target: %v", fault)
	}
}
