package app

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/internal/tracecontext/tracecontexttest"
)

// raw sends a request as it is written, on a connection of its own, and returns the
// status.
func raw(t *testing.T, addr string, fields ...string) int {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", strings.Join(append(fields, ""), "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Every MUST of W3C Trace Context level 2, at a whole proxy: what a client sends, and
// what the endpoint gets.
func TestTraceContextLevel2(t *testing.T) {
	c, app := collecting(t), make(chan http.Header, 1)
	endpoint := serve(t, func(_ http.ResponseWriter, r *http.Request) { app <- r.Header.Clone() })
	g := start(t, "services: {a: {url: '"+endpoint.URL+"'}}\nrouting: [{path: '/**', service: a}]\n"+
		strings.Replace(c.tracing(""), "sample: 1", "sample: 0", 1))
	addr := strings.TrimPrefix(g.url, "http://")

	// goesOn sends fields, and checks that the trace of want, a traceparent, goes on;
	// where that is empty, that a new one begins.
	goesOn := func(t *testing.T, want string, fields ...string) http.Header {
		t.Helper()
		if status := raw(t, addr, fields...); status == http.StatusBadRequest {
			t.Logf("not valid HTTP: refused")
			return nil
		}
		got := <-app
		if n := len(got["Traceparent"]); n != 1 {
			t.Fatalf("the endpoint got %d of traceparent: %q", n, got["Traceparent"])
		}
		p := got["Traceparent"][0]
		fresh := strings.Split(p, "-")
		if len(p) != 55 || len(fresh) != 4 || fresh[0] != "00" {
			t.Fatalf("the endpoint got %q", p)
		}
		switch {
		case want == "" && (fresh[1] == tracecontexttest.Trace || fresh[3] != "02"):
			t.Errorf("no new trace, or one that does not say that its ID is random: %q", p)
		case want != "" && (p[:36] != want[:36] || p[52:] != want[52:] || fresh[2] == want[36:52]):
			t.Errorf("the endpoint got %q for %q", p, want)
		}
		return got
	}
	for _, tt := range tracecontexttest.Traceparents() {
		t.Run("traceparent/"+tt.Section, func(t *testing.T) {
			got := goesOn(t, tt.Want, "traceparent: "+tt.In, "tracestate: foo=1")
			if state := strings.Join(got["Tracestate"], "|"); got != nil && (state == "foo=1") != (tt.Want != "") {
				t.Errorf("3.3: the endpoint got the tracestate %q", state)
			}
		})
	}
	const good = "00-" + tracecontexttest.Trace + "-" + tracecontexttest.Span + "-00"
	for _, tt := range tracecontexttest.Tracestates() {
		t.Run("tracestate/"+tt.Section, func(t *testing.T) {
			fields := []string{"traceparent: " + good}
			for _, line := range tt.In {
				fields = append(fields, "tracestate: "+line)
			}
			got := goesOn(t, good, fields...)
			if state := got["Tracestate"]; got != nil && (strings.Join(state, "|") != tt.Want || len(state) > 1) {
				t.Errorf("the endpoint got %q, want %q", state, tt.Want)
			}
		})
	}
	t.Run("header/3.2 several of traceparent", func(t *testing.T) {
		if got := goesOn(t, "", "traceparent: "+good, "traceparent: "+good, "tracestate: foo=1"); got["Tracestate"] != nil {
			t.Errorf("3.3: the endpoint got a tracestate: %q", got["Tracestate"])
		}
	})
	t.Run("header/3.2.1 names in any case", func(t *testing.T) {
		if got := goesOn(t, good, "TraCeParEnT: "+good, "TRACESTATE: foo=1"); got.Get("Tracestate") != "foo=1" {
			t.Errorf("3.3.1: the endpoint got the tracestate %q", got["Tracestate"])
		}
	})
	t.Run("header/3.2.1 other names", func(t *testing.T) {
		goesOn(t, "", "trace-parent: "+good)
		goesOn(t, "", "trace_parent: "+good)
	})
	t.Run("header/3.4 none", func(t *testing.T) {
		first, second := goesOn(t, ""), goesOn(t, "", "tracestate: foo=1")
		if first.Get("Traceparent") == second.Get("Traceparent") || second["Tracestate"] != nil {
			t.Errorf("the endpoint got %q, then %q with %q", first["Traceparent"], second["Traceparent"], second["Tracestate"])
		}
	})
	if len(c.all) > 0 {
		t.Errorf("%d spans of traces that nobody records", len(c.all))
	}
}
