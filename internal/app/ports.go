package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"outrider/internal/admin"
	"outrider/internal/config"
)

// maxSide bounds the connections to each side port: limits.connections does not count
// them, and who can reach the probe port must not take all file descriptors.
const maxSide = 256

func bounded(ln net.Listener) net.Listener { return netutil.LimitListener(ln, maxSide) }

// sidePorts are the admin and the probe listener: small, and never part of a drain.
type sidePorts struct {
	listeners []net.Listener
	servers   []*http.Server
	done      sync.WaitGroup
}

// listen opens every port of the configuration, or none.
func (p *Proxy) listen(ctx context.Context, cfg *config.Config) (*sidePorts, error) {
	if err := p.openEntrances(ctx, cfg); err != nil {
		return nil, err
	}
	side := &sidePorts{}
	for _, port := range []struct {
		key, addr string
		where     *string
		handler   http.Handler
		takes     time.Duration // a request, at most; zero: as long as a profile
	}{
		{"admin.listen", cfg.Admin.Listen, &p.where.Admin, p.admin(), 0},
		{"probe.listen", cfg.Probe.Listen, &p.where.Probe, admin.Probe(p.adminConfig(nil)), 30 * time.Second},
	} {
		if port.addr == "" {
			continue
		}
		ln, err := open(ctx, port.key, port.addr)
		if err != nil {
			p.shut()
			side.close()
			return nil, err
		}
		*port.where = ln.Addr().String()
		side.listeners = append(side.listeners, bounded(ln))
		side.servers = append(side.servers, &http.Server{
			Handler:           port.handler,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       port.takes,
			WriteTimeout:      port.takes,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
		})
	}
	return side, nil
}

// admin is the admin port, which asks for a token as long as the configuration in use
// names a file for it.
// Before there is one it tells only that.
func (p *Proxy) admin() http.Handler {
	whole := p.adminConfig(nil)
	starting := admin.Probe(admin.Config{Version: whole.Version, Live: whole.Live, Ready: whole.Ready, Log: whole.Log})
	open, guarded := admin.New(whole), admin.New(p.adminConfig(p.token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch g := p.current.Load(); {
		case g == nil:
			starting.ServeHTTP(w, r)
		case g.cfg.Admin.TokenFile == "":
			open.ServeHTTP(w, r)
		default:
			guarded.ServeHTTP(w, r)
		}
	})
}

// adminConfig is what the admin and probe ports show.
func (p *Proxy) adminConfig(token func() string) admin.Config {
	return admin.Config{
		Token:     token,
		Version:   p.o.Version,
		Live:      func() error { return nil },
		Ready:     p.ready,
		Metrics:   p.tel.Handler(),
		Config:    func() any { return p.current.Load().cfg.Redacted() },
		Services:  p.adminServices,
		Explain:   p.Explain,
		Why:       p.Why,
		Level:     p.o.Level,
		Reload:    p.Reload,
		Leave:     p.Leave,
		Drain:     p.Drain,
		Log:       p.log,
		Started:   p.began,
		Listeners: p.where.list,
		LastReload: func() admin.Reload {
			if last := p.lastReload.Load(); last != nil {
				return *last
			}
			return admin.Reload{}
		},
	}
}

// token returns what the admin port asks for: read anew at each use, so that it can
// be rotated. A file that is unreadable or empty gives "", which nobody has.
func (p *Proxy) token() string {
	file := p.current.Load().cfg.Admin.TokenFile
	b, err := os.ReadFile(file)
	token := strings.TrimSpace(string(b))
	if err == nil && token == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		p.log.Warn("admin.token_file gives no token, nobody is let in", "file", file, "error", err)
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
