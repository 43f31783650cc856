package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
)

// How a message that was not taken is repeated, within the ten seconds that one may
// take (OTEL_EXPORTER_OTLP_TIMEOUT).
const (
	repeatAfter = 500 * time.Millisecond
	repeatMost  = 2 * time.Second
	repeatFor   = 8 * time.Second
)

// open returns what speaks to the collector. Headers, timeout, compression and
// certificates are as OTEL_EXPORTER_OTLP_* say. No proxy of the environment is used:
// it may be ourselves.
func (o SpanOptions) open(ctx context.Context) (sdk.SpanExporter, error) {
	if o.Exporter != nil {
		return o.Exporter, nil
	}
	var exporter sdk.SpanExporter
	var err error
	switch o.Protocol {
	case "", "grpc":
		exporter, err = otlptracegrpc.New(ctx,
			otlptracegrpc.WithEndpointURL(o.Endpoint),
			otlptracegrpc.WithDialOption(grpc.WithNoProxy()),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: repeatAfter, MaxInterval: repeatMost, MaxElapsedTime: repeatFor}),
		)
	case "http":
		exporter, err = otlptracehttp.New(ctx,
			otlptracehttp.WithEndpointURL(o.Endpoint),
			otlptracehttp.WithProxy(func(*http.Request) (*url.URL, error) { return nil, nil }),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: repeatAfter, MaxInterval: repeatMost, MaxElapsedTime: repeatFor}),
		)
	default:
		return nil, fmt.Errorf("tracing: there is no protocol %q", o.Protocol)
	}
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	return exporter, nil
}

// host is what a log shows of the endpoint: its user and query may be secret.
func (o SpanOptions) host() string {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}
