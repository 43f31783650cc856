package app

import (
	"context"
	"sync"
	"time"

	"outrider/discovery/consul"
	"outrider/internal/config"
)

// enrolment is this instance's place in the registry.
type enrolment struct {
	once sync.Once     // closes over
	over chan struct{} // closed when it is to leave
	done chan struct{} // closed when it has left, or never was there

	mu        sync.Mutex          // protects all below
	registrar Registrar           // nil: it is not to be there
	is        consul.Registration // what it is known by
	begun     bool                // the registrar runs, or has
}

// end has the instance leave.
func (e *enrolment) end() { e.once.Do(func() { close(e.over) }) }

// ended reports whether the instance is to leave, or has.
func (e *enrolment) ended() bool {
	select {
	case <-e.over:
		return true
	default:
		return false
	}
}

// enrol waits until the proxy is ready, and has the registrar, where there is one,
// make its service known until ctx ends.
func (p *Proxy) enrol(ctx context.Context, registrar Registrar) {
	defer close(p.enrolment.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.running.Go(func() {
		defer cancel()
		select {
		case <-p.enrolment.over:
		case <-ctx.Done():
		}
	})
	if !p.awaitReady(ctx) {
		return
	}
	if p.o.Ready != nil {
		p.o.Ready()
	}
	if registrar == nil {
		return
	}
	// Else each instance would be in the registry as ill at first, for no reason but that
	// nobody has asked its app yet.
	p.current.Load().awaitApp(ctx)
	p.enrolment.mu.Lock()
	p.enrolment.begun = true
	p.enrolment.mu.Unlock()
	if err := registrar.Run(ctx); err != nil {
		p.log.Error("the service has not left the catalogue", "error", err)
	}
}

// registrar makes what keeps this instance in the registry; nil where it is not to be
// there. Its error is that it could not be: no address to be reached at, or what the
// registry would refuse.
func (p *Proxy) registrar(cfg *config.Config) (Registrar, error) {
	e := p.enrolment
	e.mu.Lock()
	defer e.mu.Unlock()
	if cfg.Service == nil || p.registry == nil || !cfg.Consul.Register {
		return nil, nil
	}
	is, err := registration(cfg, p.where.Inbound)
	if err != nil {
		return nil, err
	}
	registrar, err := p.registry.Registrar(is, p.wellness)
	if err != nil {
		return nil, err
	}
	e.registrar, e.is = registrar, is
	return registrar, nil
}

// enrolAnew has the instance known as cfg wants it. Where it is cannot have changed.
func (p *Proxy) enrolAnew(cfg *config.Config) {
	e := p.enrolment
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.registrar == nil {
		return
	}
	e.registrar.Beat() // of another app, perhaps
	next := e.is
	describe(&next, cfg)
	if keyOf(next) == keyOf(e.is) {
		return
	}
	if err := e.registrar.Change(next); err != nil {
		p.log.Error("the service is registered as it was", "error", err)
		return
	}
	e.is = next
}

// leave waits until the registry knows that this instance has gone, and reports
// whether it was ever there. The registrar leaves by itself where what may begin anew
// has ended.
func (p *Proxy) leave(ctx context.Context) bool {
	select {
	case <-p.enrolment.done:
	case <-ctx.Done():
	}
	p.enrolment.mu.Lock()
	defer p.enrolment.mu.Unlock()
	return p.enrolment.begun
}

// beat has the registry hear of a change at once.
func (p *Proxy) beat() {
	p.enrolment.mu.Lock()
	defer p.enrolment.mu.Unlock()
	if p.enrolment.registrar != nil {
		p.enrolment.registrar.Beat()
	}
}

// registered reports whether this instance is in the registry.
func (p *Proxy) registered() bool {
	p.enrolment.mu.Lock()
	defer p.enrolment.mu.Unlock()
	return p.enrolment.registrar != nil && p.enrolment.registrar.Registered()
}

// awaitReady waits until nothing is missing, and reports false where ctx ended first.
func (p *Proxy) awaitReady(ctx context.Context) bool {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	warn := time.NewTimer(10 * time.Second)
	defer warn.Stop()
	for ctx.Err() == nil { // before all else: an app is not started to be stopped
		missing := p.ready()
		if len(missing) == 0 {
			return true
		}
		select {
		case <-ctx.Done():
		case <-warn.C:
			p.log.Warn("the proxy is not ready yet", "missing", missing)
		case <-look.C:
		}
	}
	return false
}
