package mesh

import "net/http"

// Trace is a call's place in a trace: the spans of all requests that one request has
// led to. It may be used by several goroutines at once.
type Trace interface {
	// IDs return the trace's ID and that of the call's own span.
	IDs() (trace [16]byte, span [8]byte)

	// Sampled reports whether spans are recorded. It may be asked once the call's Route
	// is known, or at its end.
	Sampled() bool

	// Attempt begins a span below the call's own for the last of c's Attempts, which
	// ends when what c registers from now on does (see [Call.OnEnd]), and writes into
	// the header of req, which is the attempt's alone, what tells the endpoint of it. c
	// is the call, or one that was made on its behalf.
	Attempt(c *Call, req *http.Request)
}
