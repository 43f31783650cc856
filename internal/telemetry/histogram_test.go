package telemetry_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

func TestAttemptResults(t *testing.T) {
	for _, tt := range []struct {
		attempt mesh.Attempt
		want    string
	}{
		{mesh.Attempt{Status: 101}, "1xx"},
		{mesh.Attempt{Status: 200}, "2xx"},
		{mesh.Attempt{Status: 299}, "2xx"},
		{mesh.Attempt{Status: 304}, "3xx"},
		{mesh.Attempt{Status: 404}, "4xx"},
		{mesh.Attempt{Status: 503}, "5xx"},
		{mesh.Attempt{Status: 599}, "5xx"},
		{mesh.Attempt{Status: 600}, "other"},
		{mesh.Attempt{Status: 99}, "other"},
		{mesh.Attempt{Err: &mesh.Fault{Kind: mesh.Refused}}, "refused"},
		{mesh.Attempt{Err: fmt.Errorf("no: %w", &mesh.Fault{Kind: mesh.Reset})}, "reset"},
		{mesh.Attempt{Err: errors.New("oops"), Status: 200}, "internal"},
	} {
		tel := telemetry.New(telemetry.Options{})
		tt.attempt.Endpoint, tt.attempt.Duration = "a:1", 250*time.Millisecond
		exchange{method: "GET", url: "/", service: "orders", attempts: []mesh.Attempt{tt.attempt, {}}, result: mesh.Result{Status: 200}}.
			run(t, tel.Requests(telemetry.RequestConfig{Direction: "inbound"}), nil)
		got := scrape(t, tel, "outrider_attempt_duration_seconds")
		has(t, got, `outrider_attempt_duration_seconds_sum{direction="inbound",result="`+tt.want+`",service="orders"} 0.25`)
		if n := strings.Count(got, "_count{"); n != 1 {
			t.Errorf("%d series, want one: an attempt without an endpoint is none\n%s", n, got)
		}
	}
}

// The classic buckets are golden; beside them stand native ones, as many as are needed
// and no more than the bound.
func TestNativeHistograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := telemetry.New(telemetry.Options{})
		layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress"})
		took := func(d time.Duration) {
			exchange{method: "GET", url: "/", service: "orders", attempts: []mesh.Attempt{{Endpoint: "a:1", Duration: d, Status: 200}}, result: mesh.Result{Status: 200}}.
				run(t, layer, func(_ *http.Request, call *mesh.Call) { call.Start = time.Now().Add(-d) })
		}
		names := []string{"gateway_request_duration_seconds", "outrider_attempt_duration_seconds"}
		check := func(count uint64, schema int32, least, most int) {
			t.Helper()
			for _, name := range names {
				all, err := telemetry.Natives(tel, name)
				if err != nil || len(all) != 1 {
					t.Fatalf("%s: %v, %v", name, all, err)
				}
				if n := all[0]; n.Count != count || n.Schema != schema || n.Buckets < least || n.Buckets > most {
					t.Errorf("%s: %+v, want %d observations at schema %d in %d to %d buckets", name, n, count, schema, least, most)
				}
			}
		}
		for range 3 {
			took(20 * time.Millisecond)
		}
		check(3, 3, 1, 1)
		for i := range 1000 { // from 0.5 ms to 10 s
			took(time.Duration(math.Pow(20000, float64(i)/999) * float64(500*time.Microsecond)))
		}
		check(1003, 3, 100, 120)
		for i := range 1000 { // and far beyond
			took(time.Duration(math.Pow(1e9, float64(i)/999) * float64(time.Microsecond)))
		}
		check(2003, 2, 50, 120)
	})
}

func TestNativeHistogramsWhenAskedFor(t *testing.T) {
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	telemetry.New(telemetry.Options{}).Handler().ServeHTTP(w, req)
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/vnd.google.protobuf") {
		t.Errorf("Content-Type = %q: only as protocol buffers have they a form", got)
	}
}
