package tracecontext

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// TraceID names a trace. All zeroes is no trace.
type TraceID [16]byte

// SpanID names a span. All zeroes is no span.
type SpanID [8]byte

// String returns the ID in lower-case hex.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// AppendTo appends the ID in lower-case hex.
func (t TraceID) AppendTo(b []byte) []byte { return hex.AppendEncode(b, t[:]) }

// String returns the ID in lower-case hex.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }

// AppendTo appends the ID in lower-case hex.
func (s SpanID) AppendTo(b []byte) []byte { return hex.AppendEncode(b, s[:]) }

// Context is a place in a trace: a span, and what is to be known of its trace. The
// zero Context is none.
type Context struct {
	Trace TraceID
	Span  SpanID

	// Decided says that whoever was before us has decided whether the trace is kept, and
	// Sampled how. A Context without IDs may still be Decided: B3 can say "no" alone.
	Decided, Sampled bool
	// Debug is B3's: sampled, whatever a sampler says.
	Debug bool
	// Random says that the last seven bytes of Trace are random (trace-context-2, section
	// 3.2.2.5.2).
	Random bool
	// State is the tracestate, as one valid header value; empty is none.
	State string
}

// Valid reports whether c is a place in a trace: both IDs are there.
func (c Context) Valid() bool { return c.Trace != TraceID{} && c.Span != SpanID{} }

// Child returns the Context of a new span below c. Where c is not valid it begins a
// new trace, which has nobody's tracestate; a decision that came without IDs stays.
func (c Context) Child() Context {
	if !c.Valid() {
		c = Context{Trace: newTraceID(), Decided: c.Decided, Sampled: c.Sampled, Debug: c.Debug, Random: true}
	}
	c.Span = NewSpanID()
	return c
}

// NewSpanID returns a random ID.
func NewSpanID() SpanID {
	var s SpanID
	for s == (SpanID{}) {
		binary.BigEndian.PutUint64(s[:], rand.Uint64())
	}
	return s
}

func newTraceID() TraceID {
	var t TraceID
	for t == (TraceID{}) {
		binary.BigEndian.PutUint64(t[:8], rand.Uint64())
		binary.BigEndian.PutUint64(t[8:], rand.Uint64())
	}
	return t
}

// Share reports whether the trace is in a share of all traces, from 0 to 1. Every hop
// and every implementation of OpenTelemetry's TraceIdRatioBased finds the same.
func (t TraceID) Share(of float64) bool {
	if of >= 1 {
		return true
	}
	return binary.BigEndian.Uint64(t[8:])>>1 < uint64(max(of, 0)*(1<<63))
}

// unhex reads lower-case hex that fills dst; nothing else is valid in any of the
// formats.
func unhex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	for i := range dst {
		high, low := digit(s[2*i]), digit(s[2*i+1])
		if high|low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// digit returns the value of a hex digit, and 255 for what is none.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
