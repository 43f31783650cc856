package consul

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// beatGap lies between two heartbeats, however often Beat is called.
const beatGap = 100 * time.Millisecond

// Health says whether app and sidecar are well, and why not: one line for the
// operator. It must not block.
type Health func() (ok bool, note string)

// Status is how the registration stands.
type Status struct {
	// Registered says that the agent has the registration, as far as is known. While Err
	// is not nil it may have lost it.
	Registered bool
	Since      time.Time // when Registered became what it is; zero: it has never been true
	Passing    bool      // what the last heartbeat that was accepted said
	Note       string    // likewise
	Beat       time.Time // when that was; after CheckTTL without another, Consul shows the service as critical
	Err        error     // why the last step failed, or ErrConflict; nil: all is well
}

// Registrar keeps this service in the catalogue.
type Registrar struct {
	client *Client
	first  Registration // with defaults; what Run begins with
	health Health

	next       atomic.Pointer[Registration] // of the last Change that Run has not seen yet
	beat       chan struct{}                // has a place for one
	registered chan struct{}
	status     atomic.Pointer[Status]
}

// Registrar returns a registrar for r. Health nil means always well. Its error says
// all that is wrong with r. It asks nothing before Run.
func (c *Client) Registrar(r Registration, health Health) (*Registrar, error) {
	want, err := r.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("consul: registration: %w", err)
	}
	if health == nil {
		health = func() (bool, string) { return true, "" }
	}
	g := &Registrar{
		client:     c,
		first:      want,
		health:     health,
		beat:       make(chan struct{}, 1),
		registered: make(chan struct{}),
	}
	g.status.Store(&Status{})
	return g, nil
}

// Run registers the service and keeps it registered: by heartbeats, and anew when
// the agent has forgotten it. What fails is tried for ever. When ctx ends, it
// deregisters the service, which takes 5 s at most, and returns nil, or what remains
// in the catalogue. Run is called once.
func (g *Registrar) Run(ctx context.Context) error {
	late, cancel := linger(ctx, farewell)
	defer cancel()
	s := &registering{
		Registrar: g,
		want:      g.first,
		late:      late,
		log:       g.client.cfg.Log.With("service", g.first.Name, "id", g.first.ID),
	}
	for ctx.Err() == nil {
		pause, beats := s.step(ctx)
		g.wait(ctx, pause, beats)
	}
	return s.leave()
}

// Change has the service registered with other tags, meta, weight or zone, now and
// from now on. It never blocks. Its error says what is wrong with r, also where r is
// another instance or at another place: then nothing changes.
func (g *Registrar) Change(r Registration) error {
	next, err := r.withDefaults()
	if err == nil && (next.Name != g.first.Name || next.ID != g.first.ID || next.at() != g.first.at() || next.CheckTTL != g.first.CheckTTL) {
		err = fmt.Errorf("it is %s, %s at %s, and stays so", g.first.Name, g.first.ID, g.first.at())
	}
	if err != nil {
		return fmt.Errorf("consul: changed registration: %w", err)
	}
	g.next.Store(&next)
	g.Beat()
	return nil
}

// Beat says that something has changed: the next heartbeat is sent now. It never
// blocks, and many calls at once lead to one heartbeat. While the agent fails, the
// next try tells what is so then.
func (g *Registrar) Beat() {
	select {
	case g.beat <- struct{}{}:
	default: // one is due already
	}
}

// Registered is closed when the agent has first accepted registration and heartbeat.
func (g *Registrar) Registered() <-chan struct{} { return g.registered }

// Status returns how the registration stands.
func (g *Registrar) Status() Status { return *g.status.Load() }

// wait waits for the pause, or for Beat where beats says so; or for ctx's end.
func (g *Registrar) wait(ctx context.Context, pause time.Duration, beats bool) {
	beat := g.beat
	if !beats {
		beat = nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-beat:
		sleep(ctx, time.Until(g.Status().Beat.Add(beatGap)))
	}
}

// linger returns a context that ends d after ctx. A registration under way when ctx
// ends is waited for: cut off, it could reach the agent after the deregistration.
func linger(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return late, func() { stop(); cancel() }
}
