package tracecontext_test

import (
	"net/http"
	"testing"

	"outrider/internal/tracecontext"
	"outrider/internal/tracecontext/tracecontexttest"
)

const (
	trace = "0af7651916cd43dd8448eb211c80319c"
	span  = "b7ad6b7169203331"
)

// Each MUST about a traceparent that comes in, by its section. Want is the traceparent
// with which the same place in the trace would be passed on; empty: the trace starts
// anew.
func TestTraceparent(t *testing.T) {
	for _, tt := range tracecontexttest.Traceparents() {
		t.Run(tt.Section, func(t *testing.T) {
			c, ok := tracecontext.ParseTraceparent(tt.In)
			if !ok {
				if tt.Want != "" || c != (tracecontext.Context{}) {
					t.Fatalf("%q: refused, %+v; want %q", tt.In, c, tt.Want)
				}
				return
			}
			if got := c.Traceparent(); got != tt.Want || !c.Decided {
				t.Errorf("%q: got %q, decided %v; want %q", tt.In, got, c.Decided, tt.Want)
			}
		})
	}
}

// What a whole header says, by the section.
func TestExtractW3C(t *testing.T) {
	const good = "00-" + trace + "-" + span + "-01"
	p := parse(t, "tracecontext")
	for _, tt := range []struct {
		section string
		in      http.Header
		want    string // traceparent
		state   string
	}{
		{"3.3 tracestate goes along", http.Header{"Traceparent": {good}, "Tracestate": {"foo=1"}}, good, "foo=1"},
		{"3.3 tracestate without traceparent is not parsed", http.Header{"Tracestate": {"foo=1"}}, "", ""},
		{"3.3 tracestate of an invalid traceparent is not parsed", http.Header{"Traceparent": {good + "."}, "Tracestate": {"foo=1"}}, "", ""},
		{"3.3 a bad tracestate does not affect traceparent", http.Header{"Traceparent": {good}, "Tracestate": {"FOO=1"}}, good, ""},
		{"3.2 two lines are no traceparent", http.Header{"Traceparent": {good, good}, "Tracestate": {"foo=1"}}, "", ""},
		{"3.2 two lines, one of them invalid", http.Header{"Traceparent": {good, "x"}}, "", ""},
		{"3.2 two lines, one of them empty", http.Header{"Traceparent": {good, ""}}, "", ""},
		{"3.2.1 the name has no hyphen", http.Header{"Trace-Parent": {good}}, "", ""},
		{"3.3.1 the name has no hyphen", http.Header{"Traceparent": {good}, "Trace-State": {"foo=1"}}, good, ""},
		{"3.3.4 tracestate of a higher version is parsed", http.Header{"Traceparent": {"cc" + good[2:] + "-x"}, "Tracestate": {"foo=1"}}, good, "foo=1"},
	} {
		t.Run(tt.section, func(t *testing.T) {
			c := p.Extract(tt.in)
			got := ""
			if c.Valid() {
				got = c.Traceparent()
			}
			if got != tt.want || c.State != tt.state {
				t.Errorf("got %q, %q; want %q, %q", got, c.State, tt.want, tt.state)
			}
		})
	}
}

// What goes out, by the section.
func TestChildren(t *testing.T) {
	t.Run("3.4 without a traceparent a new trace begins", func(t *testing.T) {
		seen := map[string]bool{}
		for range 100 {
			c := tracecontext.Context{State: "foo=1"}.Child()
			again, ok := tracecontext.ParseTraceparent(c.Traceparent())
			if !ok || !c.Valid() || again.Trace != c.Trace || seen[c.Trace.String()] || seen[c.Span.String()] {
				t.Fatalf("%+v", c)
			}
			seen[c.Trace.String()], seen[c.Span.String()] = true, true
			if !c.Random {
				t.Error("3.2.2.5.2: its trace-id is random, and it does not say so")
			}
			if c.State != "" || c.Decided {
				t.Error("3.4: a new trace has another's tracestate, or decision")
			}
		}
	})
	t.Run("3.4 parent-id is updated, and nothing else", func(t *testing.T) {
		parent, _ := tracecontext.ParseTraceparent("00-" + trace + "-" + span + "-01")
		parent.State = "foo=1"
		c := parent.Child()
		if c.Span == parent.Span {
			t.Error("the parent-id is still the parent's")
		}
		if c.Span = parent.Span; c != parent {
			t.Errorf("%+v became %+v", parent, c)
		}
	})
	t.Run("3.2.1 and 3.3.1 names are lower case, each once", func(t *testing.T) {
		p := parse(t, "tracecontext")
		h := http.Header{"Traceparent": {"x", "y"}, "Tracestate": {"z"}, "tracestate": {"z"}}
		c := tracecontext.Context{}.Child()
		p.Inject(h, c)
		if parent := named(h, "traceparent"); len(h) != 1 || len(parent) != 1 || parent[0] != c.Traceparent() {
			t.Errorf("%v", h)
		}
		c.State = "foo=1,bar=2"
		p.Inject(h, c)
		if state := named(h, "tracestate"); len(h) != 2 || len(state) != 1 || state[0] != c.State {
			t.Errorf("%v", h)
		}
	})
}

func parse(t testing.TB, names ...string) *tracecontext.Propagators {
	t.Helper()
	p, err := tracecontext.Parse(names)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// named returns the field of exactly this name.
func named(h http.Header, name string) []string { return h[name] }
