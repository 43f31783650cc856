package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"outrider/internal/admin"
	"outrider/internal/config"
)

// sidePorts are the admin and the probe listener: small, and never part of a drain.
type sidePorts struct {
	listeners []net.Listener
	servers   []*http.Server
	done      sync.WaitGroup
}

// listen opens every port of the configuration, or none.
func (in *Ingress) listen(ctx context.Context, cfg *config.Config) (*sidePorts, error) {
	side := &sidePorts{}
	ln, err := open(ctx, "server.port", serverAddress(cfg.Server))
	if err != nil {
		return nil, err
	}
	in.door = newDoor(in.life, ln, cfg.Limits.Connections, in.log)
	in.where.Server = ln.Addr().String()

	for _, p := range []struct {
		key, addr string
		where     *string
		handler   http.Handler
	}{
		{"admin.listen", cfg.Admin.Listen, &in.where.Admin, in.admin()},
		{"probe.listen", cfg.Probe.Listen, &in.where.Probe, admin.Probe(in.adminConfig(nil))},
	} {
		if p.addr == "" {
			continue
		}
		ln, err := open(ctx, p.key, p.addr)
		if err != nil {
			in.door.ln.Close()
			side.close()
			return nil, err
		}
		*p.where = ln.Addr().String()
		side.listeners = append(side.listeners, ln)
		side.servers = append(side.servers, &http.Server{
			Handler:           p.handler,
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
		})
	}
	return side, nil
}

// open listens, and where it cannot says which key is to be changed.
func open(ctx context.Context, key, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is taken by another process: stop it, or choose another port", key, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", key, addr, err)
	}
	return ln, nil
}

// admin is the admin port, which asks for a token as long as the configuration in use
// names a file for it.
func (in *Ingress) admin() http.Handler {
	open, guarded := admin.New(in.adminConfig(nil)), admin.New(in.adminConfig(in.token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if in.current.Load().cfg.Admin.TokenFile == "" {
			open.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// token returns what the admin port asks for: read anew at each use, so that it can
// be rotated. A file that is unreadable or empty gives "", which nobody has.
func (in *Ingress) token() string {
	file := in.current.Load().cfg.Admin.TokenFile
	b, err := os.ReadFile(file)
	token := strings.TrimSpace(string(b))
	if err == nil && token == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		in.log.Warn("admin.token_file gives no token, nobody is let in", "file", file, "error", err)
		return ""
	}
	return token
}

// serve begins; a server that fails says so.
func (s *sidePorts) serve(failed chan<- error) {
	for i, srv := range s.servers {
		s.done.Go(func() {
			if err := srv.Serve(s.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
}

// close drops everything at once and waits.
func (s *sidePorts) close() {
	for _, srv := range s.servers {
		_ = srv.Close() // the listener may be closed already
	}
	for _, ln := range s.listeners {
		ln.Close()
	}
	s.done.Wait()
}
