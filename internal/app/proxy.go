package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/admin"
	"outrider/internal/config"
	"outrider/internal/telemetry"
)

// Options are what a proxy needs from whoever starts it.
type Options struct {
	Load    func() (*config.Config, error) // reads the configuration anew; nil means that it stays as it is
	Version string
	Log     *slog.Logger                                                 // operational log; nil discards
	Level   *slog.LevelVar                                               // of Log, set from the configuration; nil means nobody changes it
	Access  io.Writer                                                    // access log; nil discards
	Hangup  <-chan os.Signal                                             // each signal asks for a reload; may be nil
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error) // names to addresses; nil means the system's resolver
	Started func(Addresses)                                              // called once, when all listeners are open; may be nil
}

// Addresses are where a proxy listens, as host:port. Empty means not at all.
type Addresses struct{ Server, Admin, Probe string }

// Ingress is the gateway.
type Ingress struct {
	o     Options
	log   *slog.Logger
	tel   *telemetry.Telemetry
	name  string // the Via pseudonym
	began time.Time

	life     context.Context // of all that serves; ends with the drain
	taking   context.Context // of what may begin anew; ends where the drain begins
	current  atomic.Pointer[generation]
	requests *inFlight      // of all generations
	reloads  sync.Mutex     // held while a reload is under way
	running  sync.WaitGroup // what Run has started, the side ports aside
	draining atomic.Bool

	lastReload atomic.Pointer[admin.Reload]
	door       *door
	where      Addresses
}

// NewIngress returns a gateway that Run starts.
func NewIngress(o Options) *Ingress {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Level == nil {
		o.Level = new(slog.LevelVar)
	}
	if o.Access == nil {
		o.Access = io.Discard
	}
	return &Ingress{
		o:        o,
		log:      o.Log,
		tel:      telemetry.New(telemetry.Options{Version: o.Version}),
		name:     pseudonym(),
		began:    time.Now(),
		requests: newInFlight(),
	}
}

// pseudonym names this process in Via: unique, so that a loop is told from another
// gateway on the way.
func pseudonym() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return "outrider-" + hex.EncodeToString(b)
}

// Run serves first until ctx ends, then drains. It returns nil after a clean drain,
// and otherwise what stopped it: a listener that could not be opened, or connections
// that were cut at the end of the grace.
func (in *Ingress) Run(ctx context.Context, first *config.Config) error {
	// What serves outlives ctx by the drain.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer in.running.Wait()
	defer end()
	taking, stop := context.WithCancel(ctx)
	defer stop()
	in.life, in.taking = life, taking

	side, err := in.listen(ctx, first)
	if err != nil {
		return err
	}
	defer side.close() // after the drain: /ready tells of it
	defer in.door.ln.Close()
	if err := in.adopt(first); err != nil {
		return err
	}
	in.tel.Services(in.serviceStates)
	in.tel.Connections(func() int { return int(in.door.open.Load()) })
	in.tel.RateLimitKeys(in.limiterKeys)
	in.tel.CacheBytes(in.cacheBytes)

	failed := make(chan error, 2)
	in.running.Go(func() { in.door.accept(life) })
	side.serve(failed)
	in.running.Go(func() { in.keepFresh(taking) })
	in.announce()

	var stopped error
	select {
	case <-ctx.Done():
	case stopped = <-failed:
	}
	return errors.Join(stopped, in.drain(stop, end))
}

// announce says where the proxy listens.
func (in *Ingress) announce() {
	in.log.Info("listening", "server", in.where.Server, "admin", in.where.Admin, "probe", in.where.Probe, "version", in.o.Version)
	if in.o.Started != nil {
		in.o.Started(in.where)
	}
}

// ServeHTTP passes a request to the newest generation.
func (in *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in.requests.begin()
	defer in.requests.end()
	g := in.enter()
	defer g.inFlight.end()
	g.handler.ServeHTTP(w, r)
}

// enter counts a request into the newest generation. One that was swapped out
// meanwhile may have been found empty already: then the request belongs to the next.
func (in *Ingress) enter() *generation {
	for {
		g := in.current.Load()
		g.inFlight.begin()
		if g == in.current.Load() {
			return g
		}
		g.inFlight.end()
	}
}

// drain finishes what is in flight, for as long as shutdown.grace, and stops.
func (in *Ingress) drain(stop, end func()) error {
	in.draining.Store(true)
	stop()
	in.reloads.Lock() // one that was under way gives up, and none begins any more
	g := in.current.Load()
	in.reloads.Unlock()
	grace := g.cfg.Shutdown.Grace
	in.log.Info("draining", "in_flight", in.requests.count(), "grace", grace.String())
	within, cancel := context.WithTimeout(in.life, grace)
	defer cancel()
	err := in.door.close(within)
	if left := in.requests.wait(within); left > 0 { // upgraded connections: the server has let go of them
		err = errors.Join(err, fmt.Errorf("%d requests were cut at the end of the grace", left))
	}
	end()
	in.awaitCut()
	for _, a := range g.auths {
		a.Close()
	}
	in.running.Wait()
	in.log.Info("stopped")
	return err
}

// awaitCut gives requests that were cut the time to say so in the access log.
func (in *Ingress) awaitCut() {
	within, cancel := context.WithTimeout(context.WithoutCancel(in.life), time.Second)
	defer cancel()
	in.requests.wait(within)
}

// ready lists what is missing before the proxy should get traffic.
func (in *Ingress) ready() []string {
	if in.draining.Load() {
		return []string{"draining"}
	}
	g := in.current.Load()
	if g == nil {
		return []string{"starting"}
	}
	return g.missing()
}

// adminConfig is what the admin and probe ports show.
func (in *Ingress) adminConfig(token func() string) admin.Config {
	return admin.Config{
		Token:     token,
		Version:   in.o.Version,
		Live:      func() error { return nil },
		Ready:     in.ready,
		Metrics:   in.tel.Handler(),
		Config:    func() any { return in.current.Load().cfg.Redacted() },
		Services:  in.adminServices,
		Level:     in.o.Level,
		Reload:    in.Reload,
		Log:       in.log,
		Started:   in.began,
		Listeners: in.where.list,
		LastReload: func() admin.Reload {
			if last := in.lastReload.Load(); last != nil {
				return *last
			}
			return admin.Reload{}
		},
	}
}

func (a *Addresses) list() []string {
	var all []string
	for _, p := range []struct{ name, addr string }{{"server", a.Server}, {"admin", a.Admin}, {"probe", a.Probe}} {
		if p.addr != "" {
			all = append(all, p.name+" "+p.addr)
		}
	}
	return all
}

func serverAddress(s config.Server) string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Check finds what only building can: certificates that do not fit, header edits
// that cannot be made. It opens no port and starts nothing.
func Check(cfg *config.Config) error {
	_, err := NewIngress(Options{}).build(cfg, nil)
	return err
}
