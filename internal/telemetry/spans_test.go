package telemetry_test

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// traced sends n requests through a layer that records each, one span a request.
func traced(t testing.TB, spans *telemetry.Spans, n int) {
	t.Helper()
	layer := telemetry.Traces(telemetry.TraceConfig{Direction: "ingress", Propagators: carriers(t, "tracecontext"), Sample: 1, Query: true, Spans: spans})
	origin, _ := attempted()
	stack := mesh.Stack(origin, layer)
	for range n {
		req, call := request(t, http.MethodGet, "http://a/?\xff", "traceparent", parent, "User-Agent", "\xff")
		_, _ = stack.RoundTrip(req) //nolint:bodyclose // there is no response
		call.End(mesh.Result{Status: 200})
	}
}

// taken is what a collector was sent.
type taken struct {
	collector.UnimplementedTraceServiceServer
	messages chan *collector.ExportTraceServiceRequest
	headers  chan string
}

func newTaken() *taken {
	return &taken{messages: make(chan *collector.ExportTraceServiceRequest, 16), headers: make(chan string, 16)}
}

// Export is the collector over gRPC.
func (c *taken) Export(ctx context.Context, m *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	c.headers <- strings.Join(md.Get("x-tenant"), ",")
	c.messages <- m
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP is the collector over HTTP.
func (c *taken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m := &collector.ExportTraceServiceRequest{}
	if err := proto.Unmarshal(body, m); err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.headers <- r.Header.Get("X-Tenant")
	c.messages <- m
}

func TestCollectors(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // it may be ourselves: it is not used
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			c := newTaken()
			o := telemetry.SpanOptions{Protocol: protocol, Service: "shop", Instance: "shop-1", Version: "1.2"}
			if protocol == "http" {
				s := httptest.NewServer(c)
				t.Cleanup(s.Close)
				o.Endpoint = s.URL + "/v1/traces"
			} else {
				ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				s := grpc.NewServer()
				collector.RegisterTraceServiceServer(s, c)
				served := make(chan error, 1)
				go func() { served <- s.Serve(ln) }()
				t.Cleanup(func() { s.Stop(); <-served })
				o.Endpoint = "http://" + ln.Addr().String()
			}
			tel := telemetry.New(telemetry.Options{})
			spans := tel.NewSpans(o)
			stop := sending(t, spans)
			traced(t, spans, 1)
			stop()
			if len(c.messages) != 1 {
				t.Fatalf("the collector has %d messages: %s", len(c.messages), scrape(t, tel, "outrider_spans"))
			}
			m := <-c.messages
			if got := <-c.headers; got != "shop" {
				t.Errorf("the header of OTEL_EXPORTER_OTLP_HEADERS is %q", got)
			}
			resource := map[string]string{}
			for _, a := range m.ResourceSpans[0].Resource.Attributes {
				resource[a.Key] = a.Value.GetStringValue()
			}
			for name, want := range map[string]string{
				"service.name": "shop", "service.instance.id": "shop-1", "outrider.version": "1.2", "deployment.environment.name": "test",
			} {
				if resource[name] != want {
					t.Errorf("%s is %q, want %q", name, resource[name], want)
				}
			}
			span := m.ResourceSpans[0].ScopeSpans[0].Spans[0]
			if hex.EncodeToString(span.TraceId) != traceID || hex.EncodeToString(span.ParentSpanId) != spanID || span.Flags&1 == 0 {
				t.Errorf("the span is %v", span)
			}
			scraped := scrape(t, tel, "outrider_spans")
			has(t, scraped, "outrider_spans_exported_total 1")
			has(t, scraped, `outrider_spans_dropped_total{reason="export"} 0`)
		})
	}
}

// A collector that is away costs one line, and one when it is back.
func TestCollectorAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, log := &keeper{fail: errAway}, &logLines{}
		tel := telemetry.New(telemetry.Options{})
		spans := tel.NewSpans(telemetry.SpanOptions{Exporter: k, Endpoint: "http://user:secret@otel:4317/x", Log: log.logger()})
		stop := sending(t, spans)
		for range 3 {
			traced(t, spans, 2)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if all := log.list(); len(all) != 1 || !strings.Contains(all[0], "endpoint=otel:4317 ") || !strings.Contains(all[0], errAway.Error()) {
			t.Errorf("the log says %q", all)
		}
		k.setFail(nil)
		for range 2 {
			traced(t, spans, 1)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if all := log.list(); len(all) != 2 || !strings.Contains(all[1], "dropped=6") {
			t.Errorf("the log says %q", all)
		}
		scraped := scrape(t, tel, "outrider_spans")
		has(t, scraped, `outrider_spans_dropped_total{reason="export"} 6`)
		has(t, scraped, "outrider_spans_exported_total 2")
		stop()
	})
}

// A collector that takes its time delays nobody: what it has no room for is dropped.
func TestQueueFull(t *testing.T) {
	k := &keeper{gate: make(chan struct{}), begun: make(chan struct{}, 16)}
	tel := telemetry.New(telemetry.Options{})
	spans := tel.NewSpans(telemetry.SpanOptions{Exporter: k})
	stop := sending(t, spans)
	traced(t, spans, 512) // a whole message
	<-k.begun             // which it is now busy with
	traced(t, spans, 2048+100)
	scraped := scrape(t, tel, "outrider_spans")
	has(t, scraped, `outrider_spans_dropped_total{reason="queue"} 100`)
	close(k.gate)
	stop()
	if len(k.spans) != 512+2048 {
		t.Errorf("%d spans were sent", len(k.spans))
	}
	traced(t, spans, 1) // nobody sends any more
	has(t, scrape(t, tel, "outrider_spans"), `outrider_spans_dropped_total{reason="queue"} 101`)
}

// The end waits for a collector that hangs no longer than it may.
func TestTheEndIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name         string
		limit, takes time.Duration
	}{{"the limit", 2 * time.Second, 2 * time.Second}, {"five seconds", time.Hour, 5 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			k := &keeper{gate: make(chan struct{})}
			tel := telemetry.New(telemetry.Options{})
			spans := tel.NewSpans(telemetry.SpanOptions{Exporter: k})
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			limit, free := context.WithTimeout(context.Background(), tt.limit)
			defer free()
			traced(t, spans, 1500)
			began := time.Now()
			if err := spans.Run(ctx, limit); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != tt.takes {
				t.Errorf("%s: the end took %v", tt.name, took)
			}
			has(t, scrape(t, tel, "outrider_spans"), `outrider_spans_dropped_total{reason="export"} 1500`)
		})
	}
}

func TestNoSuchProtocol(t *testing.T) {
	tel := telemetry.New(telemetry.Options{})
	spans := tel.NewSpans(telemetry.SpanOptions{Endpoint: "http://127.0.0.1:1", Protocol: "carrier pigeon"})
	if err := spans.Run(t.Context(), t.Context()); err == nil || !strings.Contains(err.Error(), `"carrier pigeon"`) {
		t.Errorf("the error is %v", err)
	}
	traced(t, spans, 1)
	has(t, scrape(t, tel, "outrider_spans"), `outrider_spans_dropped_total{reason="queue"} 1`)
}
