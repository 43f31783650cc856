package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"outrider/discovery"
	"outrider/internal/admin"
	"outrider/internal/config"
	"outrider/internal/telemetry"
	"outrider/internal/why"
)

// Options are what a proxy needs from whoever starts it.
type Options struct {
	Load     func() (*config.Config, error) // reads the configuration anew; nil means that it stays as it is
	Version  string
	Log      *slog.Logger                                                 // operational log; nil discards
	Level    *slog.LevelVar                                               // of Log, set from the configuration; nil means nobody changes it
	Access   io.Writer                                                    // access log; nil discards
	Hangup   <-chan os.Signal                                             // each signal asks for a reload; may be nil
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error) // names to addresses; nil means the system's resolver
	Registry func(config.Consul) (Registry, error)                        // what stands in for Consul; nil means Consul itself

	Started func(Addresses)           // called once, when all listeners are open; may be nil
	Ready   func()                    // called once, after Started, when the proxy is ready for the first time; may be nil
	Guarded func(ctx context.Context) // called in a drain of a sidecar, when the last request to the app has ended: the app may go; may be nil
}

// Addresses are where a proxy listens, as host:port. Empty means not at all.
type Addresses struct {
	Server   string            // the ingress's
	Inbound  string            // the guarding half's
	Outbound string            // the calling half's
	Services map[string]string // the services' own ports, by name
	Admin    string
	Probe    string
}

// Proxy is a gateway or a sidecar: the configuration says which.
type Proxy struct {
	o      Options
	log    *slog.Logger
	tel    *telemetry.Telemetry
	access *telemetry.AccessLog
	name   string // the Via pseudonym's beginning
	began  time.Time

	decisions *why.Ring // about the latest requests

	life      context.Context // of all that serves; ends with the drain
	taking    context.Context // of what may begin anew; ends where the drain begins
	current   atomic.Pointer[generation]
	registry  Registry                                 // nil: none
	home      string                                   // the registry's datacenter, which snapshots belong to
	store     *discovery.Store                         // nil: no snapshots
	probes    chan struct{}                            // one for each probe of a doubted endpoint
	table     func(name string) (io.ReadCloser, error) // opens one of socketTables
	enrolment *enrolment
	complete  atomic.Bool    // nothing has been missing, once
	tracing   *tracing       // nil: off
	reloads   sync.Mutex     // held while a reload is under way
	running   sync.WaitGroup // what Run has started, the side ports aside
	draining  atomic.Bool
	asked     chan struct{} // holds a token when the admin port has asked for a drain

	lastReload atomic.Pointer[admin.Reload]
	entrances  []*entrance
	where      Addresses
}

// New returns a proxy that Run starts.
func New(o Options) *Proxy {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Level == nil {
		o.Level = new(slog.LevelVar)
	}
	if o.Access == nil {
		o.Access = io.Discard
	}
	if o.Registry == nil {
		o.Registry = consulRegistry(o.Log)
	}
	tel := telemetry.New(telemetry.Options{Version: o.Version})
	return &Proxy{
		o:      o,
		log:    o.Log,
		tel:    tel,
		access: tel.AccessLog(o.Access, o.Log),
		name:   pseudonym(),
		began:  time.Now(),

		decisions: why.NewRing(),

		asked:  make(chan struct{}, 1),
		probes: make(chan struct{}, maxProbes),
		table:  openFile,

		enrolment: &enrolment{over: make(chan struct{}), done: make(chan struct{})},
	}
}

// maxProbes bounds the probes under way at once when a catalogue has lost its memory.
const maxProbes = 32

// pseudonym names this process in Via: unique, so that a loop is told from another
// proxy on the way.
func pseudonym() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return "outrider-" + hex.EncodeToString(b)
}

