package mesh

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Fault is a failure that the proxy answers for. A layer returns one to stop a
// request; the server at the edge makes the response.
type Fault struct {
	Kind       Kind          // fixes status, gRPC status, Proxy-Status token and code
	Retryable  bool          // another attempt may succeed and cannot do harm twice
	ByClient   bool          // the client brought it about: no endpoint is to blame
	RetryAfter time.Duration // when to come back; zero is unknown
	Message    string        // one plain sentence for the client; empty means the Kind's own
	Header     http.Header   // further fields of the answer, such as RateLimit; may be nil
	Endpoint   string        // the address that failed; empty when none was reached for
	Rule       string        // which of several rules of the Kind said no, such as a rate limit's name; empty where there is one
	Err        error         // the cause, for logs and trusted peers; may be nil
}

// Error returns the code and the cause, for logs.
func (f *Fault) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s: %v", f.Kind.Code(), f.Err)
	}
	return fmt.Sprintf("%s: %s", f.Kind.Code(), f.Text())
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Text returns the sentence that the client reads.
func (f *Fault) Text() string {
	if f.Message != "" {
		return f.Message
	}
	return f.Kind.Text()
}

// At returns f with the endpoint at which it happened, where it has none yet. The Fault
// itself may be shared.
func (f *Fault) At(endpoint string) *Fault {
	if f.Endpoint != "" {
		return f
	}
	at := *f
	at.Endpoint = endpoint
	return &at
}

// AsFault returns err as a Fault: the one it wraps, or an Internal one around it.
func AsFault(err error) *Fault {
	if f, ok := err.(*Fault); ok { //nolint:errorlint // as nearly always: looking further costs an allocation
		return f
	}
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Kind: Internal, Err: err}
}

// Kind is the sort of a Fault.
type Kind int

// The kinds. The zero Kind is Internal, so that a forgotten kind is answered as
// our own mistake.
const (
	Internal           Kind = iota // the proxy itself failed
	Malformed                      // the request is not valid HTTP, or its path hides something
	Unauthenticated                // no token or a bad one
	Denied                         // known, and not allowed
	NoRoute                        // no rule matches
	MethodNotAllowed               // a method that this listener never serves
	RequestTimeout                 // the client's body came too slowly
	BodyTooLarge                   // the request body exceeds limits.body_bytes
	URITooLong                     // the target exceeds limits.uri_bytes
	HeaderTooLarge                 // too many header fields, or too large
	Limited                        // a rate limit
	ClientGone                     // the client went away; for logs only
	AuthFailed                     // the authentication service did not answer properly
	NoEndpoints                    // the service has no endpoint that may be used
	BreakerOpen                    // the circuit breaker of every endpoint is open
	Overflow                       // max_connections and max_pending of the endpoint are taken
	Shed                           // too many requests in flight here
	Draining                       // this proxy is shutting down
	Refused                        // the endpoint refused the connection
	ConnectTimeout                 // no connection within connect_timeout
	Unreachable                    // no way to the endpoint
	TLSFailed                      // the handshake with the endpoint failed
	TLSCertificate                 // the endpoint's certificate does not hold
	Reset                          // the connection ended before the answer did
	ResponseTimeout                // no answer within timeout
	PerTryTimeout                  // no answer within per_try_timeout
	IdleTimeout                    // the body stood still for idle_timeout
	BadResponse                    // the answer is not valid HTTP
	ResponseTooLarge               // the answer's head exceeds what we read
	Loop                           // the request has been here before
	NotCached                      // only-if-cached, and it was not
	UnsupportedUpgrade             // the endpoint answered an upgrade wrongly
	kinds                          // how many there are
)

