package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"outrider/internal/admin"
	"outrider/internal/config"
	"outrider/internal/watch"
)

// adopt builds a generation from cfg, starts what is new in it, waits for its
// endpoints, swaps it in and stops what is no longer there. On an error nothing new is
// left running.
func (p *Proxy) adopt(cfg *config.Config) error {
	last := p.current.Load()
	next, err := p.build(cfg, last)
	if err != nil {
		return err
	}
	if last != nil {
		if err := next.rereadCertificates(last); err != nil {
			next.end(last)
			return err
		}
	}
	for key, s := range next.services {
		if last == nil || last.services[key] == nil {
			p.start(s)
		}
	}
	// Before the swap: a request must never meet a service whose endpoints are still being looked up.
	next.settle(p.taking, last)
	if last != nil && p.taking.Err() != nil { // the drain is better served by what runs
		next.end(last)
		return errDraining
	}
	p.swap(last, next)
	return nil
}

// swap makes next what is in use.
func (p *Proxy) swap(last, next *generation) {
	p.setLevel(next.cfg.Logging.Level)
	p.setAccessLog(next.cfg.Logging.Access)
	p.current.Store(next)
	for _, e := range p.entrances {
		e.door.Limit(next.cfg.Limits.Connections)
		e.door.Enter(next.settings(e.key), e)
	}
	for _, w := range next.cfg.Warnings() {
		p.log.Warn("configuration", "warning", w.String())
	}
	if last == nil {
		return
	}
	if missing := next.missing(); len(missing) > 0 {
		p.log.Warn("the new configuration is in use, though not everything in it is known yet", "missing", missing)
	}
	p.enrolAnew(next.cfg)
	p.running.Go(func() { p.retire(last, next) })
}

// retire waits until last has no request left, for as long as its grace, and stops
// what next did not take over: a retry of a request that began before the reload
// still needs it.
func (p *Proxy) retire(last, next *generation) {
	defer close(last.over)
	grace, cancel := context.WithTimeout(p.life, last.cfg.Shutdown.Grace)
	defer cancel()
	last.wait(grace) // for those before it too: what stops here may have come from there
	last.end(next)
}

// Reload reads the configuration anew and adopts it. On an error, which is logged and
// counted, everything stays as it was.
func (p *Proxy) Reload(ctx context.Context) error {
	p.reloads.Lock()
	defer p.reloads.Unlock()
	err := p.reload(ctx)
	p.tel.Reload(err == nil)
	result := admin.Reload{At: time.Now()}
	if err != nil {
		result.Error = err.Error()
	}
	p.lastReload.Store(&result)
	if err != nil {
		p.log.Error("the configuration was refused, the old one stays", "error", err.Error())
		return err
	}
	p.log.Info("the configuration was reloaded")
	return nil
}

var (
	errStarting = errors.New("the proxy is starting")
	errDraining = errors.New("the proxy is draining")
	errFixed    = errors.New("the configuration cannot be read again")
)

func (p *Proxy) reload(ctx context.Context) error {
	old := p.current.Load()
	switch {
	case old == nil:
		return errStarting
	case p.draining.Load():
		return errDraining
	case p.o.Load == nil:
		return errFixed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	next, err := p.o.Load()
	if err != nil {
		return err
	}
	if fixed := config.Immutable(old.cfg, next); len(fixed) > 0 {
		return config.Problems(fixed)
	}
	return p.adopt(next)
}

// keepFresh reloads whenever a file has changed or a hangup asks, until ctx ends.
func (p *Proxy) keepFresh(ctx context.Context) {
	for ctx.Err() == nil {
		p.watchOnce(ctx)
	}
}

// watchOnce watches the files of the current generation until a reload may have
// changed which they are.
func (p *Proxy) watchOnce(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	files := p.current.Load().cfg.Files()
	changed := make(chan struct{}, 1)
	var watching sync.WaitGroup
	watching.Go(func() { p.watch(ctx, files, changed) })
	defer func() { cancel(); watching.Wait() }()

	look := time.NewTimer(time.Second) // by then the watch has begun
	defer look.Stop()
	seen := ""
	for slices.Equal(files, p.current.Load().cfg.Files()) {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			now := p.unlike()
			if now != seen { // and if it is being written, the watch will tell
				seen = now
				look.Reset(time.Second)
				continue
			}
			if now == "" {
				continue
			}
		case <-changed:
			look.Stop() // all is read again, under the watch
		case <-p.o.Hangup:
		}
		_ = p.Reload(ctx) // logged and counted there
	}
}

// watch passes on that one of the files has changed.
func (p *Proxy) watch(ctx context.Context, files []string, changed chan<- struct{}) {
	err := watch.Files(ctx, files, func() {
		select {
		case changed <- struct{}{}:
		default: // a change is waiting already
		}
	})
	if ctx.Err() == nil {
		p.log.Error("files are not watched, SIGHUP still reloads", "error", err)
	}
}

// unlike returns what the files say where that is not what is in use, and else "":
// what changed after they were read and before the watch began, no watch can tell.
// Certificates that have changed are in use at once.
func (p *Proxy) unlike() string {
	if p.o.Load == nil {
		return ""
	}
	g := p.current.Load()
	next, err := p.o.Load()
	if err == nil {
		err = g.rereadCertificates(g)
	}
	if err != nil {
		return err.Error()
	}
	if now := keyOf(next); now != keyOf(g.cfg) {
		return now
	}
	return ""
}

// start runs a service until it is stopped or life ends.
func (p *Proxy) start(s *service) {
	ctx, cancel := context.WithCancel(p.life)
	s.stop = cancel
	p.running.Go(func() {
		defer cancel()
		if err := s.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("a service is no longer watched", "service", s.name, "error", err)
		}
	})
}
