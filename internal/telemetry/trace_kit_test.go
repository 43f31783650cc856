package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
	"outrider/internal/tracecontext"
)

// keeper is an exporter that keeps what it is sent.
type keeper struct {
	mu    sync.Mutex // protects all below
	spans []sdk.ReadOnlySpan
	fail  error         // what it answers
	gate  chan struct{} // if set, each message waits for an element, or its context
	begun chan struct{} // if set, an element for each message
}

func (k *keeper) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if k.begun != nil {
		k.begun <- struct{}{}
	}
	if k.gate != nil {
		select {
		case <-k.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail == nil {
		k.spans = append(k.spans, spans...)
	}
	return k.fail
}

func (k *keeper) setFail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

func (*keeper) Shutdown(context.Context) error { return nil }

// sending runs spans until stop, which returns once all is sent.
func sending(t testing.TB, s *telemetry.Spans) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, context.Background()) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func carriers(t testing.TB, names ...string) *tracecontext.Propagators {
	t.Helper()
	p, err := tracecontext.Parse(names)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// attempted is an origin that makes attempts as the layers of outbound do, and returns
// the header that each of them had.
func attempted(attempts ...mesh.Attempt) (http.RoundTripper, *[]http.Header) {
	var sent []http.Header
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		call := mesh.From(req)
		call.Route, call.Service = &mesh.Route{Name: "/users/*", Service: "users"}, "users"
		var err error
		for i, a := range attempts {
			mark := call.Mark()
			call.Attempts = append(call.Attempts, mesh.Attempt{Start: time.Now()})
			out := req.Clone(req.Context())
			call.Trace.Attempt(call, out)
			sent = append(sent, out.Header)
			a.Start = call.Attempts[i].Start
			call.Attempts[i], err = a, a.Err
			if i < len(attempts)-1 {
				call.Unwind(mark, mesh.Result{Status: a.Status, Err: a.Err})
			}
		}
		return nil, err
	}), &sent
}

// text writes a span as lines, its attributes in their order.
func text(s sdk.ReadOnlySpan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q", s.SpanKind(), s.Name())
	if status := s.Status(); status.Code != 0 {
		fmt.Fprintf(&b, " %s %q", status.Code, status.Description)
	}
	b.WriteString("\n")
	for _, a := range s.Attributes() {
		fmt.Fprintf(&b, "  %s = %s\n", a.Key, a.Value.String())
	}
	return b.String()
}

// request is one that a test sends, as a server would.
func request(t testing.TB, method, url string, fields ...string) (*http.Request, *mesh.Call) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, url, nil)
	req.Method = method
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	call := mesh.NewCall(context.Background())
	call.ID = "id-1"
	return call.Bind(req), call
}

// logLines is a log that counts.
type logLines struct {
	mu  sync.Mutex // protects all
	all []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *logLines) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

var errAway = errors.New("the collector is away")

// forgetful is an exporter that takes everything and keeps nothing.
type forgetful struct{}

func (*forgetful) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (*forgetful) Shutdown(context.Context) error                        { return nil }

// named returns the field of exactly this name: W3C's are in lower case.
func named(h http.Header, name string) []string { return h[name] }

// idsOf returns the IDs of a call's trace and span in hex.
func idsOf(call *mesh.Call) (trace, span string) {
	t, s := call.Trace.IDs()
	return tracecontext.TraceID(t).String(), tracecontext.SpanID(s).String()
}
