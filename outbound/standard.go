package outbound

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	pingAfter   = 15 * time.Second // of silence, a connection is asked whether it lives
	pingTimeout = 5 * time.Second
	stuckWrite  = 30 * time.Second // after which a connection is given up
)

// standard is the engine for HTTP/2, which is net/http's.
type standard struct {
	*http.Transport
	address string
	guess   bool // as exchange's
}

// newHTTP2 returns the engine for HTTP/2 with the endpoint at address, which is the
// protocol of all connections that dial makes; guess as exchange's.
func newHTTP2(address string, dial connect, guess bool) engine {
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	s := &standard{address: address, guess: guess, Transport: &http.Transport{ // without a proxy of the environment
		DialContext:            connect,
		DialTLSContext:         connect,
		DisableCompression:     true, // what the client asked for is what it gets
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleConnection,
		ExpectContinueTimeout:  continueAfter,
		MaxResponseHeaderBytes: maxHead,
		Protocols:              new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  pingAfter,
			PingTimeout:      pingTimeout,
			WriteByteTimeout: stuckWrite,
		},
	}}
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// RoundTrip sends req.
func (s *standard) RoundTrip(req *http.Request) (*http.Response, error) {
	x := newExchange(s.address, req)
	x.guess = s.guess
	return x.run(s.Transport)
}
