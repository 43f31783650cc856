package door

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Settings are what cannot change in a running http.Server.
type Settings struct {
	HeaderBytes       int           // zero: what net/http has
	ReadHeaderTimeout time.Duration // zero: none
	IdleTimeout       time.Duration // of a connection between two requests; zero: ReadHeaderTimeout
	TLS               *tls.Config   // of every connection; nil: plain
	Mesh              *tls.Config   // of those that speak TLS among others; nil: not looked for
	Plain             bool          // beside Mesh: the others are welcome too
}

// room is one http.Server, with the settings that it was opened with.
type room struct {
	settings Settings
	server   *http.Server
	feed     *feed
	open     atomic.Int64  // connections inside
	done     chan struct{} // closed when the server takes no more connections
}

func (d *Door) newRoom(s Settings, handler http.Handler) *room {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC clients without TLS speak HTTP/2 by prior knowledge
	r := &room{settings: s, feed: newFeed(), done: make(chan struct{})}
	r.server = &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		MaxHeaderBytes:    s.HeaderBytes,
		ReadHeaderTimeout: s.ReadHeaderTimeout,
		IdleTimeout:       s.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(d.cfg.Log.Handler(), slog.LevelDebug),
		ConnState:         r.count,
		BaseContext:       func(net.Listener) context.Context { return d.life }, // ends upgraded connections too

		DisableGeneralOptionsHandler: true, // OPTIONS * is counted, limited and logged like the rest
	}
	// The mesh's connections have their handshake ahead of them; net/http does it, and
	// looks here for the protocols.
	r.server.TLSConfig = cmp.Or(s.TLS, s.Mesh)
	return r
}

func (r *room) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		r.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		r.open.Add(-1)
	case http.StateActive, http.StateIdle: // still inside
	}
}

// empty reports whether nobody is inside, and nobody can enter any more.
func (r *room) empty() bool {
	select {
	case <-r.done: // before, somebody may have been let in who is not counted yet
		return r.open.Load() == 0
	default:
		return false
	}
}

func (r *room) serve() {
	defer close(r.done)
	if r.settings.TLS != nil {
		_ = r.server.ServeTLS(r.feed, "", "") // ends when the feed or the server is closed, and only then
		return
	}
	_ = r.server.Serve(r.feed)
}

// lastWord is how long requests that outlast the grace have to tell their clients so.
const lastWord = 500 * time.Millisecond

// close waits until nobody is inside, for as long as ctx allows; then it has cut end
// the requests that are left, and after a last word the connections.
func (r *room) close(ctx context.Context, cut func()) error {
	err := r.server.Shutdown(ctx)
	if err != nil {
		cut()
		word, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
		defer cancel()
		if r.server.Shutdown(word) != nil {
			_ = r.server.Close() // the connections are gone either way
		}
	}
	_ = r.feed.Close() // never fails
	<-r.done
	return err
}
