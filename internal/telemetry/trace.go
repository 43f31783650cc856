package telemetry

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/tracecontext"
)

// The directions of a listener.
const (
	inbound  = "inbound"
	outbound = "outbound"
)

// TraceConfig says how one listener's requests are traced.
type TraceConfig struct {
	Direction   string                    // ingress, inbound or outbound
	Propagators *tracecontext.Propagators // how traces are carried
	Sample      float64                   // share, from 0 to 1, of the traces that begin here
	Routes      map[*mesh.Route]float64   // the same for routes that have a share of their own; may be nil
	Query       bool                      // spans show query strings
	Spans       *Spans                    // nil records nothing
	Handed      *Handed                   // what both halves of one sidecar know; nil mends nothing
}

// Traces returns the layer that gives each request its place in a trace: it goes on
// with the trace that the request belongs to, or begins one. Whether spans are
// recorded is decided where a trace begins; everybody else follows.
//
// It stands below the forwarding layer, which says what the peer may claim, and above
// all layers that edit the request. A request without a Call passes untraced.
func Traces(cfg TraceConfig) mesh.Layer {
	t := &tracer{TraceConfig: cfg, most: cfg.Sample}
	for _, share := range cfg.Routes {
		t.most = max(t.most, share)
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if call := mesh.From(req); call != nil {
				t.begin(call, req)
			}
			return next.RoundTrip(req)
		})
	}
}

type tracer struct {
	TraceConfig
	most float64 // the largest share of any route
}

func (t *tracer) begin(call *mesh.Call, req *http.Request) {
	parent := t.parent(call, req.Header)
	t.Propagators.Bound(req.Header)
	s := &span{t: t, call: call, own: parent.Child()}
	call.Trace = s
	if parent.Valid() {
		s.parent = parent.Span
	}
	if t.Spans == nil || !s.likely() {
		return
	}
	head := newSpanHead(req, t.Query)
	s.own.State = strings.Clone(s.own.State)
	start := call.Start
	if start.IsZero() {
		start = time.Now()
	}
	call.OnEnd(func(r mesh.Result) {
		if s.Sampled() {
			t.Spans.server(s, call, serverEnd{head, start, r})
		}
	})
}

// parent returns where the request says that it is in a trace or, where the app has
// not told that well, where the other half knows it to be.
func (t *tracer) parent(call *mesh.Call, header http.Header) tracecontext.Context {
	said := t.Propagators.Extract(header)
	if t.Handed == nil || t.Direction != outbound {
		return said
	}
	gave, ok := t.Handed.find(call.ID, said)
	if !ok {
		return said
	}
	return t.mend(said, gave, header)
}

// mend returns the parent of a call that the app makes while it answers a request of
// the same X-Request-ID, with which it was given gave.
func (t *tracer) mend(said, gave tracecontext.Context, header http.Header) tracecontext.Context {
	switch {
	case !said.Valid(): // it told nothing, or garbled it
		return gave
	case said.Trace != gave.Trace: // a trace of the app's own
		return said
	case said.Span == gave.Span: // copied; where it made a span of its own in another format, that is the parent
		if other, ok := t.Propagators.Other(header, said); ok {
			said = other
		}
	}
	if said.State == "" { // dropped, garbled, or of a format that has none
		said.State = gave.State
	}
	if !said.Decided {
		said.Decided, said.Sampled, said.Debug = gave.Decided, gave.Sampled, gave.Debug
	}
	said.Random = gave.Random
	return said
}

// span is a call's own, and what its attempts need to know.
type span struct {
	t      *tracer
	call   *mesh.Call
	parent tracecontext.SpanID

	mu  sync.Mutex // protects own's decision
	own tracecontext.Context
}

var _ mesh.Trace = (*span)(nil)

// IDs implements [mesh.Trace].
func (s *span) IDs() (trace [16]byte, id [8]byte) { return s.own.Trace, s.own.Span }

// likely reports whether spans may come to be recorded.
func (s *span) likely() bool {
	if s.own.Decided {
		return s.own.Sampled
	}
	return s.own.Trace.Share(s.t.most)
}

// Sampled implements [mesh.Trace]. Where nobody has decided before us, the first to
// ask settles it: by then the route is known.
func (s *span) Sampled() bool { return s.settled().Sampled }

func (s *span) settled() tracecontext.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.own.Decided {
		share, ok := s.t.Routes[s.call.Route]
		if !ok {
			share = s.t.Sample
		}
		s.own.Decided, s.own.Sampled = true, s.own.Trace.Share(share)
	}
	return s.own
}

// Attempt implements [mesh.Trace].
func (s *span) Attempt(c *mesh.Call, req *http.Request) {
	child := s.settled()
	child.Span = tracecontext.NewSpanID()
	s.t.Propagators.Inject(req.Header, child)
	if s.t.Handed != nil && s.t.Direction == inbound && c == s.call { // else it is not the app that is asked
		if forget := s.t.Handed.put(c.ID, child); forget != nil {
			c.OnEnd(forget)
		}
	}
	if s.t.Spans == nil || !child.Sampled {
		return
	}
	end := clientEnd{
		id: child.Span, n: len(c.Attempts) - 1,
		method: kept(req.Method, maxMethod), host: kept(req.Host, maxHost), path: kept(req.URL.EscapedPath(), maxPath),
	}
	if s.t.Query {
		end.query = kept(req.URL.RawQuery, maxPath)
	}
	c.OnEnd(func(r mesh.Result) {
		end.Result = r
		s.t.Spans.client(s, c, end)
	})
}
