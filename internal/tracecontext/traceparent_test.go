package tracecontext_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/internal/tracecontext"
)

const (
	trace = "0af7651916cd43dd8448eb211c80319c"
	span  = "b7ad6b7169203331"
)

// Each MUST about a traceparent that comes in, by its section. Want is the traceparent
// with which the same place in the trace would be passed on; empty: the trace starts
// anew.
func TestTraceparent(t *testing.T) {
	const good = "00-" + trace + "-" + span + "-01"
	for _, tt := range []struct{ section, in, want string }{
		{"3.2.2 value", good, good},
		{"3.2.2 empty", "", ""},
		{"3.2.2.1 version is two characters: one", "0-" + trace + "-" + span + "-01", ""},
		{"3.2.2.1 version is two characters: three", "000-" + trace + "-" + span + "-01", ""},
		{"3.2.2.1 version is hex: first", ".0-" + trace + "-" + span + "-01", ""},
		{"3.2.2.1 version is hex: second", "0.-" + trace + "-" + span + "-01", ""},
		{"3.2.2.1 version is lower case", "CC-" + trace + "-" + span + "-01", ""},
		{"3.2.2.1 version ff is forbidden", "ff-" + trace + "-" + span + "-01", ""},
		{"3.2.2.1 version ff is forbidden, whatever follows", "ff-" + trace + "-" + span + "-01-x", ""},
		{"3.2.2.2 version 00 has nothing behind: a dash", good + "-", ""},
		{"3.2.2.2 version 00 has nothing behind: a field", good + "-what", ""},
		{"3.2.2.2 version 00 has nothing behind: a character", good + ".", ""},
		{"3.2.2.2 version 00 has all fields", "00-" + trace + "-" + span, ""},
		{"3.2.2.2 delimiter", "00_" + trace + "-" + span + "-01", ""},
		{"3.2.2.2 delimiter", "00-" + trace + "_" + span + "-01", ""},
		{"3.2.2.2 delimiter", "00-" + trace + "-" + span + "_01", ""},
		{"3.2.2.3 trace-id of zeroes", "00-" + strings.Repeat("0", 32) + "-" + span + "-01", ""},
		{"3.2.2.3 trace-id is lower case", "00-" + strings.ToUpper(trace) + "-" + span + "-01", ""},
		{"3.2.2.3 trace-id is hex", "00-" + trace[:31] + "g-" + span + "-01", ""},
		{"3.2.2.3 trace-id is hex", "00-." + trace[1:] + "-" + span + "-01", ""},
		{"3.2.2.3 trace-id is 32 characters: 31", "00-" + trace[1:] + "-" + span + "-01", ""},
		{"3.2.2.3 trace-id is 32 characters: 33", "00-1" + trace + "-" + span + "-01", ""},
		{"3.2.2.3 trace-id of one digit is one", "00-" + strings.Repeat("0", 31) + "1-" + span + "-01", "00-" + strings.Repeat("0", 31) + "1-" + span + "-01"},
		{"3.2.2.4 parent-id of zeroes", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01", ""},
		{"3.2.2.4 parent-id is lower case", "00-" + trace + "-" + strings.ToUpper(span) + "-01", ""},
		{"3.2.2.4 parent-id is hex", "00-" + trace + "-" + span[:15] + ".-01", ""},
		{"3.2.2.4 parent-id is 16 characters: 15", "00-" + trace + "-" + span[1:] + "-01", ""},
		{"3.2.2.4 parent-id is 16 characters: 17", "00-" + trace + "-1" + span + "-01", ""},
		{"3.2.2.5 trace-flags is hex", "00-" + trace + "-" + span + "-.0", ""},
		{"3.2.2.5 trace-flags is hex", "00-" + trace + "-" + span + "-0.", ""},
		{"3.2.2.5 trace-flags is lower case", "00-" + trace + "-" + span + "-0A", ""},
		{"3.2.2.5 trace-flags is two characters: one", "00-" + trace + "-" + span + "-1", ""},
		{"3.2.2.5 trace-flags is two characters: three", "00-" + trace + "-" + span + "-001", ""},
		{"3.2.2.5.1 not sampled", "00-" + trace + "-" + span + "-00", "00-" + trace + "-" + span + "-00"},
		{"3.2.2.5.2 random stays set", "00-" + trace + "-" + span + "-03", "00-" + trace + "-" + span + "-03"},
		{"3.2.2.5.2 random stays set, not sampled", "00-" + trace + "-" + span + "-02", "00-" + trace + "-" + span + "-02"},
		{"3.2.2.5.2 random stays unset", good, good},
		{"3.2.2.5.3 other flags are set to zero", "00-" + trace + "-" + span + "-ff", "00-" + trace + "-" + span + "-03"},
		{"3.2.2.5.3 other flags are no sampled", "00-" + trace + "-" + span + "-fc", "00-" + trace + "-" + span + "-00"},
		{"3.2.4 a higher version is passed on as 00", "cc-" + trace + "-" + span + "-01", good},
		{"3.2.4 a higher version may have more fields", "01-" + trace + "-" + span + "-01-what-the-future-brings", good},
		{"3.2.4 a higher version may end in a dash", "01-" + trace + "-" + span + "-01-", good},
		{"3.2.4 a higher version of any length", "fe-" + trace + "-" + span + "-01-" + strings.Repeat("x", 4000), good},
		{"3.2.4 what follows begins with a dash", "cc-" + trace + "-" + span + "-01.what", ""},
		{"3.2.4 what follows begins with a dash", "cc-" + trace + "-" + span + "-011", ""},
		{"3.2.4 shorter than 55", "cc-" + trace + "-" + span + "-0", ""},
		{"3.2.4 the trace-id of a higher version is hex", "cc-" + trace[:31] + "x-" + span + "-01", ""},
		{"3.2.4 the trace-id of a higher version is not zero", "cc-" + strings.Repeat("0", 32) + "-" + span + "-01", ""},
		{"3.2.4 the parent-id of a higher version is hex", "cc-" + trace + "-" + span[:15] + "x-01", ""},
		{"3.2.4 the parent-id of a higher version is not zero", "cc-" + trace + "-" + strings.Repeat("0", 16) + "-01", ""},
		{"RFC 9110, 5.5: white space around a value is none of it", " \t" + good + "\t ", good},
		{"3.2.2 white space within", "00 -" + trace + "-" + span + "-01", ""},
		{"3.2.2 two in one line", good + "," + good, ""},
		{"3.2.4 two in one line of a higher version", "cc" + good[2:] + ",cc" + good[2:], ""},
	} {
		t.Run(tt.section, func(t *testing.T) {
			c, ok := tracecontext.ParseTraceparent(tt.in)
			if !ok {
				if tt.want != "" || c != (tracecontext.Context{}) {
					t.Fatalf("%q: refused, %+v; want %q", tt.in, c, tt.want)
				}
				return
			}
			if got := c.Traceparent(); got != tt.want || !c.Decided {
				t.Errorf("%q: got %q, decided %v; want %q", tt.in, got, c.Decided, tt.want)
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
		if len(h) != 1 || len(h["traceparent"]) != 1 || h["traceparent"][0] != c.Traceparent() {
			t.Errorf("%v", h)
		}
		c.State = "foo=1,bar=2"
		p.Inject(h, c)
		if len(h) != 2 || len(h["tracestate"]) != 1 || h["tracestate"][0] != c.State {
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
