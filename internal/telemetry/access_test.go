package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// written returns what the access log holds after use, which gets the layer that writes
// to it.
func written(t testing.TB, lines telemetry.Lines, use func(mesh.Layer)) string {
	t.Helper()
	var out bytes.Buffer
	tel := telemetry.New(telemetry.Options{})
	log := tel.AccessLog(&out, slog.New(slog.DiscardHandler))
	log.Start()
	use(tel.Requests(telemetry.RequestConfig{Direction: "ingress", Log: log, Lines: lines}))
	if err := log.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return out.String()
}

// logged runs the exchange and returns what the access log says of it.
func logged(t testing.TB, query bool, e exchange, before func(*http.Request, *mesh.Call)) string {
	t.Helper()
	return written(t, telemetry.Lines{Query: query, Sample: 1}, func(l mesh.Layer) { e.run(t, l, before) })
}

// fields decodes the one line.
func fields(t testing.TB, line string) map[string]any {
	t.Helper()
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Fatalf("not one line: %q", line)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return m
}

func TestAccessLogReadsAsWritten(t *testing.T) {
	route := &mesh.Route{Name: "/api/orders/**", Service: "orders"}
	server := func(req *http.Request, call *mesh.Call) {
		req.Header.Set("User-Agent", "curl/8.5.0")
		call.Start = time.Now().Add(-12345678 * time.Nanosecond)
		call.Peer = netip.MustParseAddrPort("10.0.0.9:51234")
		call.Client = netip.MustParseAddr("203.0.113.7")
		call.ID, call.Source = "0198c9f2", "spiffe://mesh/ns/default/svc/web"
	}
	synctest.Test(t, func(t *testing.T) {
		var all strings.Builder
		all.WriteString(logged(t, false, exchange{
			method: "GET", url: "http://api.example/api/orders/a%2Fb?token=hidden", route: route, service: "orders",
			attempts: []mesh.Attempt{{Endpoint: "10.0.0.1:3003", Duration: 11 * time.Millisecond, Status: 200}},
			result:   mesh.Result{Status: 200, Received: 0, Sent: 1024},
		}, server))
		all.WriteString(logged(t, false, exchange{
			method: "POST", url: "http://api.example/api/orders", route: route, service: "orders",
			attempts: []mesh.Attempt{
				{Endpoint: "10.0.0.1:3003", Duration: 250 * time.Microsecond, Err: &mesh.Fault{Kind: mesh.Refused, Err: errors.New("connection refused")}},
				{Endpoint: "10.0.0.2:3003", Duration: 5 * time.Millisecond, Err: &mesh.Fault{Kind: mesh.Reset, Err: errors.New("connection reset by peer")}},
			},
			result: mesh.Result{Status: 502, Received: 17, Sent: 190, Err: &mesh.Fault{Kind: mesh.Reset, Err: errors.New("connection reset by peer")}},
		}, server))
		all.WriteString(logged(t, false, exchange{
			method: "GET", url: "http://api.example/nowhere",
			result: mesh.Result{Status: 404, Sent: 120, Err: &mesh.Fault{Kind: mesh.NoRoute}},
		}, func(_ *http.Request, call *mesh.Call) { call.Start = time.Now() }))
		golden(t, "access.log", all.String())
	})
}

func TestAccessLogShowsTheRequestAsItCameIn(t *testing.T) {
	edit := func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			req.Method, req.Host, req.URL.Path, req.URL.RawPath = "PUT", "inner", "/rewritten", ""
			req.Header.Set("User-Agent", "outrider")
			return next.RoundTrip(req)
		})
	}
	line := written(t, telemetry.Lines{Sample: 1}, func(requests mesh.Layer) {
		exchange{method: "GET", url: "http://outer/before", result: mesh.Result{Status: 200}}.
			run(t, func(next http.RoundTripper) http.RoundTripper { return requests(edit(next)) }, func(req *http.Request, _ *mesh.Call) {
				req.Header.Set("User-Agent", "browser")
			})
	})
	got := fields(t, line)
	for key, want := range map[string]string{"method": "GET", "host": "outer", "path": "/before", "user_agent": "browser"} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
}

func TestAccessLogKeepsSecretsOut(t *testing.T) {
	const secret = "s3cr3t-value"
	e := exchange{
		method: "GET", url: "http://api.example/x?api_key=" + secret,
		attempts: []mesh.Attempt{{Err: &url.Error{Op: "Get", URL: "http://u:" + secret + "@auth/?t=" + secret, Err: errors.New("refused")}}},
		result: mesh.Result{Status: 500, Err: &mesh.Fault{Kind: mesh.AuthFailed, Err: fmt.Errorf("auth: %w",
			&url.Error{Op: "Get", URL: "http://auth/?t=" + secret, Err: errors.New("refused")})}},
	}
	line := logged(t, false, e, func(req *http.Request, call *mesh.Call) {
		for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "Referer"} {
			req.Header.Set(name, secret)
		}
		call.Subject = secret
	})
	if strings.Contains(line, secret) {
		t.Errorf("the secret is shown: %s", line)
	}
	if got := fields(t, line)["error"]; got != "refused" {
		t.Errorf("error = %q, want refused", got)
	}
}

