package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/discovery"
)

// relay is an app that answers a request by calling another service through its
// sidecar, with what it copies of the request's header.
type relay struct {
	*httptest.Server
	outbound atomic.Pointer[string] // the sidecar's port
}

func relaying(t *testing.T, service string, copies func(from, to http.Header)) *relay {
	t.Helper()
	r := &relay{}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r.Server = serve(t, func(w http.ResponseWriter, req *http.Request) {
		at := r.outbound.Load()
		if at == nil || req.URL.Path == "/health" {
			return
		}
		call, err := http.NewRequestWithContext(req.Context(), http.MethodGet, "http://"+*at+"/cake", nil)
		if err != nil {
			t.Error(err)
			return
		}
		call.Host = service
		copies(req.Header, call.Header)
		resp, err := client.Do(call)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
	})
	return r
}

// copying copies the fields of these names.
func copying(names ...string) func(from, to http.Header) {
	return func(from, to http.Header) {
		for _, name := range names {
			if v := from.Values(name); v != nil {
				to[http.CanonicalHeaderKey(name)] = v
			}
		}
	}
}

// seen is an app that keeps the header of each request, and answers 503 to the first.
type seen struct {
	*httptest.Server
	headers chan http.Header
}

func seeing(t *testing.T) *seen {
	t.Helper()
	s := &seen{headers: make(chan http.Header, 16)}
	var failed atomic.Bool
	s.Server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			return
		}
		s.headers <- r.Header.Clone()
		if !failed.Swap(true) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return s
}

// whole is a trace through client → ingress → sidecar → app → sidecar → sidecar → app,
// whose last app fails once.
const whole = `outrider-ingress ingress server
  outrider-ingress ingress client
    tea inbound server
      tea inbound client
        tea outbound server
          tea outbound client
            cake inbound server
              cake inbound client
          tea outbound client 503
            cake inbound server 503
              cake inbound client 503
`

// An app that understands nothing of tracing, and merely copies what it received onto
// its own calls, or a part of it, yields one trace in which every parent is right.
func TestOneTraceThroughTheMesh(t *testing.T) {
	const lines = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"
	for _, tt := range []struct {
		name   string
		copies func(from, to http.Header)
	}{
		{"everything", func(from, to http.Header) {
			for name, values := range from {
				to[name] = values
			}
		}},
		{"traceparent and tracestate", copying("traceparent", "tracestate")},
		{"traceparent, no tracestate", copying("traceparent", "x-request-id")},
		{"X-Request-ID alone", copying("x-request-id")},
		{"b3 alone", copying("b3", "x-request-id")},
		{"a garbled traceparent", func(from, to http.Header) {
			copying("x-request-id", "tracestate")(from, to)
			to.Set("traceparent", strings.ToUpper(from.Get("traceparent")))
		}},
		{"two of traceparent", func(from, to http.Header) {
			copying("x-request-id")(from, to)
			to["Traceparent"] = []string{from.Get("traceparent"), from.Get("traceparent")}
		}},
		{"a garbled tracestate", func(from, to http.Header) {
			copying("x-request-id", "traceparent")(from, to)
			to.Set("tracestate", "FOO=bar")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m discovery.Memory
			c, app, last := collecting(t), relaying(t, "cake", tt.copies), seeing(t)
			besideService(t, "cake", last.URL, "consul: {}\n"+c.tracing(""), in(&m))
			eventually(t, "cake is registered", func() bool {
				all := instances(t, &m, "cake")
				return len(all) == 1 && !all[0].Unhealthy
			})
			tea := beside(t, app.URL, "consul: {register: false}\nservices: {cake: {retries: {attempts: 1, base: 1ms}}}\n"+c.tracing(""), in(&m))
			app.outbound.Store(&tea.where.Outbound)
			g := start(t, "services: {tea: {url: 'http://"+tea.where.Inbound+"'}}\nrouting: [{path: '/**', service: tea}]\n"+c.tracing(""))

			if status, text := g.get("/tea", "traceparent", lines, "tracestate", "foo=1", "tracestate", "bar=2"); status != http.StatusOK {
				t.Fatalf("status %d: %s\n%s", status, text, tea.access)
			}
			if got := c.tree(t, 11); got != whole {
				t.Errorf("got\n%s\nwant\n%s", got, whole)
			}
			first, second := <-last.headers, <-last.headers
			for _, h := range []http.Header{first, second} {
				if p := h.Get("traceparent"); !strings.HasPrefix(p, lines[:36]) || !strings.HasSuffix(p, "-03") || p == lines {
					t.Errorf("the last app was told %q", p)
				}
				if tt.name != "traceparent and tracestate" && h.Get("tracestate") != "foo=1,bar=2" {
					t.Errorf("the last app was told the tracestate %q", h.Values("tracestate"))
				}
			}
			if first.Get("traceparent") == second.Get("traceparent") {
				t.Error("two attempts have one span")
			}
			if id := `"trace_id":"` + lines[3:35] + `"`; g.access.count(id) != 1 || tea.access.count(id) != 2 {
				t.Errorf("the access logs do not tell the trace:\n%s%s", g.access, tea.access)
			}
		})
	}
}

