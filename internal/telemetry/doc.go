// Package telemetry says what the proxy did: Prometheus metrics, spans, and one access
// log line a request. It is the only package that knows Prometheus and OpenTelemetry.
// Of a request it changes nothing but the fields that carry its trace; it wraps no body,
// keeps no state outside what New and its like return, and starts no goroutines but the
// two that write an access log.
//
// The outermost layer of a stack observes each exchange; further down, Active
// counts those that are in progress with a service:
//
//	t := telemetry.New(telemetry.Options{Version: "1.2.0"})
//	access := t.AccessLog(os.Stdout, log)
//	access.Start()
//	stack := mesh.Stack(origin,
//		t.Requests(telemetry.RequestConfig{Direction: "ingress", Log: access, Lines: telemetry.Lines{Sample: 1}}),
//		route, policies, t.Active("orders"))
//	mux.Handle("/metrics", t.Handler())
//
// Other packages report their events through callbacks of their own, which the
// wiring points at methods such as [Telemetry.Retry] and [Telemetry.Ejection].
//
// # Traces
//
// Traces gives each request its place in a trace, and its attempts theirs; Spans sends
// what is recorded of them:
//
//	spans := t.NewSpans(telemetry.SpanOptions{Endpoint: "http://127.0.0.1:4317", Service: "orders"})
//	go spans.Run(ctx, limit)
//	traces := telemetry.Traces(telemetry.TraceConfig{Direction: "ingress", Propagators: p, Sample: 0.01, Spans: spans})
//	stack := mesh.Stack(origin, requests, forward, traces, …)
//
// A request is a span of the kind server, named and described by OpenTelemetry's
// conventions for HTTP; each attempt at an endpoint is one of the kind client below it,
// whose ID is what that endpoint is told. Where nobody records a trace, its IDs are all
// that there is of it: no span is made, and nothing is kept of the request.
//
// # Labels
//
// No label takes its value from what a client sends. Routes and services are the
// configuration's; a method that RFC 9110 and RFC 5789 do not know is `_OTHER`;
// a status that HTTP does not know is `other`. Every family has a bound on its
// series besides; past it, new ones are counted together under `_OTHER`.
//
// Durations are classic histograms for whoever reads text, and native ones besides, of
// a bounded number of buckets, for a Prometheus that asks for protocol buffers.
//
// # Access log
//
// One line per request, as JSON or as [ParseLineFormat] says. Its fields, in the order
// that JSON has them:
//
//	time           when the request had ended
//	level          INFO, or WARN where the proxy itself answered with a status of 500 or above
//	msg            request
//	direction      ingress, inbound or outbound
//	request_id     X-Request-ID as it was forwarded
//	trace_id       where requests are traced
//	span_id        of the request's own span, likewise
//	client         address of the client behind the proxies that are trusted
//	peer           address and port at the other end of the socket
//	source         identity of the peer's certificate
//	method         as received
//	host           as received
//	path           as received, escaped; the query only where Lines.Query says so
//	proto          HTTP/1.1, HTTP/2.0
//	route          the rule that matched, or none
//	service        where it went, or none
//	status         what the client was sent; 499 when it had gone, 0 when nothing was
//	code           the fault's code, empty when all went well
//	error          the fault's cause
//	endpoint       address of the last attempt
//	attempt_count  how many attempts there were
//	attempts       [{endpoint, ms, status, error}], only with a fault or more than one
//	bytes_in       bytes of body from the client
//	bytes_out      bytes of body to the client
//	duration_ms    from the request's head to the last byte of the answer
//	slow           true, only with an exchange that took longer than Lines.Slow
//	user_agent     as received
//
// Every value is bounded in length; one that was cut ends in "…". Header fields
// other than User-Agent, and with them tokens and cookies, are never written. Whatever
// cannot be printed is escaped, in every format: a value never ends a line, nor moves the
// cursor of who reads it.
package telemetry
