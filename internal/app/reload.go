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
// endpoints, swaps it in and stops what is no longer there.
func (in *Ingress) adopt(cfg *config.Config) error {
	last := in.current.Load()
	next, err := in.build(cfg, last)
	if err != nil {
		return err
	}
	if last != nil {
		if err := next.rereadCertificates(last); err != nil {
			return err
		}
	}
	var begun []*service
	for key, s := range next.services {
		if last == nil || last.services[key] == nil {
			in.start(s)
			begun = append(begun, s)
		}
	}
	// Before the swap: a request must never meet a service whose endpoints are still being looked up.
	next.settle(in.taking)
	if last != nil && in.taking.Err() != nil { // the drain is better served by what runs
		for _, s := range begun {
			s.stop()
		}
		return errDraining
	}

	in.setLevel(cfg.Logging.Level)
	in.current.Store(next)
	in.door.gate.limit(cfg.Limits.Connections)
	in.door.enter(settingsOf(cfg.Limits, next.tls), in)
	if last != nil {
		in.running.Go(func() { in.retire(last, next) })
	}
	for _, w := range cfg.Warnings() {
		in.log.Warn("configuration", "warning", w.String())
	}
	return nil
}

// retire waits until last has no request left, for as long as its grace, and stops
// what next did not take over: a retry of a request that began before the reload
// still needs it.
func (in *Ingress) retire(last, next *generation) {
	defer close(last.over)
	grace, cancel := context.WithTimeout(in.life, last.cfg.Shutdown.Grace)
	defer cancel()
	last.wait(grace) // for those before it too: what stops here may have come from there
	for key, s := range last.services {
		if next.services[key] == nil {
			s.stop()
		}
	}
	for key, a := range last.auths {
		if next.auths[key] == nil {
			a.Close()
		}
	}
}

// Reload reads the configuration anew and adopts it. On an error, which is logged and
// counted, everything stays as it was.
func (in *Ingress) Reload(ctx context.Context) error {
	in.reloads.Lock()
	defer in.reloads.Unlock()
	err := in.reload(ctx)
	in.tel.Reload(err == nil)
	result := admin.Reload{At: time.Now()}
	if err != nil {
		result.Error = err.Error()
	}
	in.lastReload.Store(&result)
	if err != nil {
		in.log.Error("the configuration was refused, the old one stays", "error", err.Error())
		return err
	}
	in.log.Info("the configuration was reloaded")
	return nil
}

var (
	errStarting = errors.New("the proxy is starting")
	errDraining = errors.New("the proxy is draining")
	errFixed    = errors.New("the configuration cannot be read again")
)

func (in *Ingress) reload(ctx context.Context) error {
	old := in.current.Load()
	switch {
	case old == nil:
		return errStarting
	case in.draining.Load():
		return errDraining
	case in.o.Load == nil:
		return errFixed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	next, err := in.o.Load()
	if err != nil {
		return err
	}
	if fixed := config.Immutable(old.cfg, next); len(fixed) > 0 {
		return config.Problems(fixed)
	}
	return in.adopt(next)
}

// keepFresh reloads whenever a file has changed or a hangup asks, until ctx ends.
func (in *Ingress) keepFresh(ctx context.Context) {
	for ctx.Err() == nil {
		in.watchOnce(ctx)
	}
}

// watchOnce watches the files of the current generation until a reload may have
// changed which they are.
func (in *Ingress) watchOnce(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	files := in.current.Load().cfg.Files()
	changed := make(chan struct{}, 1)
	var watching sync.WaitGroup
	watching.Go(func() { in.watch(ctx, files, changed) })
	defer func() { cancel(); watching.Wait() }()

	look := time.NewTimer(time.Second) // by then the watch has begun
	defer look.Stop()
	seen := ""
	for slices.Equal(files, in.current.Load().cfg.Files()) {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			now := in.unlike()
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
		case <-in.o.Hangup:
		}
		_ = in.Reload(ctx) // logged and counted there
	}
}

// watch passes on that one of the files has changed.
func (in *Ingress) watch(ctx context.Context, files []string, changed chan<- struct{}) {
	err := watch.Files(ctx, files, func() {
		select {
		case changed <- struct{}{}:
		default: // a change is waiting already
		}
	})
	if ctx.Err() == nil {
		in.log.Error("files are not watched, SIGHUP still reloads", "error", err)
	}
}

// unlike returns what the files say where that is not what is in use, and else "":
// what changed after they were read and before the watch began, no watch can tell.
// Certificates that have changed are in use at once.
func (in *Ingress) unlike() string {
	if in.o.Load == nil {
		return ""
	}
	g := in.current.Load()
	next, err := in.o.Load()
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
func (in *Ingress) start(s *service) {
	ctx, cancel := context.WithCancel(in.life)
	s.stop = cancel
	in.running.Go(func() {
		defer cancel()
		if err := s.Run(ctx); err != nil && ctx.Err() == nil {
			in.log.Error("a service is no longer watched", "service", s.name, "error", err)
		}
	})
}
