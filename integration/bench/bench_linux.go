package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// options is what the command line says.
type options struct {
	cases    string
	proxies  string
	rounds   int
	duration time.Duration // of a measurement
	warmup   time.Duration
	out      string
	profile  string
	sidecar  string
}

// mostRequests ends a measurement that would go on for too long to be one.
const mostRequests = 5_000_000

// bench is one run.
type bench struct {
	options
	self   string // this program
	dir    string // of files that go with it
	cores  cores
	peers  []peer
	origin origins
	report *report
}

// cores says who runs where.
type cores []int

// load returns where the load and the origin run.
func (c cores) load() []int { return c[:1] }

// loadBeside returns where the load of a proxy of so many cores runs. Where the proxy
// has them all, so has the load: bound to the first it would keep the proxy off it.
func (c cores) loadBeside(count int) []int {
	if count >= len(c) {
		return c
	}
	return c.load()
}

// proxy returns where a proxy runs that has so many cores. On a machine of two, the
// second is also the load's.
func (c cores) proxy(count int) []int { return c[max(len(c)-count, 0):] }

// run measures all cases, one after the other.
func (b *bench) run(ctx context.Context) (err error) {
	cases, err := casesOf(b.cases)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := writeCerts(b.dir); err != nil {
		return err
	}
	origin, said, err := b.launch(ctx, "origin", b.cores.load(), []string{b.self, "origin", b.dir})
	if err != nil {
		return err
	}
	defer origin.stop()
	if err := said.Decode(&b.origin); err != nil {
		return fmt.Errorf("the origin: %w%s", err, origin.said())
	}
	b.begin(ctx)
	for _, c := range cases {
		of := b.load
		if c.Idle > 0 {
			of = b.idle
		}
		result, err := of(ctx, c)
		if err != nil {
			return fmt.Errorf("case %s: %w%s", c.Name, err, origin.said())
		}
		b.report.add(result)
	}
	return nil
}

// begin writes what stands above the tables.
func (b *bench) begin(ctx context.Context) {
	r := b.report
	r.Date = time.Now().UTC().Truncate(time.Second)
	r.Machine = thisMachine()
	r.Versions = map[string]string{"go": goVersion()}
	r.Settings = settings{b.rounds, b.duration.String(), b.warmup.String(), b.cores.load(), b.cores.proxy(1)}
	fmt.Fprintf(r.out, "%s, %s\n", r.Date.Format(time.RFC3339), r.Machine)
	fmt.Fprintf(r.out, "%d rounds of %s after %s of warm-up; load and origin on core %v, each proxy on core %v\n",
		b.rounds, b.duration, b.warmup, b.cores.load(), b.cores.proxy(1))
	for _, p := range b.peers {
		r.Versions[p.name] = p.versionLine(ctx)
		fmt.Fprintf(r.out, "%s: %s\n", p.name, r.Versions[p.name])
	}
}

