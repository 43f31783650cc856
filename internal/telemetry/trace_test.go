package telemetry_test

import (
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

// What spans say, by OpenTelemetry's conventions for HTTP.
func TestSpans(t *testing.T) {
	refused := &mesh.Fault{Kind: mesh.Refused, Endpoint: "10.0.0.1:80", Err: errAway}
	for _, tt := range []struct {
		name, method, url string
		config            telemetry.TraceConfig
		before            func(*http.Request, *mesh.Call)
		attempts          []mesh.Attempt
		result            mesh.Result
	}{
		{
			name: "ordinary", method: http.MethodGet, url: "http://shop.example/users/7?token=secret",
			before: func(r *http.Request, c *mesh.Call) {
				r.Header.Set("User-Agent", "curl/8")
				c.Client, c.Peer = netip.MustParseAddr("198.51.100.7"), netip.MustParseAddrPort("10.0.0.9:4711")
			},
			attempts: []mesh.Attempt{{Endpoint: "10.0.0.1:3002", Scheme: "http", Status: 200}},
			result:   mesh.Result{Status: 200},
		},
		{
			name: "retried", method: http.MethodGet, url: "http://shop.example:8080/users/7",
			attempts: []mesh.Attempt{
				{Endpoint: "10.0.0.1:80", Scheme: "https", Err: refused},
				{Endpoint: "10.0.0.2:80", Scheme: "https", Status: 503},
				{Endpoint: "10.0.0.3:80", Scheme: "https", Status: 404},
			},
			result: mesh.Result{Status: 404},
		},
		{
			name: "failed", method: "BREW", url: "https://[::1]/users/7?q=1", config: telemetry.TraceConfig{Query: true},
			before: func(r *http.Request, c *mesh.Call) {
				r.Proto, r.ProtoMajor, r.ProtoMinor, c.Secure = "HTTP/2.0", 2, 0, true
			},
			attempts: []mesh.Attempt{{Err: &mesh.Fault{Kind: mesh.BreakerOpen}}},
			result:   mesh.Result{Status: 503, Err: &mesh.Fault{Kind: mesh.BreakerOpen}},
		},
		{
			name: "broken_off", method: http.MethodPost, url: "http://a/users/7",
			attempts: []mesh.Attempt{{Endpoint: "10.0.0.1:80", Scheme: "h2c", Status: 200}},
			result:   mesh.Result{Status: 200, Err: &mesh.Fault{Kind: mesh.Reset, Err: errAway}},
		},
		{
			name: "client_gone", method: http.MethodGet, url: "http://a/users/7",
			attempts: []mesh.Attempt{{Endpoint: "10.0.0.1:80", Scheme: "http", Err: &mesh.Fault{Kind: mesh.ClientGone}}},
			result:   mesh.Result{Err: &mesh.Fault{Kind: mesh.ClientGone}},
		},
		{
			name: "limited", method: http.MethodGet, url: "http://a/users/7",
			result: mesh.Result{Status: 429, Err: &mesh.Fault{Kind: mesh.Limited}},
		},
		{
			name: "long", method: http.MethodGet, url: "http://a/" + strings.Repeat("x", 5000),
			before:   func(r *http.Request, c *mesh.Call) { c.ID = strings.Repeat("i", 5000) },
			attempts: []mesh.Attempt{{Endpoint: "10.0.0.1:80", Scheme: "http", Status: 200}},
			result:   mesh.Result{Status: 200},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &keeper{}
			spans := telemetry.New(telemetry.Options{}).NewSpans(telemetry.SpanOptions{Service: "shop", Exporter: k})
			stop := sending(t, spans)
			tt.config.Direction, tt.config.Propagators, tt.config.Spans, tt.config.Sample = "ingress", carriers(t, "tracecontext"), spans, 1
			req, call := request(t, tt.method, tt.url)
			if tt.before != nil {
				tt.before(req, call)
			}
			origin, _ := attempted(tt.attempts...)
			_, _ = mesh.Stack(origin, telemetry.Traces(tt.config), editing).RoundTrip(req) //nolint:bodyclose // there is no response
			call.End(tt.result)
			stop()
			var got strings.Builder
			for _, s := range k.spans {
				got.WriteString(text(s))
			}
			golden(t, "spans_"+tt.name+".golden", got.String())
		})
	}
}

// editing is a layer that edits as layers may: a span tells what came in.
func editing(next http.RoundTripper) http.RoundTripper {
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		req.Header.Set("User-Agent", "edited")
		if req.URL.Path == "/users/7" {
			req.URL.Path = "/7"
		}
		return next.RoundTrip(req)
	})
}

