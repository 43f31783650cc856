package outbound

import (
	"context"
	"net"
	"net/http"
	"time"
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

// standard is an engine of net/http's.
type standard struct {
	*http.Transport
	address string
	guess   bool // as exchange's
}

// newHTTP1 returns the engine for HTTP/1.1 with the endpoint at address.
func newHTTP1(address string, dial connect) engine {
	s := newStandard(address, dial)
	s.Protocols.SetHTTP1(true)
	return s
}

// newHTTP2 returns the engine for HTTP/2 with the endpoint at address, which is the
// protocol of all connections that dial makes; guess as exchange's.
func newHTTP2(address string, dial connect, guess bool) engine {
	s := newStandard(address, dial)
	s.guess = guess
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// newStandard returns what the engines have in common. A proxy of the environment is not
// used: Proxy is nil.
func newStandard(address string, dial connect) *standard {
	over := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return &standard{address: address, Transport: &http.Transport{
		DialContext:            over,
		DialTLSContext:         over,
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
	}}
}

// RoundTrip sends req.
func (s *standard) RoundTrip(req *http.Request) (*http.Response, error) {
	x := newExchange(s.address, req)
	x.guess = s.guess
	return x.run(s.Transport)
}
