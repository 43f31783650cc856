package http1

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// Handler answers the requests of a Server. It knows nothing of sockets.
type Handler interface {
	// Handle answers req, whose Call is mesh.From(req). It returns the response to
	// send, and the error that the call ends with where that tells of one. A nil
	// response cuts the connection. The server frames the response by its
	// ContentLength, Trailer and Close alone, closes its Body and ends the Call.
	Handle(req *http.Request) (*http.Response, error)

	// Refuse answers what is no request, or may not be read on, as fault says. Of req
	// only what was understood is set; Method is "" where nothing was.
	Refuse(req *http.Request, fault *mesh.Fault) (*http.Response, error)

	// Fail returns the Fault that the call of req ends with where err cut the
	// response's body short after its head.
	Fail(req *http.Request, err error) *mesh.Fault
}

// ServerConfig is what a Server needs. Durations: zero means what is said there, a
// negative one none at all.
type ServerConfig struct {
	// Handler answers the requests. It is required.
	Handler Handler

	// HeaderBytes bounds a request's head. Zero means 64 KiB.
	HeaderBytes int

	// StartBytes bounds the request line. Zero means HeaderBytes.
	StartBytes int

	// LineBytes bounds each field line. Zero means HeaderBytes.
	LineBytes int

	// Fields bounds the number of field lines. Zero means 1000.
	Fields int

	// ReadHeaderTimeout is how long a head may take from its first byte. It bounds the
	// wait for the first request of a connection as well. Zero means 10s.
	ReadHeaderTimeout time.Duration

	// IdleTimeout closes a connection between two requests. Zero means 1m.
	IdleTimeout time.Duration

	// BodyTimeout is how long a request's body may stand still while it is waited for.
	// A body that announces its length must come at 128 bytes a second beyond that, so
	// that a client cannot hold on by a byte now and then. Zero means 1m.
	BodyTimeout time.Duration

	// StallTimeout cuts off a client that accepts no byte for this long, or at most
	// half as long again; the call's deadline does in any case. In a tunnel it is how
	// long the second direction may stand still once the first has ended. Zero means 1m.
	StallTimeout time.Duration

	// HTTP2, where set, is given connections that begin with HTTP/2's preface. They are
	// its to close, and Serve returns when it does.
	HTTP2 func(net.Conn)

	// Log gets the stack traces of panics. Nil discards.
	Log *slog.Logger
}

// Server serves client connections.
type Server struct {
	cfg    ServerConfig
	limits limits
	handle func(*http.Request) (*http.Response, error) // the Handler's, made once
	works  sync.Pool                                   // of *work
	outs   sync.Pool                                   // of *[outBytes]byte
	taken  atomic.Int64                                // works in use
	date   atomic.Pointer[date]

	draining atomic.Bool

	mu      sync.Mutex // protects all below
	closed  bool
	clients map[*client]struct{}
	waited  int           // of them, those that Shutdown waits for
	empty   chan struct{} // closed when there are none; nil while nobody waits
	sweeper *sweeper      // while there are clients
}

// NewServer returns a Server. It panics where c.Handler is nil.
func NewServer(c ServerConfig) *Server {
	if c.Handler == nil {
		panic("http1: ServerConfig.Handler is nil")
	}
	if c.HeaderBytes <= 0 {
		c.HeaderBytes = 64 << 10
	}
	if c.StartBytes <= 0 {
		c.StartBytes = c.HeaderBytes
	}
	if c.LineBytes <= 0 {
		c.LineBytes = c.HeaderBytes
	}
	if c.Fields <= 0 {
		c.Fields = 1000
	}
	c.ReadHeaderTimeout = orDefault(c.ReadHeaderTimeout, 10*time.Second)
	c.IdleTimeout = orDefault(c.IdleTimeout, time.Minute)
	c.BodyTimeout = orDefault(c.BodyTimeout, time.Minute)
	c.StallTimeout = orDefault(c.StallTimeout, time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: c, clients: make(map[*client]struct{})}
	s.handle = c.Handler.Handle
	s.limits = limits{head: c.HeaderBytes, start: c.StartBytes, line: c.LineBytes, fields: c.Fields}
	s.works.New = func() any { return new(work) }
	s.outs.New = func() any { return new([outBytes]byte) }
	return s
}

// orDefault returns d with its default; 0 for none.
func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return max(d, 0)
}

// Serve serves one connection, in the caller's goroutine, until it has ended; then it
// is closed. A TLS connection must have shaken hands. When life ends, the Call of the
// request in progress is cancelled: with the Fault in life's cause, or else one of kind
// Draining.
func (s *Server) Serve(life context.Context, conn net.Conn) {
	c := newClient(life, s, conn)
	if !s.enter(c) {
		_ = conn.Close()
		return
	}
	defer s.leave(c)
	defer context.AfterFunc(life, c.perish)()
	c.serve()
}

// enter reports whether c may be served.
func (s *Server) enter(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.draining.Load() {
		return false
	}
	s.clients[c] = struct{}{}
	s.waited++
	if s.sweeper == nil {
		s.sweeper = newSweeper()
		go s.sweeper.run(s)
	}
	return true
}

// leave forgets c. The last to leave stops the sweeper, and waits for it.
func (s *Server) leave(c *client) {
	s.unawait(c)
	s.mu.Lock()
	delete(s.clients, c)
	var last *sweeper
	if len(s.clients) == 0 {
		last, s.sweeper = s.sweeper, nil
	}
	s.mu.Unlock()
	if last != nil {
		last.stop()
	}
}

// unawait lets Shutdown wait for c no longer: it has gone, or has become a tunnel.
func (s *Server) unawait(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.unawaited {
		return
	}
	c.unawaited = true
	s.waited--
	if s.waited == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// Drain closes idle connections at once, and each other one after the answer that it
// waits for. New ones are not served.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.each((*client).retire)
}

// Shutdown drains, and waits until no connection is left but tunnels, which end with
// their life. Its error is ctx's cause.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	if s.waited == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close cuts all connections. It does not wait for them.
func (s *Server) Close() {
	s.draining.Store(true)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.each((*client).sever)
}

// each calls f with every client.
func (s *Server) each(f func(*client)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		f(c)
	}
}
