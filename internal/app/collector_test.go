package app

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans is a collector that takes spans over HTTP.
type spans struct {
	*httptest.Server
	mu  sync.Mutex // protects all
	all []span
}

// span is one that the collector was sent.
type span struct {
	service, kind, name, trace, id, parent string
	failed                                 bool
	attrs                                  map[string]string
}

func collecting(t *testing.T) *spans {
	t.Helper()
	c := &spans{}
	c.Server = serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &m) != nil {
			t.Errorf("the collector cannot read what came to %s: %v", r.URL.Path, err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range m.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					c.all = append(c.all, spanOf(resource, s))
				}
			}
		}
	})
	return c
}

func spanOf(resource *otlp.ResourceSpans, s *otlp.Span) span {
	out := span{
		kind: strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"), name: s.Name, trace: hex.EncodeToString(s.TraceId),
		id: hex.EncodeToString(s.SpanId), parent: hex.EncodeToString(s.ParentSpanId), attrs: map[string]string{},
		failed: s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR,
	}
	for _, a := range resource.Resource.Attributes {
		if a.Key == "service.name" {
			out.service = a.Value.GetStringValue()
		}
	}
	for _, a := range s.Attributes {
		out.attrs[a.Key] = a.Value.GetStringValue()
		if n := a.Value.GetIntValue(); n != 0 {
			out.attrs[a.Key] = fmt.Sprint(n)
		}
	}
	return out
}

// tracing is the configuration that sends every span here.
func (c *spans) tracing(more string) string {
	return fmt.Sprintf("tracing: {endpoint: %q, protocol: http, sample: 1%s}\n", c.URL, more)
}

// tree waits until n spans have come, and returns them as lines, each behind its
// parent and deeper by two spaces. Spans whose parent nobody sent are at the top.
func (c *spans) tree(t *testing.T, n int) string {
	t.Helper()
	var all []span
	eventually(t, fmt.Sprintf("%d spans have come", n), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		all = slices.Clone(c.all)
		return len(all) >= n
	})
	known := map[string]bool{}
	for _, s := range all {
		known[s.id] = true
		if s.trace != all[0].trace {
			t.Errorf("more than one trace: %+v", all)
		}
	}
	var text strings.Builder
	var below func(parent, indent string)
	below = func(parent, indent string) {
		var lines []string
		for _, s := range all {
			if s.parent == parent || indent == "" && !known[s.parent] {
				line := indent + strings.Join([]string{s.service, s.attrs["outrider.direction"], strings.ToLower(s.kind)}, " ")
				if status := s.attrs["http.response.status_code"]; status != "200" {
					line += " " + status
				}
				lines = append(lines, line+"\x00"+s.id)
			}
		}
		slices.Sort(lines)
		for _, line := range lines {
			line, id, _ := strings.Cut(line, "\x00")
			text.WriteString(line + "\n")
			below(id, indent+"  ")
		}
	}
	below("", "")
	return text.String()
}
