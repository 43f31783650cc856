package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

const (
	strayFor   = time.Second // for which a connection waits for the engine of its protocol
	manyStrays = 128         // no more wait
	minds      = 8           // engines that one request is given to before it fails
)

// errOther says that a connection speaks the other engine's protocol. Nothing has been
// sent.
var errOther = errors.New("the handshake agreed on the other protocol")

// negotiated meets an https endpoint by HTTP/2 or HTTP/1.1, as the handshake of each
// connection agrees. Both engines connect by way of it, and offer both protocols: one
// that gets a connection of the other protocol leaves it to the other engine, to which
// the request goes as well. What the last handshake said is where the next request is
// given to first, so that an endpoint may change its mind at any time.
type negotiated struct {
	endpoint     mesh.Endpoint
	dial         *dialer
	http1, http2 engine
	old          atomic.Bool // the last handshake agreed on HTTP/1.1

	mu     sync.Mutex // protects strays
	strays []*stray
}

// stray is a connection that came to the wrong engine.
type stray struct {
	conn  *tls.Conn
	http2 bool
	timer *time.Timer // closes it where nobody comes for it
}

func newNegotiated(dial *dialer) *negotiated {
	n := &negotiated{endpoint: dial.endpoint, dial: dial}
	n.http1 = newHTTP1(dial.endpoint.Address, func(ctx context.Context) (net.Conn, error) { return n.connect(ctx, false) })
	n.http2 = newHTTP2(dial.endpoint.Address, func(ctx context.Context) (net.Conn, error) { return n.connect(ctx, true) }, false)
	return n
}

// RoundTrip sends req by the protocol that the endpoint speaks.
func (n *negotiated) RoundTrip(req *http.Request) (*http.Response, error) {
	old := n.old.Load()
	for range minds {
		via := n.http2
		if old {
			via = n.http1
		}
		resp, err := via.RoundTrip(req)
		if err == nil || !errors.Is(err, errOther) {
			return resp, err
		}
		if err := rewind(req); err != nil {
			return nil, mesh.AsFault(err)
		}
		old = !old
	}
	return nil, n.dial.fault(mesh.TLSFailed, errors.New("each handshake agrees on another protocol than the one before"))
}

// rewind gives req its body anew: net/http closes that of a request which it cannot send.
func rewind(req *http.Request) error {
	body, ok := req.Body.(*uploadReader)
	if !ok { // nothing, or whole, of which net/http has a copy
		return nil
	}
	again, err := body.upload.open(body.trailer)
	if err != nil {
		return err
	}
	req.Body = again
	return nil
}

// connect makes a connection for one of the engines.
func (n *negotiated) connect(ctx context.Context, http2 bool) (net.Conn, error) {
	if c := n.take(http2); c != nil {
		return c, nil
	}
	c, err := n.dial.secure(ctx, "h2", "http/1.1")
	if err != nil {
		return nil, err
	}
	agreed := c.ConnectionState().NegotiatedProtocol == "h2"
	n.old.Store(!agreed)
	if agreed == http2 {
		return c, nil
	}
	n.leave(c, agreed)
	return nil, n.dial.fault(mesh.Internal, errOther)
}

// leave leaves c to the engine of its protocol.
func (n *negotiated) leave(c *tls.Conn, http2 bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.strays) >= manyStrays {
		_ = c.Close()
		return
	}
	s := &stray{conn: c, http2: http2}
	s.timer = time.AfterFunc(strayFor, func() { n.expire(s) })
	n.strays = append(n.strays, s)
}

// take returns a connection that was left to this engine, nil where there is none.
func (n *negotiated) take(http2 bool) *tls.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, s := range n.strays {
		if s.http2 == http2 {
			n.remove(i)
			return s.conn
		}
	}
	return nil
}

// expire closes s, for which nobody has come.
func (n *negotiated) expire(s *stray) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.strays {
		if n.strays[i] == s {
			n.remove(i)
			_ = s.conn.Close()
			return
		}
	}
}

// remove forgets stray i. n.mu is held.
func (n *negotiated) remove(i int) {
	n.strays[i].timer.Stop()
	n.strays = append(n.strays[:i], n.strays[i+1:]...)
}

// CloseIdleConnections closes what no request uses.
func (n *negotiated) CloseIdleConnections() {
	n.http1.CloseIdleConnections()
	n.http2.CloseIdleConnections()
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.strays) > 0 {
		c := n.strays[0].conn
		n.remove(0)
		_ = c.Close()
	}
}
