package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// What a line costs the request, in each format, beside the same line written at once
// by log/slog, and beside none. All write to a device, so that writing is a system call.
func BenchmarkAccessLog(b *testing.B) {
	for _, text := range []string{"json", "common", "combined", columns} {
		b.Run(fmt.Sprintf("queued/%.8s", text), func(b *testing.B) {
			tel := telemetry.New(telemetry.Options{})
			log := tel.AccessLog(device(b), slog.New(slog.DiscardHandler))
			log.Bound(1 << 30) // or lines would be dropped, which costs less
			log.Start()
			requests(b, tel.Requests(telemetry.RequestConfig{Direction: "ingress", Log: log, Lines: telemetry.Lines{Format: format(b, text), Sample: 1}}))
			if err := log.Close(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
	b.Run("slog", func(b *testing.B) {
		layer := telemetry.New(telemetry.Options{}).Requests(telemetry.RequestConfig{Direction: "ingress"})
		requests(b, mesh.Layer(func(next http.RoundTripper) http.RoundTripper { return layer(atOnce(device(b), next)) }))
	})
	b.Run("none", func(b *testing.B) {
		requests(b, telemetry.New(telemetry.Options{}).Requests(telemetry.RequestConfig{Direction: "ingress"}))
	})
}

func device(b *testing.B) io.Writer {
	b.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

// requests sends them through the layer.
func requests(b *testing.B, layer mesh.Layer) {
	b.Helper()
	req := httptest.NewRequest(http.MethodGet, "/api/orders/1", nil)
	req.Header.Set("User-Agent", "curl/8.5.0")
	route := &mesh.Route{Name: "/api/orders/**", Service: "orders"}
	attempts := []mesh.Attempt{{Endpoint: "10.0.0.1:3003", Status: 200}}
	stack := layer(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		call := mesh.NewCall(context.Background())
		call.Start, call.Route, call.Service, call.Attempts = time.Now(), route, "orders", attempts
		call.ID = "0198c9f2-6749-7911-ac80-0aaaf25d4ccf"
		_, _ = stack.RoundTrip(call.Bind(req)) //nolint:bodyclose // there is no response
		call.End(mesh.Result{Status: 200})
	}
	b.StopTimer()
}

// atOnce writes a line of the same length at the end of each exchange, by log/slog.
func atOnce(w io.Writer, next http.RoundTripper) http.RoundTripper {
	log := slog.New(slog.NewJSONHandler(w, nil)).With("direction", "ingress")
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		call, method, host, path, agent := mesh.From(req), req.Method, req.Host, req.URL.EscapedPath(), req.UserAgent()
		call.OnEnd(func(r mesh.Result) {
			log.LogAttrs(context.Background(), slog.LevelInfo, "request",
				slog.String("request_id", call.ID), slog.String("client", ""), slog.String("peer", ""), slog.String("source", ""),
				slog.String("method", method), slog.String("host", host), slog.String("path", path), slog.String("proto", "HTTP/1.1"),
				slog.String("route", call.Route.Name), slog.String("service", string(call.Service)), slog.Int("status", r.Status),
				slog.String("code", ""), slog.String("error", ""), slog.String("endpoint", call.Attempts[0].Endpoint),
				slog.Int("attempt_count", len(call.Attempts)), slog.Int64("bytes_in", r.Received), slog.Int64("bytes_out", r.Sent),
				slog.Float64("duration_ms", 1.5), slog.String("user_agent", agent))
		})
		return next.RoundTrip(req)
	})
}
