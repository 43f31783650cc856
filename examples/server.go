package examples

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Server is a running instance.
type Server struct {
	Addr string // host:port it listens on

	http *http.Server
	done chan struct{} // closed when it no longer serves
	once sync.Once
}

// Start listens on addr and serves s until Stop, POST /quit or the end of ctx.
// Port 0 takes a free one. It fails where the address is taken.
func Start(ctx context.Context, s Service, addr string) (*Server, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	srv := &Server{Addr: ln.Addr().String(), done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("POST /quit", func(http.ResponseWriter, *http.Request) {
		srv.quit()
		panic(http.ErrAbortHandler) // a killed process says no goodbye
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Instance", s.Name)
		if via := r.Header["Via"]; via != nil {
			w.Header().Set(seenVia, strings.Join(via, ", "))
		}
		s.Handler.ServeHTTP(w, r)
	})
	srv.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, srv.quit)
	go srv.serve(ln, stop)
	return srv, nil
}

func (s *Server) serve(ln net.Listener, stop func() bool) {
	defer close(s.done)
	defer stop()
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		s.quit()
	}
}

// quit drops the listener and every connection at once.
func (s *Server) quit() { s.once.Do(func() { _ = s.http.Close() }) }

// Stop drops every connection and waits until nothing is served any more.
func (s *Server) Stop() {
	s.quit()
	<-s.done
}

// Done is closed when the instance has stopped.
func (s *Server) Done() <-chan struct{} { return s.done }
