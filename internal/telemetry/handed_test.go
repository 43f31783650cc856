package telemetry_test

import (
	"fmt"
	"net/http"
	"testing"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// halves are the two of one sidecar.
type halves struct {
	t       *testing.T
	in, out mesh.Layer
}

func newHalves(t *testing.T) *halves {
	h := telemetry.NewHanded()
	p := carriers(t, "tracecontext", "b3")
	return &halves{
		t,
		telemetry.Traces(telemetry.TraceConfig{Direction: "inbound", Propagators: p, Handed: h}),
		telemetry.Traces(telemetry.TraceConfig{Direction: "outbound", Propagators: p, Handed: h}),
	}
}

// takes gives the app a request, and returns what it was told and the request's call.
func (h *halves) takes(id string, fields ...string) (http.Header, *mesh.Call) {
	h.t.Helper()
	req, call := request(h.t, http.MethodGet, "http://tea/", fields...)
	call.ID = id
	origin, sent := attempted(mesh.Attempt{Status: 200})
	_, _ = mesh.Stack(origin, h.in).RoundTrip(req) //nolint:bodyclose // there is no response
	return (*sent)[0], call
}

// calls has the app make a call, and returns what the endpoint is told.
func (h *halves) calls(id string, fields ...string) (told string, state []string) {
	h.t.Helper()
	req, call := request(h.t, http.MethodGet, "http://cake/", fields...)
	call.ID = id
	origin, sent := attempted(mesh.Attempt{Status: 200})
	_, _ = mesh.Stack(origin, h.out).RoundTrip(req) //nolint:bodyclose // there is no response
	call.End(mesh.Result{Status: 200})
	return named((*sent)[0], "traceparent")[0], named((*sent)[0], "tracestate")
}

func TestAnAppThatCopiesOnlyTheRequestID(t *testing.T) {
	h := newHalves(t)
	_, call := h.takes("one", "traceparent", parent[:53]+"03", "tracestate", "foo=1")
	if told, state := h.calls("one"); told[3:35] != traceID || told[53:] != "03" || len(state) != 1 || state[0] != "foo=1" {
		t.Errorf("the endpoint was told %s %q", told, state)
	}
	for name, id := range map[string]string{"another ID": "two", "no ID": ""} {
		if told, state := h.calls(id); told[3:35] == traceID || len(state) > 0 {
			t.Errorf("%s: the endpoint was told %s %q", name, told, state)
		}
	}
	if told, _ := h.calls("one", "traceparent", "00-1"+parent[4:]); told[3:35] != "1"+traceID[1:] {
		t.Errorf("a trace of the app's own became %s", told)
	}
	if told, _ := h.calls("one", "b3", traceID+"-1111111111111111"); told[3:35] != traceID || told[53:] != "03" {
		t.Errorf("a span of the app's own that leaves the decision open became %s", told)
	}
	call.End(mesh.Result{Status: 200})
	if told, _ := h.calls("one"); told[3:35] == traceID {
		t.Error("the request is over, and still known")
	}
}

// A caller that fans out sends several requests with one X-Request-ID.
func TestSeveralRequestsOfOneID(t *testing.T) {
	h := newHalves(t)
	first, one := h.takes("x", "traceparent", parent, "tracestate", "foo=1")
	_, two := h.takes("x", "traceparent", parent, "tracestate", "foo=2")
	_, three := h.takes("x", "traceparent", parent, "tracestate", "foo=3")
	if _, state := h.calls("x", "traceparent", named(first, "traceparent")[0]); len(state) != 1 || state[0] != "foo=1" {
		t.Errorf("of several the one that is named counts: %q", state)
	}
	want := func(when, state string) {
		t.Helper()
		told, got := h.calls("x")
		if state == "" && told[3:35] != traceID {
			return
		}
		if told[3:35] != traceID || len(got) != 1 || got[0] != state {
			t.Errorf("%s: %s %q, want %s", when, told, got, state)
		}
	}
	want("all of one trace: the newest", "foo=3")
	two.End(mesh.Result{})
	want("the one in between has ended", "foo=3")
	three.End(mesh.Result{})
	want("the newest has ended", "foo=1")
	_, other := h.takes("x", "traceparent", "00-1"+parent[4:])
	want("of two traces nobody can tell", "")
	other.End(mesh.Result{})
	want("the other has ended", "foo=1")
	one.End(mesh.Result{})
	want("all have ended", "")
}

// However many requests the app has, no more than a bound are remembered, and all are
// forgotten.
func TestHandedIsBounded(t *testing.T) {
	h := newHalves(t)
	const many = 40000
	calls := make([]*mesh.Call, many)
	for i := range calls {
		_, calls[i] = h.takes(fmt.Sprint(i), "traceparent", parent)
	}
	known := func() (n int) {
		for i := 0; i < many; i += 20 {
			if told, _ := h.calls(fmt.Sprint(i)); told[3:35] == traceID {
				n += 20
			}
		}
		return n
	}
	if n := known(); n > 34000 || n < 30000 { // 32768, of which this is a sample
		t.Errorf("%d of %d requests are remembered", n, many)
	}
	for _, call := range calls {
		call.End(mesh.Result{})
	}
	if n := known(); n != 0 {
		t.Errorf("%d requests are remembered that are over", n)
	}
	h.takes("again", "traceparent", parent)
	if told, _ := h.calls("again"); told[3:35] != traceID {
		t.Error("there is no room any more")
	}
}
