package telemetry_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// Access log and histogram tell of the trace: the log of each, the histogram of those
// that are recorded.
func TestTracesInLogAndHistogram(t *testing.T) {
	for _, tt := range []struct {
		name, parent       string
		traced, exemplared bool
	}{
		{"recorded", parent, true, true},
		{"not recorded", parent[:53] + "00", true, false},
		{"off", parent, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tel := telemetry.New(telemetry.Options{})
			log := tel.AccessLog(&out, slog.New(slog.DiscardHandler))
			log.Start()
			requests := tel.Requests(telemetry.RequestConfig{Direction: "ingress", Log: log, Lines: telemetry.Lines{Sample: 1}})
			var traces mesh.Layer
			if tt.traced {
				traces = telemetry.Traces(telemetry.TraceConfig{Propagators: carriers(t, "tracecontext")})
			}
			req, call := request(t, http.MethodGet, "http://a/", "traceparent", tt.parent)
			nothing := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }) //nolint:nilnil // nobody looks
			_, _ = mesh.Stack(nothing, requests, traces).RoundTrip(req)                                    //nolint:bodyclose // there is no response
			call.End(mesh.Result{Status: 200})
			if err := log.Close(t.Context()); err != nil {
				t.Error(err)
			}
			line := fields(t, out.String())
			if !tt.traced {
				if line["trace_id"] != nil || line["span_id"] != nil {
					t.Errorf("the log tells of a trace: %v", line)
				}
			} else if id, span := idsOf(call); line["trace_id"] != id || line["span_id"] != span || id != traceID || span == spanID {
				t.Errorf("the log says %v of %v, the call %s of %s", line["span_id"], line["trace_id"], span, id)
			}
			w, scraping := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
			scraping.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
			tel.Handler().ServeHTTP(w, scraping)
			if has := strings.Contains(w.Body.String(), `# {trace_id="`+traceID+`"}`); has != tt.exemplared {
				t.Errorf("an exemplar: %v, want %v\n%s", has, tt.exemplared, w.Body)
			}
		})
	}
}

// The cost of the layer and of one attempt a request: tracing off, a trace that is not
// recorded, one of a hundred, each.
func BenchmarkTraces(b *testing.B) {
	for _, bb := range []struct {
		name   string
		on     bool
		sample float64
	}{{"off", false, 0}, {"unsampled", true, 0}, {"1%", true, 0.01}, {"100%", true, 1}} {
		b.Run(bb.name, func(b *testing.B) {
			spans := telemetry.New(telemetry.Options{}).NewSpans(telemetry.SpanOptions{Exporter: &forgetful{}})
			stop := sending(b, spans)
			var layer mesh.Layer
			if bb.on {
				layer = telemetry.Traces(telemetry.TraceConfig{Direction: "ingress", Propagators: carriers(b, "tracecontext", "b3"), Spans: spans, Sample: bb.sample})
			}
			attempt := make([]mesh.Attempt, 1)
			stack := mesh.Stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				if call := mesh.From(req); call.Trace != nil {
					call.Trace.Attempt(call, req)
				}
				return nil, nil //nolint:nilnil // nobody looks
			}), layer)
			req, _ := request(b, http.MethodGet, "http://shop.example/users/7", "User-Agent", "bench")
			header := make(http.Header, 16)
			b.ReportAllocs()
			for b.Loop() {
				clear(header) // no trace came in
				call := mesh.NewCall(b.Context())
				call.Attempts = attempt
				bound := call.Bind(req)
				bound.Header = header
				_, _ = stack.RoundTrip(bound) //nolint:bodyclose // there is no response
				call.End(mesh.Result{Status: 200})
			}
			b.StopTimer()
			stop()
		})
	}
}
