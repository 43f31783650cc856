package telemetry_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// everything returns a Telemetry that has seen every kind of event.
func everything(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	tel := telemetry.New(telemetry.Options{Version: "1.2.3"})
	orders := &mesh.Route{Name: "/api/orders/**", Service: "orders"}
	layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress"})
	slow := func(d time.Duration) func(*http.Request, *mesh.Call) {
		return func(_ *http.Request, call *mesh.Call) { call.Start = time.Now().Add(-d) }
	}
	exchange{method: "GET", url: "/api/orders/1", route: orders, service: "orders", result: mesh.Result{Status: 200}}.
		run(t, layer, slow(3*time.Millisecond))
	exchange{method: "GET", url: "/api/orders/1", route: orders, service: "orders",
		result: mesh.Result{Status: 503, Err: &mesh.Fault{Kind: mesh.BreakerOpen}}}.run(t, layer, slow(0))
	exchange{method: "BREW", url: "/coffee", result: mesh.Result{Status: 404, Err: &mesh.Fault{Kind: mesh.NoRoute}}}.
		run(t, layer, slow(2*time.Second))
	exchange{method: "PUT", url: "/api/orders/1", route: orders, service: "orders", result: mesh.Result{Status: 201}, attempts: []mesh.Attempt{
		{}, // no endpoint could be picked
		{Endpoint: "a:1", Duration: 250 * time.Millisecond, Err: &mesh.Fault{Kind: mesh.Reset}},
		{Endpoint: "b:1", Duration: 3 * time.Millisecond, Status: 201},
	}}.run(t, layer, slow(time.Second))

	tel.Active("orders")
	tel.Retry("orders", "connect")
	tel.RetryBudgetExhausted("orders")
	tel.BreakerTransition("orders", "closed", "open")
	tel.Ejection("orders")
	tel.HealthChange("orders", "unhealthy")
	tel.AuthCheck("valid", true)
	tel.AuthCheck("invalid", false)
	tel.CacheRequest("hit")
	tel.Reload(true)
	tel.Reload(false)
	tel.Fault("ingress", mesh.HeaderTooLarge)
	tel.Fault("inbound", mesh.Internal)
	tel.Connections(func() int { return 7 })
	tel.CacheBytes(func() int64 { return 4096 })
	tel.RateLimitKeys(func() int64 { return 12 })
	tel.Registered(func() bool { return true })
	expiry := time.Now().Add(time.Hour)
	tel.CertificateExpiry(func() time.Time { return expiry })
	tel.Services(func() []telemetry.ServiceState {
		return []telemetry.ServiceState{
			{Name: "orders", Healthy: 2, Ejected: 1, Closed: 2, Open: 1, RetryBudget: 9.5, Mode: "stale", Age: 90 * time.Second},
			{Name: "payments", RetryBudget: 10, Mode: "waiting", Age: 250 * time.Millisecond},
			{Name: "users", Unhealthy: 2, HalfOpen: 1, Panic: true, RetryBudget: -1},
		}
	})
	return tel
}

func TestMetricsReadAsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := scrape(t, everything(t), "gateway_", "outrider_")
		got = strings.ReplaceAll(got, runtime.Version(), "GOVERSION")
		golden(t, "metrics.txt", got)
	})
}

func TestMetricsKeepPrometheusCustoms(t *testing.T) {
	faults, err := promlint.New(strings.NewReader(scrape(t, everything(t), "gateway_", "outrider_"))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Errorf("%s: %s", f.Metric, f.Text)
	}
}

// The mode of each service is shown as one of all: a scrape that has none of them 1 is
// a mode that DiscoveryModes does not name.
func TestOneDiscoveryModeIsOn(t *testing.T) {
	for _, mode := range telemetry.DiscoveryModes {
		tel := telemetry.New(telemetry.Options{})
		tel.Services(func() []telemetry.ServiceState { return []telemetry.ServiceState{{Name: "a", Mode: mode}} })
		got := scrape(t, tel, "outrider_discovery_mode{")
		has(t, got, `outrider_discovery_mode{mode="`+mode+`",service="a"} 1`)
		if strings.Count(got, "} 1\n") != 1 || strings.Count(got, "} 0\n") != len(telemetry.DiscoveryModes)-1 {
			t.Errorf("%s:\n%s", mode, got)
		}
	}
}

