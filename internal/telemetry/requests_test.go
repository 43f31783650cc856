package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

func TestRequestLabels(t *testing.T) {
	route := &mesh.Route{Name: "/api/**", Service: "orders"}
	split := &mesh.Route{Name: "/split/**"}
	tests := []struct {
		name string
		exchange
		want string // labels
		code string // of the fault counted; empty for none
	}{
		{"plain", exchange{method: "GET", route: route, service: "orders", result: mesh.Result{Status: 200}},
			`method="GET",route="/api/**",service="orders",status_code="200"`, ""},
		{"the route's service names it", exchange{method: "PUT", route: route, service: "orders-v2", result: mesh.Result{Status: 201}},
			`method="PUT",route="/api/**",service="orders",status_code="201"`, ""},
		{"a split's service is where it went", exchange{method: "GET", route: split, service: "canary", result: mesh.Result{Status: 200}},
			`method="GET",route="/split/**",service="canary",status_code="200"`, ""},
		{"no route", exchange{method: "GET", result: mesh.Result{Status: 404, Err: &mesh.Fault{Kind: mesh.NoRoute}}},
			`method="GET",route="none",service="none",status_code="404"`, "no_route"},
		{"a redirect has no service", exchange{method: "HEAD", route: split, result: mesh.Result{Status: 308}},
			`method="HEAD",route="/split/**",service="none",status_code="308"`, ""},
		{"unknown method", exchange{method: "PROPFIND", route: route, result: mesh.Result{Status: 405}},
			`method="_OTHER",route="/api/**",service="orders",status_code="405"`, ""},
		{"methods are case-sensitive", exchange{method: "get", route: route, result: mesh.Result{Status: 405}},
			`method="_OTHER",route="/api/**",service="orders",status_code="405"`, ""},
		{"client gone before an answer", exchange{method: "POST", route: route, result: mesh.Result{Err: &mesh.Fault{Kind: mesh.ClientGone}}},
			`method="POST",route="/api/**",service="orders",status_code="499"`, "client_gone"},
		{"client gone during an answer", exchange{method: "GET", route: route, result: mesh.Result{Status: 200, Err: &mesh.Fault{Kind: mesh.ClientGone}}},
			`method="GET",route="/api/**",service="orders",status_code="200"`, "client_gone"},
		{"nothing was sent", exchange{method: "GET", route: route, result: mesh.Result{Err: &mesh.Fault{Kind: mesh.Reset}}},
			`method="GET",route="/api/**",service="orders",status_code="other"`, "reset"},
		{"a wrapped fault", exchange{method: "GET", route: route, result: mesh.Result{Status: 502, Err: fmt.Errorf("try 2: %w", &mesh.Fault{Kind: mesh.Refused})}},
			`method="GET",route="/api/**",service="orders",status_code="502"`, "refused"},
		{"another error is ours", exchange{method: "GET", route: route, result: mesh.Result{Status: 500, Err: errors.New("oops")}},
			`method="GET",route="/api/**",service="orders",status_code="500"`, "internal"},
		{"status below", exchange{method: "GET", route: route, result: mesh.Result{Status: 99}},
			`method="GET",route="/api/**",service="orders",status_code="other"`, ""},
		{"status above", exchange{method: "GET", route: route, result: mesh.Result{Status: 600}},
			`method="GET",route="/api/**",service="orders",status_code="other"`, ""},
		{"a route that is no text", exchange{method: "GET", route: &mesh.Route{Name: "/\xff"}, result: mesh.Result{Status: 200}},
			"method=\"GET\",route=\"/\uFFFD\",service=\"none\",status_code=\"200\"", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tel := telemetry.New(telemetry.Options{})
			tt.url = "/x"
			tt.run(t, tel.Requests(telemetry.RequestConfig{Direction: "ingress"}), nil)
			got := scrape(t, tel, "gateway_requests_total", "gateway_request_duration_seconds_count", "outrider_faults_total")
			has(t, got, "gateway_requests_total{"+tt.want+"} 1")
			has(t, got, "gateway_request_duration_seconds_count{"+tt.want+"} 1")
			if tt.code != "" {
				has(t, got, `outrider_faults_total{code="`+tt.code+`",direction="ingress"} 1`)
			} else if strings.Contains(got, "outrider_faults_total{") {
				t.Errorf("a fault was counted:\n%s", got)
			}
		})
	}
}

func TestRequestWithoutACallPassesUnobserved(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	passed := false
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		passed = true
		return nil, errors.New("no answer")
	})
	layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress"})
	_, _ = mesh.Stack(origin, layer).RoundTrip(httptest.NewRequest(http.MethodGet, "/", nil)) //nolint:bodyclose // there is no response
	if got := scrape(t, tel, "gateway_requests_total"); !passed || got != "" {
		t.Errorf("passed = %t, counted:\n%s", passed, got)
	}
}

