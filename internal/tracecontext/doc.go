// Package tracecontext reads and writes what carries a trace from hop to hop: W3C
// Trace Context level 2 (https://www.w3.org/TR/trace-context-2/), B3 in one header
// or several (https://github.com/openzipkin/b3-propagation), and the bounds of W3C
// Baggage. It imports the standard library only, records nothing, decides nothing
// about sampling and starts no goroutine.
//
//	p, err := tracecontext.Parse([]string{"tracecontext", "b3"})
//	parent := p.Extract(req.Header)     // the first format that is valid
//	child := parent.Child()             // a new span of the same trace, or a new trace
//	p.Inject(attempt.Header, child)
//
// # What is kept of a tracestate
//
// Lines are combined in their order; white space around members and empty members
// go. Of several members with one key the first, which is the latest, stays. A
// member that is not valid, or more than 32, make the whole tracestate invalid, and
// it is discarded; the traceparent stays. Where more than 8 KiB are left, members
// longer than 128 characters go first, from the end, and then members from the end.
// No member of our own is added: every parent is in traceparent.
package tracecontext
