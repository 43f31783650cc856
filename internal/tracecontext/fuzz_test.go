package tracecontext_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/internal/tracecontext"
)

// Whatever comes in, what goes out is valid and means the same to the next hop.
func FuzzExtract(f *testing.F) {
	f.Add("00-"+trace+"-"+span+"-01", "foo=1,bar=2", trace+"-"+span+"-1", trace)
	f.Add("cc-"+trace+"-"+span+"-ff-x", " foo=  1 \n a@b=c", "d", "8448eb211c80319c")
	f.Add("", ",,", "0", "")
	all := parse(f, "tracecontext", "b3", "b3multi", "baggage")
	f.Fuzz(func(t *testing.T, traceparent, tracestate, b3, id string) {
		h := http.Header{
			"Traceparent": {traceparent}, "Tracestate": strings.Split(tracestate, "\n"), "Baggage": {tracestate},
			"B3": {b3}, "X-B3-Traceid": {id}, "X-B3-Spanid": {span},
		}
		c := all.Extract(h)
		if !c.Valid() && c.State != "" {
			t.Fatalf("a tracestate without a trace: %+v", c)
		}
		child := c.Child()
		if !child.Valid() || c.Valid() && child.Trace != c.Trace {
			t.Fatalf("%+v has the child %+v", c, child)
		}
		child.Decided = true // as whoever injects has done
		for _, form := range []string{"tracecontext", "b3", "b3multi"} {
			out := http.Header{}
			parse(t, form).Inject(out, child)
			in := http.Header{}
			for name, values := range out {
				in[http.CanonicalHeaderKey(name)] = values
			}
			want := child
			if form == "tracecontext" {
				want.Debug = false // it has no word for it
			} else {
				want.Random, want.State = false, ""
			}
			if got := parse(t, form).Extract(in); got != want {
				t.Fatalf("%s: %+v went out as %v and came in as %+v", form, child, out, got)
			}
		}
		all.Bound(h)
		if n := len(strings.Join(h["Baggage"], ",")); n > 8<<10 {
			t.Fatalf("%d bytes of baggage", n)
		}
	})
}

// A tracestate that was accepted is accepted again, as it is.
func FuzzTracestate(f *testing.F) {
	f.Add("foo=1, bar=2 ,,\nfoo=2")
	f.Add(strings.Repeat("a=1,b=2,c=3,", 11))
	f.Add("a@b@c=  x y ")
	f.Fuzz(func(t *testing.T, text string) {
		out, ok := tracecontext.ParseTracestate(strings.Split(text, "\n"))
		if !ok && out != "" || len(out) > 8<<10 || strings.ContainsAny(out, "\n\r\t") {
			t.Fatalf("%v, %q", ok, out)
		}
		again, ok := tracecontext.ParseTracestate([]string{out})
		if !ok || again != out {
			t.Fatalf("%q was accepted as %q, and that as %q, %v", text, out, again, ok)
		}
	})
}
