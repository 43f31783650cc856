package outbound

import (
	"net/http"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// layers are the layers above the balancer, on an origin that costs nothing.
func layers() (http.RoundTripper, *http.Request) {
	ok := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return ok, nil })
	req, _ := request("GET", "")
	req.Header.Set("Accept", "*/*")
	return mesh.Stack(origin, timeout(time.Minute, time.Minute), func(next http.RoundTripper) http.RoundTripper {
		return layer(usual, next, &recorder{})
	}), req
}

// TestAllocations holds what a request without a body costs between the route and the
// balancer: the attempt and its copy of the request and headers, two contexts, the
// deadline's timer, the list of attempts.
func TestAllocations(t *testing.T) {
	const budget = 20
	rt, req := layers()
	n := testing.AllocsPerRun(200, func() {
		call := mesh.NewCall(req.Context())
		if _, err := rt.RoundTrip(call.Bind(req)); err != nil {
			t.Error(err)
		}
		call.End(mesh.Result{})
	})
	if n > budget {
		t.Errorf("%v allocations, the budget is %d", n, budget)
	}
}

func BenchmarkLayers(b *testing.B) {
	rt, req := layers()
	b.ReportAllocs()
	for b.Loop() {
		call := mesh.NewCall(req.Context())
		if _, err := rt.RoundTrip(call.Bind(req)); err != nil {
			b.Fatal(err)
		}
		call.End(mesh.Result{})
	}
}
