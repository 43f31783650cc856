package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// farewell bounds how long a drain waits for callers to hear that this instance has
	// left the catalogue.
	farewell = 5 * time.Second
	// quiet is how long no request may have arrived until all callers have heard.
	quiet = 500 * time.Millisecond
	// parting is what the app has at least to end in, though its last requests have used
	// up the grace: told and killed in the same instant, it could save nothing.
	parting = 2 * time.Second
)

// drain finishes what is in flight, for as long as shutdown.grace, and stops. The
// order is that of what depends on what: callers leave first, then the app's last
// requests end, then the app goes, then what it calls by.
func (p *Proxy) drain(stopped error, stop, end func()) error {
	p.draining.Store(true)
	stop()
	p.reloads.Lock() // one that was under way gives up, and none begins any more
	g := p.current.Load()
	p.reloads.Unlock()
	grace := g.cfg.Shutdown.Grace
	p.log.Info("draining", "in_flight", p.inFlight(), "grace", grace.String())
	within, cancel := context.WithTimeout(p.life, grace)
	defer cancel()

	errs := []error{stopped}
	if p.leave(within) {
		p.awaitQuiet(within)
	}
	errs = append(errs, p.close(within, false))
	if p.o.Guarded != nil && g.cfg.Service != nil {
		p.part(within)
	}
	errs = append(errs, p.close(within, true))
	end()
	p.awaitCut()
	g.end(&generation{})
	p.running.Wait()
	at, _ := within.Deadline() // end has cancelled it
	p.closeTracing(at)         // last: whatever ended has told of itself
	p.log.Info("stopped")
	return errors.Join(errs...)
}

// part lets the app go, within the grace or parting, whichever ends later.
func (p *Proxy) part(within context.Context) {
	until := time.Now().Add(parting)
	if end, ok := within.Deadline(); ok && end.After(until) {
		until = end
	}
	ctx, cancel := context.WithDeadline(p.life, until)
	defer cancel()
	p.o.Guarded(ctx)
}

// close closes the entrances for requests, or those for calls, once what came in by
// them has ended.
func (p *Proxy) close(within context.Context, calls bool) error {
	var (
		closing sync.WaitGroup
		mu      sync.Mutex // protects errs
		errs    []error
	)
	for _, e := range p.entrances {
		if e.calls != calls {
			continue
		}
		closing.Go(func() {
			err := e.door.Close(within)
			if left := e.requests.wait(within); left > 0 { // upgraded connections: the server has let go of them
				err = errors.Join(err, fmt.Errorf("%d requests were cut at the end of the grace", left))
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	closing.Wait()
	return errors.Join(errs...)
}

// awaitQuiet goes on serving until no request has come in for a while: callers hear
// of a departure one after the other.
func (p *Proxy) awaitQuiet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	look := time.NewTicker(quiet)
	defer look.Stop()
	for last := p.arrivals(); ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now := p.arrivals()
		if now == last {
			return
		}
		last = now
	}
}

// arrivals counts the requests for the app that ever came in.
func (p *Proxy) arrivals() (n int64) {
	for _, e := range p.entrances {
		if !e.calls {
			n += e.requests.arrived.Load()
		}
	}
	return n
}

func (p *Proxy) inFlight() (n int64) {
	for _, e := range p.entrances {
		n += e.requests.count()
	}
	return n
}

// awaitCut gives requests that were cut the time to say so in the access log.
func (p *Proxy) awaitCut() {
	within, cancel := context.WithTimeout(context.WithoutCancel(p.life), time.Second)
	defer cancel()
	for _, e := range p.entrances {
		e.requests.wait(within)
	}
}
