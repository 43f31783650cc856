package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
)

const (
	maxQueued  = 2048            // spans that wait to be sent; further ones are dropped
	maxBatch   = 512             // spans of one message to the collector
	batchDelay = time.Second     // how long a span waits for others
	flushTime  = 5 * time.Second // for what is left at the end
	flushAway  = time.Second     // the same where the collector was away
)

// Why a span was dropped.
const (
	droppedQueue  = "queue"  // the queue was full
	droppedExport = "export" // the collector did not take it
)

// SpanOptions say where spans go.
type SpanOptions struct {
	Endpoint string // the collector: http://host:port[/path] or https
	Protocol string // grpc or http; empty means grpc

	// What the spans say of this proxy, unless OTEL_SERVICE_NAME or
	// OTEL_RESOURCE_ATTRIBUTES says otherwise.
	Service  string // service.name
	Instance string // service.instance.id; empty leaves it out
	Version  string // of the proxy

	Exporter sdk.SpanExporter // takes the collector's place; nil means Endpoint's
	Log      *slog.Logger     // nil discards
}

// Spans sends spans to a collector. Recording one never waits: where the collector is
// slower than the spans come, or away, they are dropped and counted.
type Spans struct {
	o      SpanOptions
	tracer trace.Tracer
	queue  chan sdk.ReadOnlySpan
	closed atomic.Bool

	exported prometheus.Counter
	dropped  *counters
	down     atomic.Bool // the last message was not taken
	lost     int64       // Run's own: spans since then
}

// NewSpans returns a Spans whose Run sends what is recorded. It starts nothing. A
// Telemetry has at most one.
func (t *Telemetry) NewSpans(o SpanOptions) *Spans {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Spans{
		o:     o,
		queue: make(chan sdk.ReadOnlySpan, maxQueued),
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "outrider_spans_exported_total", Help: "Spans that the collector has taken.",
		}),
		dropped: newCounters(t.registry, "outrider_spans_dropped_total",
			"Spans that were recorded and not sent.", "reason"),
	}
	t.registry.MustRegister(s.exported)
	for _, reason := range []string{droppedQueue, droppedExport} {
		s.dropped.get(labels{reason}) // reads 0 and not nothing
	}
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()), // what is not sampled is never handed to the SDK
		sdk.WithIDGenerator(givenIDs{}),
		sdk.WithResource(describe(o)),
		sdk.WithSpanProcessor(enqueue{s}),
	)
	s.tracer = provider.Tracer("outrider", trace.WithInstrumentationVersion(o.Version), trace.WithSchemaURL(semconv.SchemaURL))
	return s
}

// describe says whose spans they are. The environment has the last word, as in every
// program with OpenTelemetry.
func describe(o SpanOptions) *resource.Resource {
	attrs := []attribute.KeyValue{semconv.ServiceName(o.Service)}
	if o.Instance != "" {
		attrs = append(attrs, semconv.ServiceInstanceID(o.Instance))
	}
	if o.Version != "" {
		attrs = append(attrs, attribute.String("outrider.version", o.Version))
	}
	r, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithAttributes(attrs...), resource.WithFromEnv())
	if err != nil {
		o.Log.Warn("tracing: OTEL_RESOURCE_ATTRIBUTES", "warning", err.Error())
	}
	return r
}

// enqueue is the SDK's way into the queue.
type enqueue struct{ s *Spans }

// OnStart does nothing.
func (enqueue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd queues a span, or drops it where there is no room.
func (e enqueue) OnEnd(span sdk.ReadOnlySpan) {
	if !e.s.closed.Load() {
		select {
		case e.s.queue <- span:
			return
		default:
		}
	}
	e.s.dropped.get(labels{droppedQueue}).Inc()
}

// Shutdown does nothing: the queue is Run's.
func (enqueue) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing: the queue is Run's.
func (enqueue) ForceFlush(context.Context) error { return nil }

// Run sends what is recorded until ctx ends, and then what is left: until limit ends,
// for five seconds at most, and only as long as the collector takes it; one that was
// away has a second. The error is
// that there can be no exporter of these options; spans are dropped then. Run is called
// once.
func (s *Spans) Run(ctx, limit context.Context) error {
	defer s.closed.Store(true)
	exporter, err := s.o.open(limit)
	if err != nil {
		s.closed.Store(true)
		return err
	}
	defer func() {
		over, cancel := context.WithTimeout(context.WithoutCancel(limit), time.Second)
		defer cancel()
		_ = exporter.Shutdown(over) // nothing is left in it
	}()

	within, cancel := context.WithCancel(limit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.patience(), cancel) })() // also for a message under way

	tick := time.NewTicker(batchDelay)
	defer tick.Stop()
	batch := make([]sdk.ReadOnlySpan, 0, maxBatch)
	for {
		select {
		case <-ctx.Done():
			s.flush(within, cancel, exporter, batch)
			return nil
		case span := <-s.queue:
			if batch = append(batch, span); len(batch) < maxBatch {
				continue
			}
		case <-tick.C:
		}
		s.send(within, exporter, batch)
		clear(batch)
		batch = batch[:0]
	}
}

// patience is how long the end may take.
func (s *Spans) patience() time.Duration {
	if s.down.Load() {
		return flushAway
	}
	return flushTime
}

// flush sends what is left.
func (s *Spans) flush(within context.Context, giveUp func(), exporter sdk.SpanExporter, batch []sdk.ReadOnlySpan) {
	s.closed.Store(true)
	for more := true; more; {
		select {
		case span := <-s.queue:
			if batch = append(batch, span); len(batch) < maxBatch {
				continue
			}
		default:
			more = false
		}
		if !s.send(within, exporter, batch) {
			giveUp() // the rest is counted, and nobody waits for it
		}
		batch = batch[:0]
	}
}

// send sends one message, and says once that the collector is away, and once that it
// is back.
func (s *Spans) send(ctx context.Context, exporter sdk.SpanExporter, batch []sdk.ReadOnlySpan) bool {
	if len(batch) == 0 {
		return true
	}
	err := ctx.Err()
	if err == nil {
		err = exporter.ExportSpans(ctx, batch)
	}
	n := len(batch)
	switch {
	case err != nil && !s.down.Swap(true):
		s.o.Log.Warn("spans cannot be sent: they are dropped and counted until the collector takes them again",
			"endpoint", s.o.host(), "error", clip(err.Error(), maxError))
	case err == nil && s.down.Swap(false):
		s.o.Log.Info("spans are sent again", "endpoint", s.o.host(), "dropped", s.lost)
		s.lost = 0
	}
	if err != nil {
		s.lost += int64(n)
		s.dropped.get(labels{droppedExport}).Add(float64(n))
		return false
	}
	s.exported.Add(float64(n))
	return true
}
