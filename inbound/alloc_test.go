package inbound_test

import (
	"net/http"
	"testing"

	"outrider/inbound"
	"outrider/internal/mesh"
	"outrider/internal/route"
)

// passThrough is a guard of many routes without policies, before an origin that
// costs nothing, and a request for one of them.
func passThrough(t testing.TB, limits inbound.Limits) (http.RoundTripper, *http.Request) {
	t.Helper()
	ok := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return ok, nil })
	var routes []inbound.Route
	for _, path := range []string{"/api/users/**", "/api/users/me", "/api/orders/*/items", "/api/auth/login", "/**"} {
		routes = append(routes, inbound.Route{Match: route.Match{Path: path}, Is: &mesh.Route{Name: path}, Origin: origin})
	}
	return guard(t, inbound.Config{Limits: limits, Routes: routes}), request(t, http.MethodGet, "/api/users/7?q=1", "Accept", "*/*")
}

var usual = inbound.Limits{URIBytes: 16 << 10, HeaderCount: 100}

// What every request pays for being bounded, normalised, matched and sent on its way.
func TestPassThroughAllocatesNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits inbound.Limits
	}{{"without limits", inbound.Limits{}}, {"with the usual limits", usual}} {
		t.Run(tt.name, func(t *testing.T) {
			g, req := passThrough(t, tt.limits)
			n := testing.AllocsPerRun(200, func() {
				if _, err := g.RoundTrip(req); err != nil {
					t.Fatal(err)
				}
			})
			if n != 0 {
				t.Errorf("%v allocations, the budget is 0", n)
			}
		})
	}
}

func BenchmarkPassThrough(b *testing.B) {
	g, req := passThrough(b, usual)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}