// table is the one place that says how the proxy says no.
var table = [kinds]struct {
	code   string // in the log, the metric and the problem
	status int    // RFC 9110, section 15
	grpc   int    // grpc/doc/statuscodes.md
	token  string // Proxy-Status error type, RFC 9209, section 2.3
	text   string
}{
	Internal:           {"internal", 500, 13, "proxy_internal_error", "The proxy failed."},
	Malformed:          {"malformed", 400, 13, "http_request_error", "The request is malformed."},
	Unauthenticated:    {"unauthenticated", 401, 16, "http_request_denied", "Authentication is required."},
	Denied:             {"denied", 403, 7, "http_request_denied", "The request is not allowed."},
	NoRoute:            {"no_route", 404, 12, "destination_not_found", "No route matches the request."},
	MethodNotAllowed:   {"method_not_allowed", 405, 12, "http_request_denied", "The method is not allowed here."},
	RequestTimeout:     {"request_timeout", 408, 4, "http_request_error", "The request came too slowly."},
	BodyTooLarge:       {"body_too_large", 413, 8, "http_request_error", "The request body is too large."},
	URITooLong:         {"uri_too_long", 414, 13, "http_request_error", "The request target is too long."},
	HeaderTooLarge:     {"header_too_large", 431, 8, "http_request_error", "The request header is too large."},
	Limited:            {"limited", 429, 8, "http_request_denied", "Too many requests."},
	ClientGone:         {"client_gone", 499, 1, "http_request_error", "The client went away."},
	AuthFailed:         {"auth_failed", 500, 14, "proxy_internal_error", "Auth validation failed"},
	NoEndpoints:        {"no_endpoints", 503, 14, "destination_unavailable", "The service has no endpoint available."},
	BreakerOpen:        {"breaker_open", 503, 14, "destination_unavailable", "The service's circuit breaker is open."},
	Overflow:           {"overflow", 503, 14, "connection_limit_reached", "The service has too many requests waiting."},
	Shed:               {"shed", 503, 14, "proxy_internal_response", "Too many requests in flight."},
	Draining:           {"draining", 503, 14, "proxy_internal_response", "The proxy is shutting down."},
	Refused:            {"refused", 502, 14, "connection_refused", "The endpoint refused the connection."},
	ConnectTimeout:     {"connect_timeout", 504, 14, "connection_timeout", "The endpoint could not be reached in time."},
	Unreachable:        {"unreachable", 502, 14, "destination_ip_unroutable", "The endpoint could not be reached."},
	TLSFailed:          {"tls_failed", 502, 14, "tls_protocol_error", "The TLS handshake with the endpoint failed."},
	TLSCertificate:     {"tls_certificate", 502, 14, "tls_certificate_error", "The endpoint's certificate is not valid."},
	Reset:              {"reset", 502, 14, "connection_terminated", "The endpoint closed the connection before it had answered."},
	ResponseTimeout:    {"response_timeout", 504, 4, "http_response_timeout", "The service did not answer in time."},
	PerTryTimeout:      {"per_try_timeout", 504, 4, "http_response_timeout", "The endpoint did not answer in time."},
	IdleTimeout:        {"idle_timeout", 504, 4, "connection_read_timeout", "The endpoint stopped sending."},
	BadResponse:        {"bad_response", 502, 14, "http_protocol_error", "The endpoint's answer is not valid HTTP."},
	ResponseTooLarge:   {"response_too_large", 502, 14, "http_response_header_section_size", "The endpoint's response header is too large."},
	Loop:               {"loop", 508, 13, "proxy_loop_detected", "The request has passed this proxy before."},
	NotCached:          {"not_cached", 504, 14, "proxy_internal_response", "The answer is not in the cache, and the request wants no other."},
	UnsupportedUpgrade: {"upgrade_failed", 502, 14, "http_upgrade_failed", "The endpoint did not upgrade the connection properly."},
}

// Kinds returns every kind, for tests and for resolving counters once.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

func (k Kind) row() int {
	if k < 0 || k >= kinds {
		return int(Internal)
	}
	return int(k)
}

// Code returns the word for this kind in logs, metrics and problem documents.
func (k Kind) Code() string { return table[k.row()].code }

// Status returns the HTTP status.
func (k Kind) Status() int { return table[k.row()].status }

// GRPC returns the gRPC status code.
func (k Kind) GRPC() int { return table[k.row()].grpc }

// Token returns the Proxy-Status error type (RFC 9209, section 2.3).
func (k Kind) Token() string { return table[k.row()].token }

// Text returns the sentence a client reads where the Fault has none of its own.
func (k Kind) Text() string { return table[k.row()].text }

// String returns the code.
func (k Kind) String() string { return k.Code() }