// load measures one case: in each round all proxies in turn as fast as they can, and
// then all at one rate below that.
func (b *bench) load(ctx context.Context, c benchCase) (*result, error) {
	r := &result{Case: c.Name, About: c.About, Cores: max(c.Cores, 1)}
	proxies := map[string]*proxy{}
	var names []string
	for _, p := range b.peers {
		started, err := b.startProxy(ctx, p, c)
		if err != nil {
			return nil, err
		}
		defer started.stop()
		proxies[p.name] = started
		names = append(names, p.name)
		if _, err := b.ask(ctx, c, started, order{Warmup: b.warmup, Duration: 2 * b.warmup}); err != nil {
			return nil, fmt.Errorf("%s: %w%s", p.name, err, started.said())
		}
	}
	for round := range b.rounds {
		turn := map[string]*sample{}
		for _, name := range rotated(names, round) {
			s, err := b.saturate(ctx, c, proxies[name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w%s", name, err, proxies[name].said())
			}
			s.Round, s.Proxy, turn[name] = round+1, name, s
		}
		rate := common(turn)
		for _, name := range rotated(names, round) {
			if err := b.pace(ctx, c, proxies[name], turn[name], rate); err != nil {
				return nil, fmt.Errorf("%s: %w%s", name, err, proxies[name].said())
			}
			r.Samples = append(r.Samples, *turn[name])
		}
	}
	if b.profile != "" && c.Name == "c64" {
		return r, b.takeProfile(ctx, c, proxies[ours])
	}
	return r, nil
}

// common is the rate at which a round's latencies are compared: half of what HAProxy
// can do, or, without it, of what the slowest can.
func common(turn map[string]*sample) float64 {
	if s := turn["haproxy"]; s != nil {
		return s.RPS / 2
	}
	least := math.Inf(1)
	for _, s := range turn {
		least = min(least, s.RPS/2)
	}
	return least
}

// saturate measures a proxy that always has something to do.
func (b *bench) saturate(ctx context.Context, c benchCase, p *proxy) (*sample, error) {
	var out *outcome
	work := func() (err error) {
		out, err = b.ask(ctx, c, p, order{Warmup: b.warmup, Duration: b.duration})
		return err
	}
	s := &sample{}
	if p.name == ours {
		count, err := allocations(ctx, p.admin, work)
		if err != nil {
			return nil, err
		}
		each := count / float64(out.Sent)
		s.Allocations = &each
	} else if err := work(); err != nil {
		return nil, err
	}
	s.measured(out)
	return s, nil
}

// pace measures the latencies at a rate; where that is too near to what the proxy can
// do, at half of that.
func (b *bench) pace(ctx context.Context, c benchCase, p *proxy, s *sample, rate float64) error {
	s.Rate = rate
	if s.RPS < 1.6*rate {
		s.Rate = s.RPS / 2
		s.OwnRate = true
	}
	out, err := b.ask(ctx, c, p, order{Warmup: b.warmup, Duration: b.duration, Rate: s.Rate})
	if err != nil {
		return err
	}
	s.paced(out)
	return nil
}

// ask has the load generator carry out an order for a case.
func (b *bench) ask(ctx context.Context, c benchCase, p *proxy, o order) (*outcome, error) {
	o.Addr, o.PIDs, o.Most = p.addr, p.pids, mostRequests
	o.Conns, o.Path, o.Body, o.Want = c.Conns, c.Path, c.Body, c.Want
	if c.TLSIn {
		o.Certs = b.dir
	}
	line, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	run, said, err := b.launch(ctx, "load", b.cores.loadBeside(c.Cores), []string{b.self, "load", string(line)})
	if err != nil {
		return nil, err
	}
	defer run.stop()
	var out outcome
	if err := said.Decode(&out); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("the load has failed: %w%s", err, run.said()))
	}
	return &out, nil
}

// takeProfile loads our proxy once more, and writes where its time goes.
func (b *bench) takeProfile(ctx context.Context, c benchCase, p *proxy) error {
	if p == nil {
		return fmt.Errorf("a profile needs %s among the proxies", ours)
	}
	const during = 5 * time.Second
	loaded := make(chan error, 1)
	go func() {
		_, err := b.ask(ctx, c, p, order{Warmup: b.warmup, Duration: during + b.warmup})
		loaded <- err
	}()
	err := profile(ctx, p.admin, b.profile, during)
	return errors.Join(err, <-loaded)
}

// idle measures the memory of each proxy just started, and with connections that do
// nothing. Only one runs at a time, for there are not ports enough for all.
func (b *bench) idle(ctx context.Context, c benchCase) (*result, error) {
	r := &result{Case: c.Name, About: c.About, Cores: 1}
	for round := range min(b.rounds, 3) { // memory hardly differs from one to the next
		for _, p := range b.peers {
			s, err := b.hold(ctx, c, p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			s.Round, s.Proxy = round+1, p.name
			r.Memory = append(r.Memory, *s)
		}
	}
	return r, nil
}

func (b *bench) hold(ctx context.Context, c benchCase, p peer) (*memorySample, error) {
	started, err := b.startProxy(ctx, p, c)
	if err != nil {
		return nil, err
	}
	defer started.stop()
	s := &memorySample{Connections: c.Idle}
	if s.Idle, err = memoryOf(started.pids); err != nil {
		return nil, err
	}
	line, err := json.Marshal(order{Addr: started.addr, Conns: c.Idle, Path: c.Path, Want: c.Want})
	if err != nil {
		return nil, err
	}
	held, said, err := b.launch(ctx, "hold", b.cores.load(), []string{b.self, "hold", string(line)})
	if err != nil {
		return nil, err
	}
	defer held.stop()
	var word string
	if err := said.Decode(&word); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("the connections are not held: %w%s%s", err, held.said(), started.said()))
	}
	settled := time.NewTimer(3 * time.Second) // a collector of garbage, or of pools, may have work to do
	defer settled.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-settled.C:
	}
	s.Held, err = memoryOf(started.pids)
	return s, err
}

// here returns this program's file.
func here() (string, error) {
	file, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(file)
}
