package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"outrider/internal/why"
	"outrider/outbound"
)

// The bounds of an answer that several hops have a part in.
const (
	maxHops   = 8       // from one proxy to the next
	maxAsked  = 16      // hops that one proxy asks, at once
	maxAnswer = 1 << 20 // bytes of a hop's answer
	joinTime  = 3 * time.Second
	hopMargin = 100 * time.Millisecond // of a hop's time, for its answer's way
)

// hopAnswer is what one proxy answers another.
type hopAnswer struct {
	Records []why.Record `json:"records"`
}

// Why says what is known of the requests with that ID: here, and at the proxies that
// they passed, which are asked. It takes three seconds at most.
func (p *Proxy) Why(ctx context.Context, id string) why.Answer {
	g := p.current.Load()
	if g == nil {
		return why.NewAnswer(id, nil)
	}
	records := why.Nest(p.decisions.Find(id))
	j := &joiner{g: g, depth: maxHops, until: time.Now().Add(joinTime)}
	j.join(ctx, records)
	return why.NewAnswer(id, records)
}

// nested returns those records of a direction that came from the hop of that name, with
// what the app called meanwhile. Of a hop that is not named, all are returned.
func nested(records []why.Record, direction, from string) []why.Record {
	tops := []why.Record{}
	for _, r := range why.Nest(records) {
		if r.Direction == direction && (from == "" || r.From == from) {
			tops = append(tops, r)
		}
	}
	return tops
}

// joiner asks the next hops, for one answer.
type joiner struct {
	g     *generation
	depth int // hops that may yet be asked, one behind the other
	until time.Time
	hops  []*hop
}

// hop is an endpoint, and the attempts that one of our listeners made there under one
// ID, in their order.
type hop struct {
	id, from string
	service  *service
	address  string
	attempts []*why.Attempt
}

// join asks about the attempts of all records, and of what was called meanwhile, and
// waits for the answers.
func (j *joiner) join(ctx context.Context, records []why.Record) {
	ctx, cancel := context.WithDeadline(ctx, j.until)
	defer cancel()
	for i := range records {
		j.collect(&records[i])
		for k := range records[i].Calls {
			j.collect(&records[i].Calls[k])
		}
	}
	var asks sync.WaitGroup
	for _, h := range j.hops {
		asks.Go(func() { j.ask(ctx, h) })
	}
	asks.Wait()
}

// collect notes each endpoint that one record's attempts reached.
func (j *joiner) collect(r *why.Record) {
	if r.Direction == "inbound" { // behind it is the app
		return
	}
	s := j.g.named(r.Service)
	for i := range r.Attempts {
		a := &r.Attempts[i]
		if !a.Reached() {
			continue
		}
		h := j.hop(r, a.Endpoint)
		switch {
		case h != nil:
			h.attempts = append(h.attempts, a)
		case s == nil:
			a.Note = "the service is not there any more"
		case len(j.hops) >= maxAsked || j.depth <= 0:
			a.Note = "not asked: too many hops"
		default:
			j.hops = append(j.hops, &hop{id: r.ID, from: r.Hop, service: s, address: a.Endpoint, attempts: []*why.Attempt{a}})
		}
	}
}

// hop returns the hop that an attempt of r went to, where it is known already.
func (j *joiner) hop(r *why.Record, address string) *hop {
	for _, h := range j.hops {
		if h.from == r.Hop && h.address == address && h.service.name == r.Service {
			return h
		}
	}
	return nil
}

// named returns the service of that name, nil where there is none.
func (g *generation) named(name string) *service {
	for _, s := range g.services {
		if s.name == name {
			return s
		}
	}
	for _, f := range g.finders {
		if s := f.peek(name); s != nil {
			return s
		}
	}
	return nil
}

// ask asks one endpoint, and gives each attempt there its record: they come in the
// order of the attempts.
func (j *joiner) ask(ctx context.Context, h *hop) {
	records, err := j.fetch(ctx, h)
	for i, a := range h.attempts {
		switch {
		case err != nil:
			a.Note = "what happened there is not known: " + err.Error()
		case i < len(records):
			a.Next = &records[i]
		default:
			a.Note = "nothing is known of it there"
		}
	}
}

var (
	errNoProxy = errors.New("no proxy of ours answers there")
	errSlow    = errors.New("nobody answers there in time")
)

// patience is how long one hop may take, further ones that it asks included: half of
// what is left, so that one that is silent leaves time to say so.
func (j *joiner) patience() time.Duration { return max(time.Until(j.until)/2, 0) }

func (j *joiner) fetch(ctx context.Context, h *hop) ([]why.Record, error) {
	patience := j.patience()
	q := url.Values{
		"id": {h.id}, "from": {h.from},
		"depth":  {strconv.Itoa(j.depth - 1)},
		"within": {strconv.FormatInt((patience - hopMargin).Milliseconds(), 10)},
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
	defer cancel()
	status, kind, body, err := h.service.Ask(ctx, h.address, reservedWhy+"?"+q.Encode(), maxAnswer)
	switch {
	case errors.Is(err, outbound.ErrStranger), errors.Is(err, outbound.ErrNotThere):
		return nil, fmt.Errorf("it was not asked, since %w", err)
	case errors.Is(context.Cause(ctx), errSlow), ctx.Err() != nil:
		return nil, errSlow
	case err != nil:
		return nil, err
	case kind != whyKind || status != http.StatusOK:
		return nil, errNoProxy
	}
	var a hopAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("its answer cannot be read: %w", err)
	}
	return a.Records, nil
}
