package app

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"outrider/internal/config"
	"outrider/internal/mesh"
	"outrider/outbound"
)

// appState is what is known of an app's health.
type appState struct {
	once     sync.Once              // closes answered
	answered chan struct{}          // closed at the first answer to a check, a failure too
	passed   atomic.Bool            // a check has passed at least once
	note     atomic.Pointer[string] // why it is not well; nil: it is
}

// wellness returns whether the app may get requests, and why not in one line.
func (s *appState) wellness() (bool, string) {
	if note := s.note.Load(); note != nil {
		return false, *note
	}
	if !s.passed.Load() {
		return false, "the app has not answered yet"
	}
	return true, ""
}

// wellness is that of the app in use: a reload may name another.
func (p *Proxy) wellness() (bool, string) { return p.current.Load().app.state.wellness() }

// newApp reaches the app and watches its health.
func (p *Proxy) newApp(c *config.Service, addr string) (*service, error) {
	state := &appState{answered: make(chan struct{})}
	s, err := p.newService(c, func(o *outbound.Config) {
		if o.HealthCheck == nil {
			o.HealthCheck, o.Probe = healthCheck(&appCheck), connects
		}
		o.Events.Probed = func(_ mesh.Service, note string) {
			if note == "" && !state.passed.Swap(true) {
				p.warnExposed(addr) // not before: one that has yet to start listens nowhere
				p.beat()
			}
			state.once.Do(func() { close(state.answered) })
		}
		o.Log = nil // of one endpoint there is nothing to tell but its health, which is told in the app's own words
		changed := o.Events.Health
		o.Events.Health = func(s mesh.Service, e mesh.Endpoint) {
			changed(s, e)
			if e.Unhealthy {
				note := e.HealthNote
				state.note.Store(&note)
				p.log.Warn("the app is unhealthy", "app", addr, "note", note)
			} else {
				state.note.Store(nil)
				p.log.Info("the app is healthy again", "app", addr)
			}
			p.beat()
		}
	})
	if err != nil {
		return nil, err
	}
	s.state = state
	return s, nil
}

// connects probes an app that has no health check: it is well while it accepts
// connections.
func connects(ctx context.Context, e mesh.Endpoint, _ string) (int, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", e.Address)
	if err != nil {
		return 0, err
	}
	c.Close()
	return http.StatusOK, nil
}
