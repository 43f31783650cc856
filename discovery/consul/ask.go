package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"outrider/internal/mesh"
)

const (
	// longWait is how long a query blocks, give or take 10 %; the agent adds up to a
	// sixteenth. Consul allows ten minutes. It is short because it does three things:
	// an agent that has frozen is noticed within 30 s, without asking it anything else;
	// places change hands; and a query that the agent goes on with after its client has
	// left is soon over.
	longWait = 20 * time.Second

	// answerTime is how long an answer may take beyond the time that a query blocks,
	// and how long a poll waits for a lane.
	answerTime = 5 * time.Second
)

// ErrDenied is what a query fails with whose token may not read the service: the
// agent says so, or it answers with what it has left out by its ACLs.
var ErrDenied = errors.New("permission denied")

// answer is what a query brought.
type answer struct {
	set     []mesh.Endpoint // ordered by ID; never nil
	skipped []string        // IDs without an address
	index   uint64          // never zero
	early   bool            // the query blocked, and for much less than it might have
	late    bool            // it blocked to the end
}

// ask asks once: by a query that blocks, where there is an index to wait for and a
// place, and by a poll otherwise.
//
// A blocking answer is believed in what it adds. It may come from the agent's own
// view of the catalogue, and then says neither that ACLs have filtered it nor
// whether the servers have a leader. So one that lacks an endpoint or has none at all
// is followed by a poll, which says both, and so is one whose index has gone back.
func (w *watching) ask(ctx context.Context) (answer, error) {
	if w.index == 0 || !w.place(ctx) {
		return w.poll(ctx)
	}
	a, err := w.block(ctx)
	if err != nil || a.index >= w.index && len(a.set) > 0 && !lost(w.last, a.set) {
		return a, err
	}
	sure, err := w.poll(ctx)
	sure.early, sure.late = a.early, a.late
	return sure, err
}

// place waits for a place. It reports false when the time has come to poll instead,
// or ctx has ended; the wait then goes on.
func (w *watching) place(ctx context.Context) bool {
	turns := w.client.turns
	if w.ticket == nil {
		w.ticket = turns.line()
	}
	select {
	case <-w.ticket:
		return true
	default:
	}
	timer := time.NewTimer(jitter(pollPause(turns.waiting())))
	defer timer.Stop()
	select {
	case <-w.ticket:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// leave gives the place back, or the wait for it up.
func (w *watching) leave() {
	if w.ticket != nil {
		w.client.turns.leave(w.ticket)
		w.ticket = nil
	}
}

// block asks in a place that it gives back.
func (w *watching) block(ctx context.Context) (answer, error) {
	defer w.leave()
	wait := jitter(longWait)
	begun := time.Now()
	a, err := w.send(ctx, wait)
	a.late = time.Since(begun) >= wait/2
	a.early = !a.late
	return a, err
}

// poll asks without blocking.
func (w *watching) poll(ctx context.Context) (answer, error) {
	if !w.client.turns.lane(ctx, answerTime) {
		return answer{}, fmt.Errorf("%d queries before this one have had no answer for %v", pollsAtOnce, answerTime)
	}
	defer w.client.turns.leaveLane()
	return w.send(ctx, 0)
}

// send asks the agent, and blocks for up to wait; zero does not block.
func (w *watching) send(ctx context.Context, wait time.Duration) (answer, error) {
	limit := wait + wait/16 + answerTime
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	q := w.query
	options := (&api.QueryOptions{
		Datacenter: q.Datacenter,
		Namespace:  q.Namespace,
		Partition:  q.Partition,
		Filter:     q.Filter,
		AllowStale: w.client.cfg.Stale,
	}).WithContext(ctx)
	if wait > 0 {
		options.WaitIndex, options.WaitTime = w.index, wait
	}
	entries, meta, err := w.client.api.Health().Service(w.name, q.Tag, false, options)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return answer{}, fmt.Errorf("the agent gives no answer within %v", limit.Round(time.Second))
	case err != nil:
		return answer{}, explain(err, w.name)
	case meta.ResultsFilteredByACLs:
		return answer{}, fmt.Errorf("%w: ACLs have filtered the answer: %s", ErrDenied, remedy(w.name))
	case len(entries) == 0 && !meta.KnownLeader && wait == 0:
		return answer{}, errors.New("the answer is empty, and Consul's servers have no leader")
	}
	if len(entries) == 0 && meta.DefaultACLPolicy == "deny" {
		w.client.warnAnonymous(w.name)
	}
	a := answer{index: max(1, meta.LastIndex)} // zero would never block
	a.set, a.skipped = q.endpoints(w.name, entries)
	return a, nil
}

// lost reports whether an endpoint of before is not in after. Both are ordered by ID.
func lost(before, after []mesh.Endpoint) bool {
	for _, e := range before {
		_, found := slices.BinarySearchFunc(after, e.ID, func(e mesh.Endpoint, id string) int { return strings.Compare(e.ID, id) })
		if !found {
			return true
		}
	}
	return false
}

// explain says what an error of the library means for whoever configures this.
func explain(err error, service string) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it would repeat the whole URL
	}
	status, ok := errors.AsType[api.StatusError](err)
	if !ok {
		return err
	}
	said := firstLine(status.Body)
	switch status.Code {
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("%w: the agent answers %d: %s: %s", ErrDenied, status.Code, said, remedy(service))
	case http.StatusBadRequest:
		return fmt.Errorf("the agent refuses the query's filter, namespace or partition: %s", said)
	}
	return fmt.Errorf("the agent answers %d: %s", status.Code, said)
}

// remedy says what a token needs.
func remedy(service string) string {
	return fmt.Sprintf("consul.token or consul.token_file must be a token that Consul knows, with service:read for %q and node:read for its nodes", service)
}