// Run serves first until ctx ends, then drains. It returns nil after a clean drain,
// and otherwise what stopped it: a listener that could not be opened, or connections
// that were cut at the end of the grace.
func (p *Proxy) Run(ctx context.Context, first *config.Config) error {
	defer p.startAccessLog(ctx)() // the last to stop: all that runs may yet write
	// What serves outlives ctx by the drain.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer p.running.Wait()
	defer end()
	taking, stop := context.WithCancel(ctx)
	defer stop()
	p.life, p.taking = life, taking

	if err := p.openRegistry(first.Consul); err != nil {
		return err
	}
	defer p.closeRegistry()
	if err := p.openStore(first.Consul); err != nil {
		return err
	}
	p.openTracing(first)
	defer p.closeTracing(time.Time{}) // for a start that fails: a drain has done so already
	side, err := p.listen(ctx, first)
	if err != nil {
		return err
	}
	defer side.close() // after the drain: /ready tells of it
	defer p.shut()
	registrar, err := p.registrar(first)
	if err != nil {
		return err // rather than serve unknown to all
	}
	failed := make(chan error, 2)
	side.serve(failed) // who asks meanwhile hears that this proxy lives, and is not ready
	if err := p.adopt(first); err != nil {
		return err
	}
	p.tel.Services(p.serviceStates)
	if p.registry != nil && first.Service != nil {
		p.tel.Registered(p.registered)
	}
	p.tel.CertificateExpiry(p.expiry)
	p.tel.Connections(p.connections)
	p.tel.RateLimitKeys(p.limiterKeys)
	p.tel.CacheBytes(p.cacheBytes)

	for _, e := range p.entrances {
		p.running.Go(func() { e.door.Accept(life) })
	}
	p.running.Go(func() { p.keepFresh(taking) })
	p.announce() // before it may be ready
	p.running.Go(func() { p.enrol(taking, registrar) })

	var stopped error
	select {
	case <-ctx.Done():
	case <-p.asked:
	case stopped = <-failed:
	}
	return p.drain(stopped, stop, end)
}

// announce says where the proxy listens.
func (p *Proxy) announce() {
	args := []any{"version", p.o.Version}
	for _, l := range p.where.named() {
		args = append(args, l[0], l[1])
	}
	p.log.Info("listening", args...)
	if p.o.Started != nil {
		p.o.Started(p.where)
	}
}

// enter counts a request into the newest generation. One that was swapped out
// meanwhile may have been found empty already: then the request belongs to the next.
func (p *Proxy) enter() *generation {
	for {
		g := p.current.Load()
		g.inFlight.begin()
		if g == p.current.Load() {
			return g
		}
		g.inFlight.end()
	}
}

// ready lists what is missing before the proxy should get traffic.
func (p *Proxy) ready() []string {
	switch {
	case p.draining.Load():
		return []string{"draining"}
	case p.enrolment.ended():
		return []string{"leaving"}
	}
	g := p.current.Load()
	if g == nil {
		return []string{"starting"}
	}
	// Whoever was ready stays so: what a reload adds, and nobody finds, is no reason to
	// take away all else.
	if p.complete.Load() {
		return nil
	}
	missing := g.missing()
	p.complete.Store(len(missing) == 0)
	return missing
}

// Drain has Run end as if its context had: what is in flight is finished first.
func (p *Proxy) Drain() {
	select {
	case p.asked <- struct{}{}:
	default: // it has been asked already
	}
}

// Leave has the proxy say that it is going: it is no longer ready nor in the registry,
// and sends callers away with each answer. It serves on until it drains.
func (p *Proxy) Leave() { p.enrolment.end() }

// Check finds what only building can: certificates that do not fit, header edits
// that cannot be made. It opens no port, starts nothing and writes nothing. Its error
// is config.Problems.
func Check(cfg *config.Config) error {
	p := New(Options{})
	if err := p.openRegistry(cfg.Consul); err != nil {
		return config.Problems{{File: cfg.File, Message: err.Error()}}
	}
	defer p.closeRegistry()
	g, err := p.build(cfg, nil)
	if err != nil {
		return err
	}
	g.end(&generation{})
	return nil
}