func TestAccessLogShowsTheQueryWhenAsked(t *testing.T) {
	e := exchange{method: "GET", url: "http://api.example/x?q=1&r=%20", result: mesh.Result{Status: 200}}
	for query, want := range map[bool]string{false: "/x", true: "/x?q=1&r=%20"} {
		if got := fields(t, logged(t, query, e, nil))["path"]; got != want {
			t.Errorf("Query %t: path = %q, want %q", query, got, want)
		}
	}
}

func TestAccessLogLevel(t *testing.T) {
	tests := []struct {
		name   string
		result mesh.Result
		want   string
	}{
		{"success", mesh.Result{Status: 200}, "INFO"},
		{"a service's own 500", mesh.Result{Status: 500}, "INFO"},
		{"a fault of the client's", mesh.Result{Status: 429, Err: &mesh.Fault{Kind: mesh.Limited}}, "INFO"},
		{"client gone", mesh.Result{Err: &mesh.Fault{Kind: mesh.ClientGone}}, "INFO"},
		{"a fault of ours", mesh.Result{Status: 503, Err: &mesh.Fault{Kind: mesh.NoEndpoints}}, "WARN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := logged(t, false, exchange{method: "GET", url: "/", result: tt.result}, nil)
			if got := fields(t, line)["level"]; got != tt.want {
				t.Errorf("level = %v, want %s", got, tt.want)
			}
		})
	}
}

func TestAccessLogBoundsEveryValue(t *testing.T) {
	long := strings.Repeat("é", 50_000)
	many := make([]mesh.Attempt, 100)
	for i := range many {
		many[i] = mesh.Attempt{Endpoint: fmt.Sprintf("%d%s", i, long), Err: errors.New(long)}
	}
	line := logged(t, true, exchange{
		method: long, url: "http://api.example/", route: &mesh.Route{Name: long}, service: mesh.Service(long),
		attempts: many, result: mesh.Result{Status: 502, Err: &mesh.Fault{Kind: mesh.Reset, Err: errors.New(long)}},
	}, func(req *http.Request, call *mesh.Call) {
		req.Host, req.URL.Path, req.URL.RawQuery, req.Proto = long, "/"+long, long, long
		req.Header.Set("User-Agent", long)
		call.ID, call.Source = long, mesh.Identity(long)
	})
	if len(line) > 16<<10 {
		t.Errorf("the line has %d bytes", len(line))
	}
	got := fields(t, line)
	for _, key := range []string{"request_id", "source", "method", "host", "path", "proto", "route", "service", "error", "endpoint", "user_agent"} {
		if s, _ := got[key].(string); !strings.HasSuffix(s, "…") || strings.ContainsRune(s, '\uFFFD') {
			t.Errorf("%s = %q, want it cut between characters and marked", key, s)
		}
	}
	tries, _ := got["attempts"].([]any)
	if len(tries) != 8 || got["attempt_count"] != 100.0 {
		t.Fatalf("%d attempts listed of %v, want 8 of 100", len(tries), got["attempt_count"])
	}
	final, _ := tries[7].(map[string]any)
	if s, _ := final["endpoint"].(string); !strings.HasPrefix(s, "99") {
		t.Errorf("the last attempt listed is %q, want the last made", s)
	}
}

// What the line costs us.
func TestAccessLogAllocationBudget(t *testing.T) {
	for _, text := range formats {
		tel := telemetry.New(telemetry.Options{})
		log := tel.AccessLog(io.Discard, slog.New(slog.DiscardHandler))
		log.Start()
		layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress", Log: log, Lines: telemetry.Lines{Format: format(t, text), Sample: 1}})
		most := 0.0
		if racing { // the pool forgets a quarter of the lines, each with a text that grows
			most = 5
		}
		if got := allocations(layer, 200, nil); got > most {
			t.Errorf("%s: %v allocations, want at most %v", text, got, most)
		}
		if err := log.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Whatever a client sends, the log gets one line, and it is JSON.
func FuzzAccessLog(f *testing.F) {
	f.Add("GET", "api.example", "/x", "a=b", "curl", "id")
	f.Add("G\nT", "h\x00", "/\r\n{\"level\":\"ERROR\"}", "\u2028", "\x1b[31m", "\xff\xfe")
	f.Fuzz(func(t *testing.T, method, host, path, query, agent, id string) {
		line := logged(t, true, exchange{method: method, url: "/", result: mesh.Result{Status: 200}},
			func(req *http.Request, call *mesh.Call) {
				req.Host, req.URL.Path, req.URL.RawQuery = host, path, query
				req.Header["User-Agent"] = []string{agent}
				call.ID = id
			})
		m := fields(t, line)
		harmless(t, line)
		if want := strings.ToValidUTF8(agent, "\uFFFD"); len(agent) < 200 && m["user_agent"] != want && !strings.Contains(want, "\uFFFD") {
			t.Errorf("the agent %q is told as %q", agent, m["user_agent"])
		}
	})
}
