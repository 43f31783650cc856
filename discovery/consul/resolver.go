package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"
	"unicode"

	"outrider/discovery"
	"outrider/internal/mesh"
)

const (
	// floor lies between an answer and the next query. What changes meanwhile comes
	// in one update, so that there are at most ten in a second.
	floor     = 100 * time.Millisecond
	idleFloor = time.Second // likewise after a row of early answers that brought nothing new

	backoffBase = 200 * time.Millisecond
	backoffMost = 10 * time.Second
	awayMost    = time.Minute // of what an agent may ask for by Retry-After
)

// Query names a service of the catalogue. The zero Query is the service that Watch
// is given, over plain HTTP.
type Query struct {
	Service    string // in the catalogue; empty means the name that Watch is given
	Datacenter string // empty means the Client's
	Namespace  string // of Consul Enterprise; empty means the token's
	Partition  string // of Consul Enterprise; empty means the agent's
	Tag        string // only instances with this tag; empty means all
	Filter     string // an expression of Consul's filter language; empty means all

	// Scheme of the endpoints: http, https or h2c; empty means http. An instance's meta
	// "scheme" wins, unless it would take TLS away.
	Scheme string
}

// Hear is who listens to what becomes of the queries. Each function may be nil, and
// must not block; those of one Watch are never called at once.
type Hear struct {
	// Answered is called after each good answer, also where it brought nothing new, and
	// after the update that it led to. While all is well that is every 25 s or more
	// often; with more than 2,000 services beyond MaxWatches, every n/100 s.
	Answered func()
	Failed   func(error) // a query failed; the set stays
}

// Resolver finds a service's endpoints. It is safe for concurrent use.
type Resolver struct {
	client *Client
	query  Query
	hear   Hear
}

var _ discovery.Resolver = (*Resolver)(nil)

// Resolver returns a resolver of what q names. It asks nothing before Watch.
func (c *Client) Resolver(q Query, h Hear) *Resolver {
	return &Resolver{client: c, query: q, hear: h}
}

// Watch passes the set once Consul has answered, and again whenever it differs. A
// service that Consul does not know is an empty set. An error changes nothing: it is
// heard, and the query repeated. Watch returns the cause of ctx's end or, at once,
// an error that the service's name is none.
func (r *Resolver) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	name := cmp.Or(r.query.Service, string(s))
	if err := checkName(name); err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	w := &watching{Resolver: r, name: name, update: update, log: r.client.cfg.Log.With("service", name)}
	defer w.leave()
	for {
		a, err := w.ask(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var pause time.Duration
		if err != nil {
			pause = w.fail(err)
		} else {
			pause = w.accept(a)
		}
		if !sleep(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

// checkName refuses what would ask for another path of the agent's API: a name may
// come from a client.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a service without a name")
	case len(name) > 255:
		return fmt.Errorf("service %q…: a name has 255 bytes at most", name[:32])
	case name == ".", name == "..", strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsControl(r) }):
		return fmt.Errorf("service %q: a name has no slash or control character, and is not made of dots", name)
	}
	return nil
}

// watching is the state of one Watch.
type watching struct {
	*Resolver
	name   string
	update func([]mesh.Endpoint)
	log    *slog.Logger

	ticket   ticket          // for a place; nil: neither has one nor waits for it
	index    uint64          // of the last answer; zero asks without blocking
	answered bool            // there has been an answer
	last     []mesh.Endpoint // what it said
	skipped  []string
	idle     int     // early answers in a row that brought nothing new
	failures int     // in a row
	trouble  trouble // the last that was logged
}

// trouble is a kind of failure, as far as the log tells them apart.
type trouble string

const (
	none   trouble = ""
	denied trouble = "consul denies the query, the last endpoints stay"
	silent trouble = "consul gives no answer, the last endpoints stay"
)

// accept takes over an answer, and returns how long to pause.
func (w *watching) accept(a answer) time.Duration {
	if w.trouble != none {
		w.log.Info("consul answers again", "endpoints", len(a.set))
	}
	w.failures, w.trouble, w.index = 0, none, a.index
	w.tellSkipped(a.skipped)
	news := !w.answered || !reflect.DeepEqual(w.last, a.set)
	if news {
		w.answered, w.last = true, a.set
		w.update(append([]mesh.Endpoint{}, a.set...)) // the receiver's to keep
	}
	if w.hear.Answered != nil {
		w.hear.Answered()
	}
	switch {
	case news || a.late:
		w.idle = 0
	case a.early:
		w.idle++
	}
	return min(floor<<min(w.idle, 10), idleFloor)
}

// tellSkipped logs which instances have no address, when that changes.
func (w *watching) tellSkipped(ids []string) {
	if reflect.DeepEqual(ids, w.skipped) {
		return
	}
	w.skipped = ids
	if len(ids) == 0 {
		w.log.Info("every instance in consul has an address again")
		return
	}
	w.log.Warn("instances in consul without an address or port are left out", "count", len(ids), "some", ids[:min(len(ids), 5)])
}

// fail takes note of a failure, and returns how long to pause. The next query does
// not block: whatever the agent has become meanwhile, its index is its own.
func (w *watching) fail(err error) time.Duration {
	err = fmt.Errorf("consul %s: service %s: %w", w.client.cfg.Address, w.name, err)
	if w.hear.Failed != nil {
		w.hear.Failed(err)
	}
	kind := silent
	if errors.Is(err, ErrDenied) {
		kind = denied
	}
	if w.trouble != kind {
		w.trouble = kind
		w.log.Warn(string(kind), "endpoints", len(w.last), "error", err)
	}
	w.index = 0
	w.leave() // it would not be used
	pause := backoff(w.failures)
	w.failures++
	if busy, ok := errors.AsType[*busyError](err); ok && busy.after > 0 {
		after := min(busy.after, awayMost)
		pause = max(pause, after+rand.N(after/10+1)) // never before, and not all at once
	}
	return pause
}

// backoff returns the pause after so many failures before this one: twice as long
// each time, and up to half of it less, so that many watches do not ask in step.
func backoff(failures int) time.Duration {
	d := min(backoffBase<<min(failures, 10), backoffMost)
	return d/2 + rand.N(d/2+1)
}

// jitter returns d give or take 10 %.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// sleep waits for d, and reports false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
