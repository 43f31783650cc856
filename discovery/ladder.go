package discovery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// Ladder keeps a service reachable while its catalogue is not, and while the
// catalogue has lost its memory. Its rungs, see [Mode]: the catalogue's answer; the
// last answer in memory; the snapshot of one on disk; the snapshot as own probes
// find it.
//
//   - An error never changes the set.
//   - What the catalogue says explicitly, that an endpoint is unhealthy or withdrawn,
//     holds at once: an operator may have said it.
//   - Disappearance is doubted when most endpoints vanish at once, which a wiped
//     catalogue looks like. See doubt.go.
//
// One Ladder watches one service at a time:
//
//	l := &discovery.Ladder{Store: store, Probe: probe}
//	l.Inner = client.Resolver(query, consul.Hear{Answered: l.Answered, Failed: l.Failed})
//	err := l.Watch(ctx, "orders", balancer.Update)
type Ladder struct {
	// Inner asks the catalogue. It calls Answered after each proper answer, also where
	// that brought nothing new, and Failed after each error, which it does not take for
	// an answer.
	Inner Resolver

	Store *Store // of snapshots; nil: none are kept or used
	// Name is what the Store knows the snapshot by. It must tell apart whatever is asked
	// of the catalogue, such as datacenter, tag and filter: the answer to one question
	// must not stand in for another's. Empty means the service's name.
	Name string

	// Probe returns nil where something that serves answers at e; one that drains should
	// not count as such. It ends when its context does, and is called by several
	// goroutines. Nil: nothing is probed, hence nothing doubted.
	Probe func(ctx context.Context, e mesh.Endpoint) error
	// Places bounds the probes under way at once, by its capacity: who probes puts
	// something in and takes it out again. Ladders should share it, since a wiped
	// catalogue makes all of them probe in the same second. Nil means 16 of its own.
	Places chan struct{}

	ProbeEvery    time.Duration // between probes of a doubted endpoint, give or take 10 %; zero or less means 2s
	PatrolEvery   time.Duration // between probes of an endpoint of the snapshot, likewise; zero or less means 10s
	ProbeTimeout  time.Duration // of one probe; zero or less means 1s
	ProbeFailures int           // in a row until a doubted endpoint leaves, or one of the snapshot is unhealthy; zero or less means 2

	DoubtAbove int           // percent of the endpoints: a loss of more is doubted. Zero or less means 50; 100 or more: no loss is
	DoubtFor   time.Duration // the longest doubt, counted while the catalogue answers; zero or less means 10m

	SnapshotAfter time.Duration // how long the first answer may take until the snapshot is used, unless it fails before; zero or less means 1s
	SaveEvery     time.Duration // a set that stays the same is written anew, so that its file's time is no older; zero or less means 5m

	Log *slog.Logger // each change of state, once; nil: nowhere

	running atomic.Pointer[vigil]
	state   atomic.Pointer[State]
}

var _ Resolver = (*Ladder)(nil)

// Watch passes the catalogue's set, or the snapshot's while there is none. Where
// neither is to be had it passes nothing, and says so in the log and State. It ends
// when Inner's Watch does.
func (l *Ladder) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	if l.Inner == nil {
		return errors.New("discovery: Ladder without Inner")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := newVigil(ctx, l, s, update)
	if !l.running.CompareAndSwap(nil, w) {
		return errors.New("discovery: a Ladder watches one service at a time")
	}
	defer l.running.Store(nil)
	w.publishState()
	var owned sync.WaitGroup
	owned.Go(func() { w.keep(ctx) })
	owned.Go(func() { w.patrol(ctx) })
	err := l.Inner.Watch(ctx, s, w.receive)
	cancel()
	owned.Wait()
	w.save() // what the writer had no time for
	return err
}

// Answered takes note that the catalogue answered properly. Before the first set it
// says nothing.
func (l *Ladder) Answered() {
	if w := l.running.Load(); w != nil {
		w.confirm()
	}
}

// Failed takes note that the catalogue was asked in vain.
func (l *Ladder) Failed(err error) {
	if w := l.running.Load(); w != nil {
		w.fail(err)
	}
}

// State returns where the ladder stands. It takes no lock. After Watch has returned
// it stays as it was.
func (l *Ladder) State() State {
	s := l.state.Load()
	if s == nil {
		return State{}
	}
	out := *s
	from := out.Answered
	if from.IsZero() {
		from = s.begun
	}
	out.Age = max(0, time.Since(from)) // a file's time may lie ahead of a clock that was set back
	return out
}
