package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"outrider/integration/meshtest"
)

// TestTraces is a request through the whole mesh as a real Jaeger shows it: one trace,
// every parent right, though the app in the middle merely copies header fields.
func TestTraces(t *testing.T) {
	t.Parallel()
	jaeger := meshtest.StartJaeger(t)
	for protocol, endpoint := range map[string]string{"grpc": jaeger.GRPC, "http": "http://" + jaeger.HTTP} {
		t.Run(protocol, func(t *testing.T) {
			tracing := fmt.Sprintf("tracing: {endpoint: %q, protocol: %s, sample: 1}\n", endpoint, protocol)
			m := &traced{jaeger: jaeger, fleet: startFleet(t, meshtest.StartConsul(t, false), fleetOptions{
				instances: 2, extra: func(string) string { return tracing },
			})}
			m.testOneTrace(t)
			m.testRetries(t)
		})
	}
}

// traced is a fleet whose proxies send traces.
type traced struct {
	*fleet
	jaeger *meshtest.Jaeger
}

// ask sends a request through the whole mesh, and returns the ID of its trace.
func (m *traced) ask(t *testing.T) (trace string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url+"/api/users/42/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	id := resp.Header.Get("X-Request-Id")
	meshtest.Eventually(t, "the ingress has logged the request", func() bool {
		for line := range strings.Lines(m.ingress.out.String()) {
			var l struct {
				RequestID string `json:"request_id"`
				TraceID   string `json:"trace_id"`
			}
			if json.Unmarshal([]byte(line), &l) == nil && l.RequestID == id {
				trace = l.TraceID
			}
		}
		return trace != ""
	})
	return trace
}

// lines draws a trace: a line a span, those that it led to below and indented.
func lines(spans []meshtest.Span) []string {
	var all []string
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		var of []string
		below := map[string]meshtest.Span{}
		for _, s := range spans {
			if s.Parent == parent {
				text := fmt.Sprintf("%s%s %s %v", indent, s.Service, s.Kind, s.Tags["http.response.status_code"])
				of = append(of, text+" "+s.ID)
				below[text+" "+s.ID] = s
			}
		}
		slices.Sort(of)
		for _, key := range of {
			all = append(all, strings.TrimSuffix(key, " "+below[key].ID))
			draw(below[key].ID, indent+"  ")
		}
	}
	draw("", "")
	return all
}

// testOneTrace holds the whole picture.
func (m *traced) testOneTrace(t *testing.T) {
	trace := m.ask(t)
	want := []string{
		"outrider-ingress server 200",
		"  outrider-ingress client 200",
		"    users server 200",
		"      users client 200",
		"        users server 200",
		"          users client 200",
		"            orders server 200",
		"              orders client 200",
	}
	var got []string
	meshtest.Eventually(t, "Jaeger has the whole trace", func() bool {
		got = lines(m.jaeger.Trace(trace))
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("trace %s:\n%s\nwant\n%s", trace, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// testRetries holds that the attempts of one call are siblings. An app dies, and
// until all have heard, calls of its instance fail and go to the other one.
func (m *traced) testRetries(t *testing.T) {
	m.orders[0].app.signal(syscall.SIGKILL)
	var asked []string
	for range 40 {
		asked = append(asked, m.ask(t))
	}
	meshtest.Eventually(t, "Jaeger shows both attempts of a repeated call below that call", func() bool {
		return slices.ContainsFunc(asked, func(trace string) bool {
			got := lines(m.jaeger.Trace(trace))
			return slices.Contains(got, "          users client 502") && slices.Contains(got, "          users client 200")
		})
	})
}
