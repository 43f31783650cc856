package door

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/internal/http1"
)

// Settings are what cannot change for a connection that is open.
type Settings struct {
	HeaderBytes       int           // of the header fields; zero: what internal/http1 has
	HeaderCount       int           // of field lines; zero: what internal/http1 has
	URIBytes          int           // of the request target; zero: HeaderBytes
	ReadHeaderTimeout time.Duration // zero: none
	IdleTimeout       time.Duration // of a connection between two requests; zero: ReadHeaderTimeout
	TLS               *tls.Config   // of every connection; nil: plain
	Mesh              *tls.Config   // of those that speak TLS among others; nil: not looked for
	Plain             bool          // beside Mesh: the others are welcome too
}

// Handler answers requests of both protocols: as an http.Handler those of HTTP/2.
type Handler interface {
	http1.Handler
	http.Handler
}

// room is a server of each protocol, with the settings that it was opened with.
type room struct {
	settings Settings
	http1    *http1.Server
	http2    *http.Server
	open     atomic.Int64 // connections inside
}

func (d *Door) newRoom(s Settings, handler Handler) *room {
	r := &room{settings: s}
	r.http1 = http1.NewServer(http1.ServerConfig{
		Handler:           handler,
		HeaderBytes:       s.headBytes(),
		StartBytes:        s.startBytes(),
		Fields:            s.fields(),
		ReadHeaderTimeout: orNone(s.ReadHeaderTimeout),
		IdleTimeout:       orNone(cmp.Or(s.IdleTimeout, s.ReadHeaderTimeout)),
		HTTP2:             r.pass,
		Log:               d.cfg.Log,
	})
	r.http2 = &http.Server{
		Handler:           handler,
		Protocols:         new(http.Protocols),
		MaxHeaderBytes:    s.HeaderBytes,
		ReadHeaderTimeout: s.ReadHeaderTimeout,
		IdleTimeout:       s.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(d.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return d.life },
		// The handshake is behind the connections that come; here net/http looks for the
		// protocols.
		TLSConfig: cmp.Or(s.TLS, s.Mesh),

		DisableGeneralOptionsHandler: true, // OPTIONS * is counted, limited and logged like the rest
	}
	r.http2.Protocols.SetHTTP2(true)
	r.http2.Protocols.SetUnencryptedHTTP2(true) // gRPC clients without TLS speak HTTP/2 by prior knowledge
	return r
}

// A server's limits are somewhat above the settings: what exceeds them by little is for
// the layers to refuse, which need not close the connection.
const (
	aboveBytes = 4 << 10
	aboveCount = 100
)

func (s *Settings) startBytes() int {
	if s.URIBytes == 0 {
		return s.HeaderBytes
	}
	return s.URIBytes + aboveBytes
}

func (s *Settings) headBytes() int {
	if s.HeaderBytes == 0 {
		return 0
	}
	return s.URIBytes + s.HeaderBytes + 2*aboveBytes
}

func (s *Settings) fields() int {
	if s.HeaderCount == 0 {
		return 0
	}
	return s.HeaderCount + aboveCount
}

// orNone returns d as internal/http1 has it, to whom zero is a default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// empty reports whether nobody is inside.
func (r *room) empty() bool { return r.open.Load() == 0 }

// pass hands a connection that speaks HTTP/2 to net/http, which serves it on a goroutine
// of its own.
func (r *room) pass(c net.Conn) {
	_ = r.http2.Serve(&once{conn: c}) // its error is once's own, or that the server is closed
}

// once is a net.Listener that accepts one connection, and is closed then.
type once struct {
	conn  net.Conn
	taken bool
}

// Accept returns the connection the first time.
func (o *once) Accept() (net.Conn, error) {
	if o.taken {
		return nil, net.ErrClosed
	}
	o.taken = true
	return o.conn, nil
}

// Close closes the connection where nobody took it: the server is closed.
func (o *once) Close() error {
	if o.taken {
		return nil
	}
	o.taken = true
	return o.conn.Close()
}

// Addr returns our end's.
func (o *once) Addr() net.Addr { return o.conn.LocalAddr() }

// lastWord is how long requests that outlast the grace have to tell their clients so.
const lastWord = 500 * time.Millisecond

// close waits until nobody is inside, for as long as ctx allows; then it has cut end
// the requests that are left, and after a last word the connections.
func (r *room) close(ctx context.Context, cut func()) error {
	err := r.shutdown(ctx)
	if err != nil {
		cut()
		word, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
		defer cancel()
		if r.shutdown(word) != nil {
			r.http1.Close()
			_ = r.http2.Close() // the connections are gone either way
		}
	}
	return err
}

// shutdown lets those inside finish, in both servers at once.
func (r *room) shutdown(ctx context.Context) error {
	second := make(chan error, 1)
	go r.shutdownHTTP2(ctx, second)
	return errors.Join(r.http1.Shutdown(ctx), <-second)
}

func (r *room) shutdownHTTP2(ctx context.Context, done chan<- error) { done <- r.http2.Shutdown(ctx) }