// An app that makes a span of its own in one format, and copies the other, is
// understood: the span that it did not get from us is the parent.
func TestAnAppThatSpeaksOneFormatAndCopiesTheOther(t *testing.T) {
	c, last := collecting(t), seeing(t)
	const own = "1234567890abcdef"
	for _, order := range []string{"[tracecontext, b3]", "[b3, tracecontext]"} {
		app := relaying(t, "cake", func(from, to http.Header) {
			copying("x-request-id", "b3", "traceparent")(from, to)
			if order == "[tracecontext, b3]" { // the one that counts first is the copy
				to.Set("b3", from.Get("traceparent")[3:36]+own+"-1")
				return
			}
			to.Set("traceparent", from.Get("traceparent")[:36]+own+"-01")
		})
		tea := beside(t, app.URL, "services: {cake: {url: '"+last.URL+"'}}\n"+c.tracing(", propagators: "+order))
		app.outbound.Store(&tea.where.Outbound)
		if got := tea.ask(tea.where.Inbound, http.MethodGet, "/"); got.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", got.StatusCode, got.text)
		}
		eventually(t, "the call's span has come", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			for i, s := range c.all {
				if s.attrs["outrider.direction"] == "outbound" && s.kind == "SERVER" {
					if s.parent != own {
						t.Errorf("%s: the parent is %s", order, s.parent)
					}
					c.all = append(c.all[:i], c.all[i+1:]...)
					return true
				}
			}
			return false
		})
	}
}

// Without tracing nothing is read and nothing written.
func TestTracingOffPassesThrough(t *testing.T) {
	last := seeing(t)
	g := start(t, "services: {a: {url: '"+last.URL+"'}}\nrouting: [{path: '/**', service: a}]\n")
	sent := http.Header{
		"Traceparent": {"garbled", "twice"}, "Tracestate": {"=,", "b=2"}, "B3": {"1"}, "X-B3-Traceid": {"x"},
		"Baggage": {strings.Repeat("a=1,", 100)},
	}
	var fields []string
	for name, values := range sent {
		for _, v := range values {
			fields = append(fields, name, v)
		}
	}
	g.get("/", fields...)
	got := <-last.headers
	for name, values := range sent {
		if strings.Join(got[name], "|") != strings.Join(values, "|") {
			t.Errorf("%s: sent %q, the endpoint got %q", name, values, got[name])
		}
	}
	if g.access.count("trace_id") > 0 {
		t.Errorf("the access log tells of a trace:\n%s", g.access)
	}
}

// A route's own share acts, and where a trace comes in, its sender's decision.
func TestSampling(t *testing.T) {
	c, a := collecting(t), origin(t, "a")
	yaml := "services: {a: {url: '" + a.URL + "'}}\nrouting:\n- {path: /kept, service: a, tracing: {sample: 1}}\n- {path: '/**', service: a}\n" +
		strings.Replace(c.tracing(""), "sample: 1", "sample: 0", 1)
	g := start(t, yaml)
	const ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
	g.want("/other", http.StatusOK)
	g.get("/kept", "traceparent", "00-"+ids+"-00")
	g.get("/kept", "b3", "0")
	g.want("/kept", http.StatusOK)
	g.get("/other", "traceparent", "00-"+ids+"-01")
	g.get("/other", "b3", ids+"-d")
	if err := g.reload(strings.Replace(yaml, "sample: 0", "sample: 1", 1)); err != nil {
		t.Fatal(err)
	}
	g.get("/reloaded")
	if err := g.stop(); err != nil { // what is left is sent
		t.Fatal(err)
	}
	var got []string
	for _, s := range c.all {
		if s.kind == "SERVER" {
			got = append(got, s.attrs["url.path"])
		}
	}
	if want := "/kept /other /other /reloaded"; strings.Join(got, " ") != want || len(c.all) != 8 {
		t.Errorf("of %d spans those of requests are %q, want %s", len(c.all), got, want)
	}
	if err := g.reload(strings.Replace(yaml, "protocol: http", "protocol: grpc", 1)); err == nil {
		t.Error("a protocol that cannot change was taken over")
	}
}

// Whatever a request meets shows in its span: refusals, faults, what auth asks.
func TestSpansOfWhatGoesWrong(t *testing.T) {
	c := collecting(t)
	auth := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	g := start(t, "services: {a: {url: 'http://127.0.0.1:1', retries: 0}}\nauth: {validate_url: '"+auth.URL+"'}\n"+
		"routing:\n- {path: /dead, service: a}\n- {path: /guarded, service: a, middleware: [auth]}\n"+c.tracing(""))
	g.want("/dead", http.StatusBadGateway)
	g.want("/nowhere", http.StatusNotFound)
	g.get("/guarded", "Authorization", "Bearer x")
	req, err := http.NewRequestWithContext(context.Background(), http.MethodTrace, g.url+"/refused", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, s := range c.all {
		got.WriteString(strings.Join([]string{strings.ToLower(s.kind), s.name, s.attrs["http.response.status_code"], s.attrs["outrider.fault"], s.attrs["error.type"]}, ","))
		if s.failed {
			got.WriteString(",failed")
		}
		got.WriteString("\n")
	}
	const want = `client,GET,,refused,refused,failed
server,GET /dead,502,refused,refused,failed
server,GET,404,no_route,
client,GET,401,,401,failed
server,GET /guarded,401,unauthenticated,
server,TRACE,405,method_not_allowed,
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
