package meshtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
)

// JaegerVersion is the version that the tests run against.
const JaegerVersion = "1.76.0"

// Jaeger is a real collector that shows what it got, in memory, on free ports of a
// loopback address, stopped when its test ends.
type Jaeger struct {
	GRPC string // host:port for OTLP by gRPC
	HTTP string // host:port for OTLP by HTTP

	t     testing.TB
	query string // host:port of its API
}

// StartJaeger starts one and waits until it answers.
func StartJaeger(t testing.TB) *Jaeger {
	t.Helper()
	host := OwnHost()
	flags := []string{
		"collector.otlp.grpc.host-port", "collector.otlp.http.host-port", "query.http-server.host-port", "query.grpc-server.host-port",
		"admin.http.host-port", "collector.grpc-server.host-port", "collector.http-server.host-port",
	}
	args := []string{"--collector.otlp.enabled=true", "--log-level=error"}
	var at []string
	for i, port := range FreePorts(t, host, len(flags)) {
		at = append(at, fmt.Sprintf("%s:%d", host, port))
		args = append(args, "--"+flags[i]+"="+at[i])
	}
	j := &Jaeger{t: t, GRPC: at[0], HTTP: at[1], query: at[2]}
	cmd := exec.Command(tool(t, "jaeger-"+JaegerVersion, "jaeger", "make jaeger"), args...) //nolint:noctx // the clean-up ends it
	cmd.Env = []string{"SPAN_STORAGE_TYPE=memory"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	Eventually(t, "Jaeger answers", func() bool { return j.get("/api/services", new(any)) == nil })
	return j
}

// Span is a span as Jaeger shows it.
type Span struct {
	ID      string
	Parent  string // empty: none, or none that it got
	Kind    string // server, client
	Service string
	Name    string
	Tags    map[string]any
}

// Trace returns the spans of a trace, none where Jaeger has none of it.
func (j *Jaeger) Trace(id string) []Span {
	var answer struct {
		Data []struct {
			Spans []struct {
				SpanID, OperationName, ProcessID string
				References                       []struct{ RefType, SpanID string }
				Tags                             []struct {
					Key   string
					Value any
				}
			}
			Processes map[string]struct{ ServiceName string }
		}
	}
	if j.get("/api/traces/"+id, &answer) != nil {
		return nil
	}
	var all []Span
	for _, trace := range answer.Data {
		for _, s := range trace.Spans {
			span := Span{ID: s.SpanID, Name: s.OperationName, Service: trace.Processes[s.ProcessID].ServiceName, Tags: map[string]any{}}
			for _, ref := range s.References {
				if ref.RefType == "CHILD_OF" {
					span.Parent = ref.SpanID
				}
			}
			for _, tag := range s.Tags {
				span.Tags[tag.Key] = tag.Value
			}
			span.Kind, _ = span.Tags["span.kind"].(string)
			all = append(all, span)
		}
	}
	return all
}

func (j *Jaeger) get(path string, into any) error {
	req, err := http.NewRequestWithContext(j.t.Context(), http.MethodGet, "http://"+j.query+path, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