// Who registers nothing and has no certificate says nothing of either.
func TestWhatASidecarAloneHasIsHidden(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	tel.CertificateExpiry(func() time.Time { return time.Time{} })
	tel.Services(func() []telemetry.ServiceState { return []telemetry.ServiceState{{Name: "a"}} })
	if got := scrape(t, tel, "outrider_registered", "outrider_discovery", "outrider_certificate"); got != "" {
		t.Errorf("got:\n%s", got)
	}
}

func TestRuntimeAndProcessAreShown(t *testing.T) {
	got := scrape(t, telemetry.New(telemetry.Options{}), "go_goroutines", "process_start_time_seconds", "outrider_build_info")
	for _, want := range []string{"\ngo_goroutines ", "\nprocess_start_time_seconds ", `version="unknown"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestOpenMetricsWhenAskedFor(t *testing.T) {
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	telemetry.New(telemetry.Options{}).Handler().ServeHTTP(w, req)
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("Content-Type = %q", got)
	}
	if !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Error("an OpenMetrics exposition ends in # EOF")
	}
}

func TestReloadMovesTheTimeOnlyWhenAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := telemetry.New(telemetry.Options{})
		const name = "outrider_reload_success_timestamp_seconds"
		started := scrape(t, tel, name)
		<-time.After(time.Minute) // of the bubble's clock
		tel.Reload(false)
		if got := scrape(t, tel, name); got != started {
			t.Errorf("after a refusal:\n%swant\n%s", got, started)
		}
		tel.Reload(true)
		if got := scrape(t, tel, name); got == started {
			t.Errorf("after a reload the time is still\n%s", got)
		}
	})
}

func TestServicesComeAndGoWithTheConfiguration(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	tests := []struct {
		name  string
		f     func() []telemetry.ServiceState
		want  []string // substrings of the scrape
		never []string
	}{
		{"nobody answers", nil, nil, []string{"service="}},
		{"one service", func() []telemetry.ServiceState { return []telemetry.ServiceState{{Name: "a", Healthy: 1}} },
			[]string{`outrider_endpoints{service="a",state="healthy"} 1`, `outrider_panic{service="a"} 0`}, nil},
		{"it is gone", func() []telemetry.ServiceState { return []telemetry.ServiceState{{Name: "b"}} },
			[]string{`service="b"`}, []string{`service="a"`}},
		{"a name twice counts once", func() []telemetry.ServiceState {
			return []telemetry.ServiceState{{Name: "c", Healthy: 1}, {Name: "c", Healthy: 2}}
		}, []string{`outrider_endpoints{service="c",state="healthy"} 1`}, []string{`service="c",state="healthy"} 2`}},
		{"a name that is no text", func() []telemetry.ServiceState { return []telemetry.ServiceState{{Name: "d\xff"}} },
			[]string{"service=\"d\uFFFD\""}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tel.Services(tt.f)
			got := scrape(t, tel, "outrider_endpoints", "outrider_panic")
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in:\n%s", want, got)
				}
			}
			for _, never := range tt.never {
				if strings.Contains(got, never) {
					t.Errorf("%q in:\n%s", never, got)
				}
			}
		})
	}
}

func TestActiveCountsUntilTheEnd(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	layer := tel.Active("orders")
	active := func(want string) {
		t.Helper()
		has(t, scrape(t, tel, "gateway_active_connections"), `gateway_active_connections{service="orders"} `+want)
	}
	answered := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		active("1")
		return &http.Response{Body: http.NoBody}, nil
	})
	refused := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("refused")
	})
	bare := httptest.NewRequest(http.MethodGet, "/", nil)
	call := mesh.NewCall(t.Context())
	req := call.Bind(bare)

	active("0")
	_, _ = mesh.Stack(refused, layer).RoundTrip(req) //nolint:bodyclose // there is no response
	call.Unwind(0, mesh.Result{})                    // the retry layer gives the attempt up
	active("0")
	if _, err := mesh.Stack(answered, layer).RoundTrip(req); err != nil { //nolint:bodyclose // an empty one
		t.Fatal(err)
	}
	active("1") // the answer is still on its way
	call.End(mesh.Result{Status: 200})
	active("0")

	_, _ = mesh.Stack(refused, layer).RoundTrip(bare) //nolint:bodyclose // there is no response
	active("0")                                       // no Call, no end, no count
}
