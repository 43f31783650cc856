package telemetry

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"outrider/internal/mesh"
	"outrider/internal/tracecontext"
)

// Attributes of our own.
const (
	attrDirection = attribute.Key("outrider.direction")  // ingress, inbound or outbound
	attrRequestID = attribute.Key("outrider.request_id") // X-Request-ID
	attrFault     = attribute.Key("outrider.fault")      // the fault's code
	attrService   = attribute.Key("outrider.service")    // where the request went
)

// methodName stands in a span's name for a method that is not known.
const methodName = "HTTP"

// spanHead is what a span shows of the request as it came in: layers below edit it.
type spanHead struct {
	method, scheme, host, path, query, agent string
	major, minor                             int
}

func newSpanHead(req *http.Request, query bool) *spanHead {
	h := &spanHead{
		method: kept(req.Method, maxMethod), scheme: "http", host: kept(req.Host, maxHost), path: kept(req.URL.EscapedPath(), maxPath),
		agent: kept(req.UserAgent(), maxAgent), major: req.ProtoMajor, minor: req.ProtoMinor,
	}
	if query {
		h.query = kept(req.URL.RawQuery, maxPath)
	}
	return h
}

// kept returns s as a span has it: bounded, without holding what it is a part of, for a
// span waits for others, and valid, or the collector would take none of its message.
func kept(s string, limit int) string { return strings.Clone(label(clip(s, limit))) }

// serverEnd is all that is known of a request at its end, besides its Call.
type serverEnd struct {
	head  *spanHead
	start time.Time
	mesh.Result
}

// clientEnd is all that is known of an attempt at its end, besides its Call.
type clientEnd struct {
	id                        tracecontext.SpanID
	n                         int // index among the call's Attempts
	method, host, path, query string
	mesh.Result
}

// server records the span of a request.
func (s *Spans) server(of *span, call *mesh.Call, e serverEnd) {
	where := placeOf(call)
	status := e.Status
	if f := faultOf(e.Err); status == 0 && f != nil && f.Kind == mesh.ClientGone {
		status = mesh.ClientGone.Status()
	}
	scheme := e.head.scheme
	if call.Secure {
		scheme = "https"
	}
	attrs := make([]attribute.KeyValue, 0, 24)
	attrs = append(attrs, attrDirection.String(of.t.Direction), attrRequestID.String(kept(call.ID, maxID)), semconv.URLScheme(scheme), semconv.URLPath(e.head.path))
	attrs = appendMethod(attrs, e.head.method)
	attrs = appendServer(attrs, e.head.host, scheme)
	attrs = appendCaller(attrs, call)
	if e.head.query != "" {
		attrs = append(attrs, semconv.URLQuery(e.head.query))
	}
	if e.head.agent != "" {
		attrs = append(attrs, semconv.UserAgentOriginal(e.head.agent))
	}
	attrs = append(attrs, semconv.NetworkProtocolVersion(version(e.head.major, e.head.minor)))
	name := spanMethod(e.head.method)
	if where.route != none {
		attrs = append(attrs, semconv.HTTPRoute(label(clip(where.route, maxName))))
		name += " " + label(clip(where.route, maxName))
	}
	if where.service != none {
		attrs = append(attrs, attrService.String(label(clip(where.service, maxName))))
	}
	attrs, failed, why := appendOutcome(attrs, status, e.Err, http.StatusInternalServerError)
	s.record(recorded{
		of: of, id: of.own.Span, parent: of.parent, remote: true, kind: trace.SpanKindServer,
		name: name, start: e.start, end: time.Now(), attrs: attrs, failed: failed, why: why,
	})
}

// client records the span of an attempt.
func (s *Spans) client(of *span, call *mesh.Call, e clientEnd) {
	a := call.Attempts[e.n]
	scheme := "http"
	if a.Scheme == "https" {
		scheme = "https"
	}
	host := e.host
	if host == "" {
		host = a.Endpoint
	}
	attrs := make([]attribute.KeyValue, 0, 16)
	attrs = append(attrs, attrDirection.String(of.t.Direction), semconv.URLFull(clip(scheme+"://"+host+e.path+queried(e.query), maxPath)))
	attrs = appendMethod(attrs, e.method)
	attrs = appendServer(attrs, host, scheme)
	if address, port, ok := splitPort(a.Endpoint); ok {
		attrs = append(attrs, semconv.NetworkPeerAddress(address), semconv.NetworkPeerPort(port))
	}
	if call.Service != "" {
		attrs = append(attrs, semconv.ServicePeerName(kept(string(call.Service), maxName)))
	}
	if e.n > 0 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(e.n))
	}
	err := a.Err
	if err == nil && e.Err != nil { // the head had come, and what followed broke off
		err = e.Err
	}
	attrs, failed, why := appendOutcome(attrs, a.Status, err, http.StatusBadRequest)
	s.record(recorded{
		of: of, id: e.id, parent: of.own.Span, kind: trace.SpanKindClient,
		name: spanMethod(e.method), start: a.Start, end: time.Now(), attrs: attrs, failed: failed, why: why,
	})
}