// Each attempt is a span below the call's, whose ID is what the endpoint is told.
func TestAttemptsAreSiblings(t *testing.T) {
	k := &keeper{}
	spans := telemetry.New(telemetry.Options{}).NewSpans(telemetry.SpanOptions{Exporter: k})
	stop := sending(t, spans)
	req, call := request(t, http.MethodGet, "http://a/", "traceparent", parent, "tracestate", "foo=1", "b3", "0")
	origin, sent := attempted(mesh.Attempt{Status: 503}, mesh.Attempt{Status: 200})
	layer := telemetry.Traces(telemetry.TraceConfig{Direction: "ingress", Propagators: carriers(t, "tracecontext", "b3"), Spans: spans})
	_, _ = mesh.Stack(origin, layer).RoundTrip(req) //nolint:bodyclose // there is no response
	call.End(mesh.Result{Status: 200})
	stop()
	if len(k.spans) != 3 || len(*sent) != 2 {
		t.Fatalf("%d spans, %d attempts", len(k.spans), len(*sent))
	}
	server := k.spans[2]
	if server.Parent().SpanID().String() != spanID || !server.Parent().IsRemote() || server.SpanContext().TraceID().String() != traceID {
		t.Errorf("the server's span: %+v below %+v", server.SpanContext(), server.Parent())
	}
	if id, span := idsOf(call); id != traceID || span != server.SpanContext().SpanID().String() || !call.Trace.Sampled() {
		t.Errorf("the call is said to be %s of %s", span, id)
	}
	for i, s := range k.spans[:2] {
		id := s.SpanContext().SpanID().String()
		h := (*sent)[i]
		if s.Parent().SpanID() != server.SpanContext().SpanID() || s.SpanKind() != trace.SpanKindClient || s.Parent().IsRemote() {
			t.Errorf("attempt %d is below %v", i, s.Parent().SpanID())
		}
		want := map[string]string{"traceparent": "00-" + traceID + "-" + id + "-01", "tracestate": "foo=1", "b3": traceID + "-" + id + "-1"}
		for name, value := range want {
			if got := h[name]; len(got) != 1 || got[0] != value {
				t.Errorf("attempt %d was told %s: %q, want %q", i, name, got, value)
			}
		}
		if s.SpanContext().TraceState().String() != "foo=1" {
			t.Errorf("attempt %d has the state %q", i, s.SpanContext().TraceState())
		}
	}
	if k.spans[0].SpanContext().SpanID() == k.spans[1].SpanContext().SpanID() {
		t.Error("two attempts are one span")
	}
	if end := k.spans[0].EndTime(); end.After(k.spans[1].StartTime()) {
		t.Error("an attempt that was given up ends after the next has begun")
	}
}

// Where a trace begins, its ID decides; else whoever sent the request did.
func TestSampled(t *testing.T) {
	route := &mesh.Route{Name: "/a"}
	for _, tt := range []struct {
		name   string
		sample float64
		routes map[*mesh.Route]float64
		route  *mesh.Route
		fields []string
		want   bool
	}{
		{"all", 1, nil, nil, nil, true},
		{"none", 0, nil, nil, nil, false},
		{"the parent is", 0, nil, nil, []string{"traceparent", parent}, true},
		{"the parent is not", 1, nil, nil, []string{"traceparent", parent[:53] + "00"}, false},
		{"b3 says no, without a trace", 1, nil, nil, []string{"b3", "0"}, false},
		{"b3 says debug", 0, nil, nil, []string{"b3", "d"}, true},
		{"b3 leaves it to us: yes", 1, nil, nil, []string{"b3", traceID + "-" + spanID}, true},
		{"b3 leaves it to us: no", 0, nil, nil, []string{"b3", traceID + "-" + spanID}, false},
		{"the route: yes", 0, map[*mesh.Route]float64{route: 1}, route, nil, true},
		{"the route: no", 1, map[*mesh.Route]float64{route: 0}, route, nil, false},
		{"another route", 0, map[*mesh.Route]float64{route: 1}, &mesh.Route{Name: "/a"}, nil, false},
		{"no route", 1, map[*mesh.Route]float64{route: 0}, nil, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &keeper{}
			spans := telemetry.New(telemetry.Options{}).NewSpans(telemetry.SpanOptions{Exporter: k})
			stop := sending(t, spans)
			layer := telemetry.Traces(telemetry.TraceConfig{Propagators: carriers(t, "tracecontext", "b3"), Spans: spans, Sample: tt.sample, Routes: tt.routes})
			req, call := request(t, http.MethodGet, "http://a/", tt.fields...)
			told := ""
			_, _ = mesh.Stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) { //nolint:bodyclose // there is no response
				call.Route = tt.route
				call.Attempts = append(call.Attempts, mesh.Attempt{})
				call.Trace.Attempt(call, req)
				told = named(req.Header, "traceparent")[0]
				return nil, nil //nolint:nilnil // nobody looks
			}), layer).RoundTrip(req)
			call.End(mesh.Result{Status: 200})
			stop()
			flags, _ := hex.DecodeString(told[53:])
			if sampled := flags[0]&1 == 1; sampled != tt.want || call.Trace.Sampled() != tt.want || len(k.spans) != map[bool]int{true: 2}[tt.want] {
				t.Errorf("the endpoint was told %s, and %d spans were recorded; want %v", told, len(k.spans), tt.want)
			}
		})
	}
}

// What is not recorded is told onwards at the cost of what carries it.
func TestUnsampledIsCheap(t *testing.T) {
	spans := telemetry.New(telemetry.Options{}).NewSpans(telemetry.SpanOptions{Exporter: &keeper{}})
	layer := telemetry.Traces(telemetry.TraceConfig{Propagators: carriers(t, "tracecontext", "b3"), Spans: spans})
	stack := mesh.Stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		call := mesh.From(req)
		call.Trace.Attempt(call, req)
		return nil, nil //nolint:nilnil // nobody looks
	}), layer)
	req, call := request(t, http.MethodGet, "http://a/", "traceparent", parent[:53]+"00", "tracestate", "foo=1")
	header := req.Header.Clone()
	call.Attempts = make([]mesh.Attempt, 1)
	// Four: the span, one text of all fields, one slice that holds its parts, and that
	// the header, here new each time, grows.
	if n := testing.AllocsPerRun(100, func() {
		clear(req.Header)
		for name, values := range header {
			req.Header[name] = values
		}
		_, _ = stack.RoundTrip(req) //nolint:bodyclose // there is no response
	}); n > 4 {
		t.Errorf("%v allocations a request", n)
	}
}
