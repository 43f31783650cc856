package tracecontext_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"outrider/internal/tracecontext"
)

// words says in short what a Context says.
func words(c tracecontext.Context) string {
	all := []string{"none"}
	if c.Valid() {
		all = []string{c.Trace.String() + "-" + c.Span.String()}
	}
	for _, is := range []struct {
		it   bool
		name string
	}{{c.Decided, "decided"}, {c.Sampled, "sampled"}, {c.Debug, "debug"}, {c.Random, "random"}} {
		if is.it {
			all = append(all, is.name)
		}
	}
	return strings.Join(all, " ")
}

func TestExtractB3(t *testing.T) {
	const ids, half = trace + "-" + span, "8448eb211c80319c"
	short := strings.Repeat("0", 16) + half + "-" + span
	for _, tt := range []struct {
		name string
		in   map[string]string
		want string
	}{
		{"single", map[string]string{"b3": ids + "-1"}, ids + " decided sampled"},
		{"single, not sampled", map[string]string{"b3": ids + "-0"}, ids + " decided"},
		{"single, debug", map[string]string{"b3": ids + "-d"}, ids + " decided sampled debug"},
		{"single, the decision is left to us", map[string]string{"b3": ids}, ids},
		{"single, with a parent", map[string]string{"b3": ids + "-1-05e3ac9a4f6e3b90"}, ids + " decided sampled"},
		{"single, 64 bits", map[string]string{"b3": half + "-" + span + "-1"}, short + " decided sampled"},
		{"single, the decision alone: no", map[string]string{"b3": "0"}, "none decided"},
		{"single, the decision alone: yes", map[string]string{"b3": "1"}, "none decided sampled"},
		{"single, the decision alone: debug", map[string]string{"b3": "d"}, "none decided sampled debug"},
		{"single, another word", map[string]string{"b3": "x"}, "none"},
		{"single, empty", map[string]string{"b3": ""}, "none"},
		{"single, a bad decision", map[string]string{"b3": ids + "-2"}, "none"},
		{"single, a bad parent", map[string]string{"b3": ids + "-1-x"}, "none"},
		{"single, something behind", map[string]string{"b3": ids + "-1-05e3ac9a4f6e3b90-x"}, "none"},
		{"single, upper case", map[string]string{"b3": strings.ToUpper(ids) + "-1"}, "none"},
		{"single, a trace of zeroes", map[string]string{"b3": strings.Repeat("0", 32) + "-" + span + "-1"}, "none"},
		{"single, a span of zeroes", map[string]string{"b3": trace + "-" + strings.Repeat("0", 16) + "-1"}, "none"},
		{"single, a trace of 24 characters", map[string]string{"b3": trace[8:] + "-" + span + "-1"}, "none"},
		{"several", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Sampled": "1"}, ids + " decided sampled"},
		{"several, true", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Sampled": "true"}, ids + " decided sampled"},
		{"several, false", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Sampled": "false"}, ids + " decided"},
		{"several, 0", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Sampled": "0", "X-B3-ParentSpanId": span}, ids + " decided"},
		{"several, d", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Sampled": "d"}, ids + " decided sampled debug"},
		{"several, debug", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Flags": "1"}, ids + " decided sampled debug"},
		{"several, debug says more than not sampled", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Sampled": "0", "X-B3-Flags": "1"}, ids + " decided sampled debug"},
		{"several, other flags say nothing", map[string]string{"X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-Flags": "0"}, ids},
		{"several, 64 bits", map[string]string{"X-B3-TraceId": half, "X-B3-SpanId": span}, short},
		{"several, the decision alone", map[string]string{"X-B3-Sampled": "0"}, "none decided"},
		{"several, without a span", map[string]string{"X-B3-TraceId": trace, "X-B3-Sampled": "1"}, "none"},
		{"several, without a trace", map[string]string{"X-B3-SpanId": span, "X-B3-Sampled": "1"}, "none"},
		{"several, a bad trace", map[string]string{"X-B3-TraceId": "x", "X-B3-SpanId": span}, "none"},
		{"the single header comes first", map[string]string{"b3": ids + "-0", "X-B3-TraceId": trace, "X-B3-SpanId": "1111111111111111", "X-B3-Sampled": "1"}, ids + " decided"},
		{"a bad single header leaves it to the others", map[string]string{"b3": "x-y", "X-B3-TraceId": trace, "X-B3-SpanId": span}, ids},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for name, value := range tt.in {
				h.Set(name, value)
			}
			for _, form := range []string{"b3", "b3multi"} {
				if got := words(parse(t, form).Extract(h)); got != tt.want {
					t.Errorf("%s: got %q, want %q", form, got, tt.want)
				}
			}
			for name := range h { // a header that came twice says nothing
				twice := maps.Clone(h)
				twice[name] = append(twice[name], twice[name]...)
				if got := words(parse(t, "b3").Extract(twice)); len(h) == 1 && got != "none" {
					t.Errorf("two lines of %s: got %q", name, got)
				}
			}
		})
	}
}

// Of several formats the first in the order of the configuration counts.
func TestPrecedence(t *testing.T) {
	const (
		w3c   = "00-" + trace + "-" + span + "-03"
		other = "1111111111111111"
	)
	h := http.Header{
		"Traceparent": {w3c}, "Tracestate": {"foo=1"},
		"B3": {strings.Repeat("2", 32) + "-" + other + "-0"},
	}
	for _, tt := range []struct{ name, order, want, state string }{
		{"W3C first", "tracecontext b3", trace + "-" + span + " decided sampled random", "foo=1"},
		{"B3 first: another trace has another's tracestate", "b3 tracecontext", strings.Repeat("2", 32) + "-" + other + " decided", ""},
		{"B3 in several first", "b3multi tracecontext", strings.Repeat("2", 32) + "-" + other + " decided", ""},
		{"B3 alone", "b3", strings.Repeat("2", 32) + "-" + other + " decided", ""},
		{"W3C alone", "tracecontext baggage", trace + "-" + span + " decided sampled random", "foo=1"},
	} {
		c := parse(t, strings.Fields(tt.order)...).Extract(h)
		if words(c) != tt.want || c.State != tt.state {
			t.Errorf("%s: got %q, %q", tt.name, words(c), c.State)
		}
	}
	p := parse(t, "b3", "tracecontext")
	h.Set("B3", trace+"-"+other+"-0")
	if c := p.Extract(h); words(c) != trace+"-"+other+" decided random" || c.State != "foo=1" {
		t.Errorf("B3 of the same trace: got %q, %q", words(c), c.State)
	}
	if c, ok := p.Other(h, p.Extract(h)); !ok || c.Span.String() != span || c.State != "foo=1" {
		t.Errorf("the other span of this trace is %v %q", ok, words(c))
	}
	h.Set("B3", trace+"-"+span+"-0")
	if c, ok := p.Other(h, p.Extract(h)); ok {
		t.Errorf("another span where both agree: %q", words(c))
	}
	h.Set("Traceparent", "x")
	if c := p.Extract(h); words(c) != trace+"-"+span+" decided" || c.State != "" {
		t.Errorf("a bad traceparent: got %q, %q", words(c), c.State)
	}
	h.Set("B3", "0")
	if c := parse(t, "tracecontext", "b3").Extract(h); words(c) != "none decided" {
		t.Errorf("a decision alone: got %q", words(c))
	}
}

// Everything that is listed is written, and what came in of it is replaced.
func TestInject(t *testing.T) {
	parent, _ := tracecontext.ParseTraceparent("00-" + trace + "-" + span + "-01")
	debug := parent
	debug.Debug = true
	unsampled := parent
	unsampled.Sampled = false
	w3c := map[string]string{"traceparent": "00-" + trace + "-" + span + "-01"}
	for _, tt := range []struct {
		order string
		c     tracecontext.Context
		want  map[string]string
	}{
		{"tracecontext", parent, w3c},
		{"tracecontext b3", parent, map[string]string{"traceparent": w3c["traceparent"], "b3": trace + "-" + span + "-1"}},
		{"b3", debug, map[string]string{"b3": trace + "-" + span + "-d"}},
		{"b3", unsampled, map[string]string{"b3": trace + "-" + span + "-0"}},
		{"b3multi", parent, map[string]string{"X-B3-Traceid": trace, "X-B3-Spanid": span, "X-B3-Sampled": "1"}},
		{"b3multi", unsampled, map[string]string{"X-B3-Traceid": trace, "X-B3-Spanid": span, "X-B3-Sampled": "0"}},
		{"b3multi", debug, map[string]string{"X-B3-Traceid": trace, "X-B3-Spanid": span, "X-B3-Flags": "1"}},
		{"b3multi b3 tracecontext", parent, map[string]string{
			"traceparent": w3c["traceparent"], "b3": trace + "-" + span + "-1",
			"X-B3-Traceid": trace, "X-B3-Spanid": span, "X-B3-Sampled": "1",
		}},
	} {
		p := parse(t, strings.Fields(tt.order)...)
		h := http.Header{"Accept": {"x"}}
		for _, name := range []string{"X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-Flags", "b3"} {
			if strings.Contains(tt.order, "b3") {
				h.Set(name, "old")
			}
		}
		p.Inject(h, tt.c)
		got := map[string]string{}
		for name, values := range h {
			if len(values) != 1 {
				t.Errorf("%s: %d lines of %s", tt.order, len(values), name)
			}
			got[name] = values[0]
		}
		delete(got, "Accept")
		if !maps.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.order, got, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, names := range [][]string{nil, {"baggage"}, {"tracecontext", "jaeger"}} {
		if _, err := tracecontext.Parse(names); err == nil {
			t.Errorf("%q: no error", names)
		}
	}
}

func TestShare(t *testing.T) {
	kept := 0
	for range 10000 {
		if (tracecontext.Context{}).Child().Trace.Share(0.1) {
			kept++
		}
	}
	if kept < 850 || kept > 1150 { // five standard deviations
		t.Errorf("of 10000 traces %d are a tenth", kept)
	}
	all := tracecontext.TraceID{0: 1, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}
	if !all.Share(1) || all.Share(0.999) || (tracecontext.TraceID{15: 1}).Share(0) {
		t.Error("the ends of the scale are wrong")
	}
}
