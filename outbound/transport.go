package outbound

import (
	"net/http"
	"time"

	"outrider/internal/mesh"
)

const (
	maxHead         = 256 << 10        // bytes of a response's head
	maxInterim      = 32               // 1xx responses before the answer
	idleConnection  = 90 * time.Second // until an unused connection is closed
	idleConnections = 1024             // kept per endpoint; what is in flight is bounded above
	pingAfter       = 15 * time.Second // of silence, an HTTP/2 connection is asked whether it lives
	pingTimeout     = 5 * time.Second
	stuckWrite      = 30 * time.Second // after which an HTTP/2 connection is given up
	bufferSize      = 4 << 10          // per direction and HTTP/1.1 connection
)

// Where the Host field of a request comes from; anything else is a literal.
const (
	HostPreserve = "preserve" // the client's or, where it sent none, the service's; the default
	HostService  = "service"  // the endpoint's configured authority
)

// transport carries requests to one endpoint over net/http's transports. There are
// two of them, because one connection speaks one protocol: https offers HTTP/1.1 and
// HTTP/2, h2c speaks HTTP/2, and an upgrade needs HTTP/1.1 whatever the scheme.
type transport struct {
	endpoint mesh.Endpoint
	host     string // as Config.Host
	plain    bool   // scheme http: HTTP/2 only for gRPC, whose servers speak nothing else
	http1    *http.Transport
	http2    *http.Transport
}

// newTransport returns the transport of the endpoint that dial goes to.
func newTransport(dial *dialer, host string) *transport {
	t := &transport{endpoint: dial.endpoint, host: host, plain: dial.endpoint.Scheme == "http"}
	t.http1, t.http2 = engine(dial), engine(dial)
	t.http1.Protocols.SetHTTP1(true)
	t.http1.DialTLSContext = dial.secure("http/1.1")
	if dial.endpoint.Scheme == "https" {
		t.http2.Protocols.SetHTTP1(true)
		t.http2.Protocols.SetHTTP2(true)
		t.http2.DialTLSContext = dial.secure("h2", "http/1.1")
	} else {
		t.http2.Protocols.SetUnencryptedHTTP2(true)
		t.http2.DialContext = dial.prior
	}
	return t
}

// engine returns what the transports have in common. A proxy of the environment is
// not used: Proxy is nil.
func engine(dial *dialer) *http.Transport {
	return &http.Transport{
		DialContext:            dial.plain,
		DisableCompression:     true, // what the client asked for is what it gets
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleConnection,
		ExpectContinueTimeout:  continueAfter,
		MaxResponseHeaderBytes: maxHead,
		WriteBufferSize:        bufferSize,
		ReadBufferSize:         bufferSize,
		Protocols:              new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  pingAfter,
			PingTimeout:      pingTimeout,
			WriteByteTimeout: stuckWrite,
		},
	}
}

// RoundTrip sends req, which it edits. Its errors are Faults.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch t.host {
	case "", HostPreserve:
	case HostService:
		req.Host = t.endpoint.Host
	default:
		req.Host = t.host
	}
	if req.Host == "" { // HTTP/1.0: else net/http sends the address
		req.Host = t.endpoint.Host
	}
	req.RequestURI = ""
	via := t.choose(req)
	x := newExchange(t.endpoint.Address, req)
	x.guess = t.plain && via == t.http2
	return x.run(via)
}

// choose returns the transport for req.
func (t *transport) choose(req *http.Request) *http.Transport {
	switch {
	case req.Header.Get("Upgrade") != "":
		return t.http1
	case t.plain && (req.ProtoMajor < 2 || !isGRPC(req.Header)):
		return t.http1
	}
	return t.http2
}

// CloseIdleConnections closes what no request uses.
func (t *transport) CloseIdleConnections() {
	t.http1.CloseIdleConnections()
	t.http2.CloseIdleConnections()
}