// recorded is a span that has ended.
type recorded struct {
	of         *span
	id, parent tracecontext.SpanID
	remote     bool // the parent is another process's
	kind       trace.SpanKind
	name       string
	start, end time.Time
	attrs      []attribute.KeyValue
	failed     bool
	why        string // why it failed; may be empty
}

// record hands a span to the SDK, with the IDs that it has had from its beginning.
func (s *Spans) record(r recorded) {
	own := r.of.settled()
	ctx := context.WithValue(context.Background(), identified{}, identified{trace.TraceID(own.Trace), trace.SpanID(r.id)})
	if r.parent != (tracecontext.SpanID{}) {
		flags := trace.FlagsSampled
		if own.Random {
			flags |= trace.FlagsRandom
		}
		parent := trace.SpanContextConfig{TraceID: trace.TraceID(own.Trace), SpanID: trace.SpanID(r.parent), TraceFlags: flags, Remote: r.remote}
		if own.State != "" {
			parent.TraceState, _ = trace.ParseTraceState(own.State) // the SDK is stricter than level 2; what it refuses still goes on to the endpoint
		}
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(parent))
	}
	_, span := s.tracer.Start(ctx, r.name, trace.WithSpanKind(r.kind), trace.WithTimestamp(r.start), trace.WithAttributes(r.attrs...))
	if r.failed {
		span.SetStatus(codes.Error, r.why)
	}
	span.End(trace.WithTimestamp(r.end))
}

// identified are the IDs of the span to be started, by context.
type identified struct {
	trace trace.TraceID
	span  trace.SpanID
}

// givenIDs has the SDK take the IDs that are given.
type givenIDs struct{}

// NewIDs implements the SDK's IDGenerator.
func (givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	ids, _ := ctx.Value(identified{}).(identified)
	return ids.trace, ids.span
}

// NewSpanID implements the SDK's IDGenerator.
func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	ids, _ := ctx.Value(identified{}).(identified)
	return ids.span
}

// appendOutcome says how it ended. From the status failing on it is a failure; a fault
// that cut short what had begun well is one, too.
func appendOutcome(attrs []attribute.KeyValue, status int, err error, failing int) (_ []attribute.KeyValue, failed bool, why string) {
	if status > 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(status))
	}
	failed = status >= failing
	kind := strconv.Itoa(status)
	if f := faultOf(err); f != nil {
		kind = f.Kind.Code()
		attrs = append(attrs, attrFault.String(kind))
		failed = (failed || f.Kind.Status() >= failing) && f.Kind != mesh.ClientGone // nobody failed there
		why = label(causeOf(f))
	}
	if failed {
		attrs = append(attrs, semconv.ErrorTypeKey.String(kind))
	}
	return attrs, failed, why
}

func faultOf(err error) *mesh.Fault {
	if err == nil {
		return nil
	}
	return mesh.AsFault(err)
}

// spanMethod is what a span's name begins with.
func spanMethod(method string) string {
	if known := methodLabel(method); known != other {
		return known
	}
	return methodName
}

func appendMethod(attrs []attribute.KeyValue, method string) []attribute.KeyValue {
	known := methodLabel(method)
	attrs = append(attrs, semconv.HTTPRequestMethodKey.String(known))
	if known == other {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(method))
	}
	return attrs
}

func appendServer(attrs []attribute.KeyValue, authority, scheme string) []attribute.KeyValue {
	if authority == "" {
		return attrs
	}
	host, port, ok := splitPort(authority)
	if !ok {
		host, port = strings.Trim(authority, "[]"), 80
		if scheme == "https" {
			port = 443
		}
	}
	return append(attrs, semconv.ServerAddress(host), semconv.ServerPort(port))
}

func appendCaller(attrs []attribute.KeyValue, call *mesh.Call) []attribute.KeyValue {
	if call.Client.IsValid() {
		attrs = append(attrs, semconv.ClientAddress(call.Client.String()))
	}
	if call.Peer.IsValid() {
		attrs = append(attrs, semconv.NetworkPeerAddress(call.Peer.Addr().String()), semconv.NetworkPeerPort(int(call.Peer.Port())))
	}
	return attrs
}

func splitPort(authority string) (host string, port int, ok bool) {
	host, text, err := net.SplitHostPort(authority)
	if err != nil {
		return "", 0, false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return host, int(n), err == nil
}

func queried(query string) string {
	if query == "" {
		return ""
	}
	return "?" + query
}

// version names HTTP's version as the conventions do.
func version(major, minor int) string {
	if major >= 2 {
		return strconv.Itoa(major)
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor)
}