// What clients send must not make series: only what is configured may.
func TestLabelsAreBoundedWhateverClientsSend(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress"})
	route := &mesh.Route{Name: "/**", Service: "orders"}
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, 1+random.IntN(12))
		for i := range b {
			b[i] = byte('A' + random.IntN(26))
		}
		return string(b)
	}
	for range 20_000 {
		exchange{
			method: word(), url: "/" + word() + "?" + word(), route: route, service: "orders",
			result: mesh.Result{Status: random.IntN(1200) - 100},
		}.run(t, layer, func(req *http.Request, _ *mesh.Call) { req.Host = word() })
	}
	const limit = 256 + 1
	if n := strings.Count(scrape(t, tel, "gateway_requests_total{"), "\n"); n > limit {
		t.Errorf("%d series, want at most %d", n, limit)
	}
	methods := map[string]bool{}
	for _, m := range regexp.MustCompile(`method="([^"]*)"`).FindAllStringSubmatch(scrape(t, tel, "gateway_requests_total{"), -1) {
		methods[m[1]] = true
	}
	if len(methods) != 1 || !methods["_OTHER"] {
		t.Errorf("methods %v, want only _OTHER", methods)
	}
}

func TestPastItsBoundAFamilyCountsTogether(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	layer := tel.Requests(telemetry.RequestConfig{Direction: "outbound"})
	for i := range 3000 {
		route := &mesh.Route{Name: fmt.Sprintf("/%d", i), Service: "orders"}
		exchange{method: "GET", url: "/x", route: route, result: mesh.Result{Status: 200}}.run(t, layer, nil)
	}
	requests := scrape(t, tel, "gateway_requests_total{")
	has(t, requests, `gateway_requests_total{method="GET",route="/0",service="orders",status_code="200"} 1`)
	has(t, requests, `gateway_requests_total{method="GET",route="_OTHER",service="_OTHER",status_code="200"} 952`)

	for i := range 3000 {
		tel.Retry(fmt.Sprintf("service-%d", i), "reset")
	}
	got := scrape(t, tel, "outrider_retries_total{")
	has(t, got, `outrider_retries_total{reason="reset",service="service-0"} 1`)
	has(t, got, `outrider_retries_total{reason="_OTHER",service="_OTHER"} 952`)
	if n := strings.Count(got, "\n"); n != 2048+1 {
		t.Errorf("%d series, want 2049", n)
	}
}

func TestConcurrentRequestsAreAllCounted(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress"})
	const clients, each = 8, 200
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := range each {
				route := &mesh.Route{Name: fmt.Sprintf("/%d/**", i%10), Service: "orders"}
				exchange{method: "GET", url: "/x", route: route, result: mesh.Result{Status: 200}}.run(t, layer, nil)
			}
		})
	}
	wg.Wait()
	got := scrape(t, tel, "gateway_requests_total{")
	for i := range 10 {
		has(t, got, fmt.Sprintf(`gateway_requests_total{method="GET",route="/%d/**",service="orders",status_code="200"} %d`, i, clients*each/10))
	}
}

// allocations of one exchange through the layer, of a connection whose Call serves one
// request after another.
func allocations(layer mesh.Layer, status int, fault error) float64 {
	req := httptest.NewRequest(http.MethodGet, "/api/orders/1?q=1", nil)
	req.Header.Set("User-Agent", "curl/8.5.0")
	route := &mesh.Route{Name: "/api/orders/**", Service: "orders"}
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil })
	stack, base := mesh.Stack(origin, layer), context.Background()
	call := mesh.NewCall(base)
	req = call.Bind(req)
	return testing.AllocsPerRun(500, func() {
		call.Start, call.Route, call.Service = time.Now(), route, "orders"
		call.Attempts = append(call.Attempts, mesh.Attempt{Endpoint: "10.0.0.1:80", Status: status, Err: fault})
		_, _ = stack.RoundTrip(req) //nolint:bodyclose // there is no response
		call.End(mesh.Result{Status: status, Err: fault})
		call.Renew(base)
	})
}

func TestAllocationBudget(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	tests := []struct {
		name  string
		layer mesh.Layer
		fault error
	}{
		{"request", tel.Requests(telemetry.RequestConfig{Direction: "ingress"}), nil},
		{"fault", tel.Requests(telemetry.RequestConfig{Direction: "ingress"}), &mesh.Fault{Kind: mesh.Reset}},
		{"active", tel.Active("orders"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := allocations(tt.layer, 200, tt.fault); got > 0 {
				t.Errorf("%v allocations, the budget is 0", got)
			}
		})
	}
}

func TestEventsAllocateNothingOnceSeen(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	all := func() {
		tel.Fault("ingress", mesh.Reset)
		tel.Retry("orders", "connect")
		tel.RetryBudgetExhausted("orders")
		tel.BreakerTransition("orders", "closed", "open")
		tel.Ejection("orders")
		tel.HealthChange("orders", "healthy")
		tel.AuthCheck("valid", true)
		tel.CacheRequest("hit")
		tel.Reload(true)
	}
	all()
	if got := testing.AllocsPerRun(500, all); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkRequests(b *testing.B) {
	tel := telemetry.New(telemetry.Options{})
	req := httptest.NewRequest(http.MethodGet, "/api/orders/1", nil)
	route := &mesh.Route{Name: "/api/orders/**", Service: "orders"}
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil })
	stack := mesh.Stack(origin, tel.Requests(telemetry.RequestConfig{Direction: "ingress"}))
	b.ReportAllocs()
	for b.Loop() {
		call := mesh.NewCall(context.Background())
		call.Start, call.Route, call.Service = time.Now(), route, "orders"
		_, _ = stack.RoundTrip(call.Bind(req)) //nolint:bodyclose // there is no response
		call.End(mesh.Result{Status: 200})
	}
}
