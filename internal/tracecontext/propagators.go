package tracecontext

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// The formats that a Propagators may have.
const (
	W3C     = "tracecontext" // traceparent and tracestate
	B3      = "b3"           // one header; reads several, too
	B3Multi = "b3multi"      // X-B3-*; reads the one, too
	Baggage = "baggage"      // is only bounded: it carries no trace
)

const (
	traceparent = "Traceparent"
	tracestate  = "Tracestate"
)

// Propagators are the formats that traces are carried in. Of those that came with a
// request the first in order that is valid counts; all are written.
type Propagators struct {
	order   []string // of W3C and B3, which stands for both of its forms
	w3c     bool
	single  bool
	multi   bool
	baggage bool
}

// Parse returns the formats of these names, in this order. Its error names the one
// that is none.
func Parse(names []string) (*Propagators, error) {
	p := &Propagators{}
	for _, name := range names {
		switch name {
		case W3C:
			p.w3c = true
		case B3:
			p.single = true
		case B3Multi:
			p.multi, name = true, B3
		case Baggage:
			p.baggage = true
			continue
		default:
			return nil, fmt.Errorf("tracecontext: there is no format %q", name)
		}
		if !slices.Contains(p.order, name) {
			p.order = append(p.order, name)
		}
	}
	if len(p.order) == 0 {
		return nil, errors.New("tracecontext: no format that carries a trace")
	}
	return p, nil
}

// Extract returns where the sender of h was in a trace. It is not Valid where h says
// nothing that holds; it may be Decided all the same.
func (p *Propagators) Extract(h http.Header) Context {
	var loose Context // a decision without IDs
	for _, name := range p.order {
		c, ok := p.one(name, h)
		switch {
		case ok && c.Valid():
			return p.complete(c, name, h)
		case ok && !loose.Decided:
			loose = c
		}
	}
	return loose
}

// Other returns another span of the trace of c, which is from Extract: where two
// formats disagree, the one that c is not from. False is none.
func (p *Propagators) Other(h http.Header, c Context) (Context, bool) {
	for _, name := range p.order {
		if o, ok := p.one(name, h); ok && o.Trace == c.Trace && o.Valid() && o.Span != c.Span {
			return p.complete(o, name, h), true
		}
	}
	return Context{}, false
}

func (p *Propagators) one(name string, h http.Header) (Context, bool) {
	if name == B3 {
		return extractB3(h)
	}
	c, ok := parent(h)
	if ok {
		c.State, _ = ParseTracestate(h[tracestate])
	}
	return c, ok
}

// parent reads the traceparent: one that came twice is none.
func parent(h http.Header) (Context, bool) {
	if len(h[traceparent]) != 1 {
		return Context{}, false
	}
	return ParseTraceparent(h[traceparent][0])
}

// complete adds what B3 has no word for, where a traceparent of the same trace says
// it.
func (p *Propagators) complete(c Context, from string, h http.Header) Context {
	if from != B3 || !p.w3c {
		return c
	}
	if w, ok := parent(h); ok && w.Trace == c.Trace {
		c.Random = w.Random
		c.State, _ = ParseTracestate(h[tracestate])
	}
	return c
}

// Inject writes c in every format, in place of whatever h has of them. The names of
// W3C's are in lower case, as section 3.2.1 asks for.
func (p *Propagators) Inject(h http.Header, c Context) {
	// One allocation for all that is written, and one for the slices that hold it.
	buf := make([]byte, 0, parentSize+b3Size+1)
	if p.w3c {
		buf = c.appendTraceparent(buf)
	}
	if p.single || p.multi {
		buf = c.appendB3(buf)
	}
	text := string(buf)
	values := make([]string, 0, 6)
	put := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if p.w3c {
		delete(h, traceparent)
		delete(h, tracestate)
		delete(h, "tracestate")
		put("traceparent", text[:parentSize])
		text = text[parentSize:]
		if c.State != "" {
			put("tracestate", c.State)
		}
	}
	if !p.single && !p.multi {
		return
	}
	for _, name := range [...]string{b3Single, b3Trace, b3Span, b3Parent, b3Sampled, b3Flags} {
		delete(h, name)
	}
	if p.single {
		put("b3", text)
	}
	if p.multi {
		put(b3Trace, text[:32])
		put(b3Span, text[33:49])
		if c.Debug {
			put(b3Flags, "1")
		} else {
			put(b3Sampled, text[50:])
		}
	}
}

// Bound has what is passed on but not written, the baggage, keep to its bounds.
func (p *Propagators) Bound(h http.Header) {
	if p.baggage {
		BoundBaggage(h)
	}
}
