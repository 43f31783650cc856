package balance

import (
	"fmt"
	"net/http"
	"time"

	"outrider/internal/mesh"
)

// Candidate is an endpoint and what a request would find there.
type Candidate struct {
	EndpointStatus
	Takes   bool           // a request would be let in, now or after a wait
	Why     string         // why not, or what holds it back; empty for nothing
	Breaker *BreakerStatus // the one that the request would meet; nil is none
	Near    bool           // it is in our zone, or zones make no difference
	Cost    time.Duration  // what one more request would have to expect, as p2c reckons; zero is unknown
}

// Explanation says where a request would go.
type Explanation struct {
	Policy     string
	Panic      bool
	Present    int     // how many endpoints are not withdrawn
	Healthy    int     // how many of them are healthy and not ejected
	Share      float64 // of the requests that our zone gets; 1 where zones make no difference
	Key        string  // what the policy hashes on; empty where it does not
	Keyed      bool    // the request has that
	Candidates []Candidate

	Next  string      // the address that the policy would pick now; empty where chance decides, or nobody can be picked
	Fault *mesh.Fault // what the request would be answered with; nil where it would be sent
}

// Explain says where req would go through a breaker of these settings, nil being
// none. Nothing is sent, and no place, trial or turn is taken.
func (b *Balancer) Explain(settings *Breaker, req *http.Request, call *mesh.Call) Explanation {
	now := b.now()
	v := b.seen(settings)
	q := query{view: v, now: now}
	if b.key != nil {
		q.key, q.keyed = b.key.of(call, req)
	}
	s := b.current(now)
	x := Explanation{Policy: b.cfg.Policy, Panic: s.panic, Present: s.present, Healthy: s.healthy, Share: s.share, Keyed: q.keyed}
	if x.Policy == "" {
		x.Policy = P2C
	}
	if b.key != nil {
		x.Key = b.cfg.HashOn
	}
	open := false
	for _, m := range s.all {
		c := b.candidate(q, s, m)
		open = open || c.Takes
		x.Candidates = append(x.Candidates, c)
	}
	if !open {
		x.Fault = v.refusal(now)
		return x
	}
	if m, sure := b.peek(q); m != nil && sure {
		x.Next = m.info.Address
	}
	return x
}

// seen returns the view with these settings, or one whose breakers nobody has met yet.
func (b *Balancer) seen(settings *Breaker) *view {
	if v, ok := b.Through(settings).(*view); ok {
		return v
	}
	return &view{b: b, index: noBreaker}
}

func (b *Balancer) candidate(q query, s *snapshot, m *member) Candidate {
	c := Candidate{EndpointStatus: b.status(s, m, q.now), Near: s.share == 1 || m.said.Zone == b.cfg.Zone}
	circuit := m.circuit(q.view)
	if circuit != nil {
		st := b.breakerStatus(circuit, q.now)
		c.Breaker = &st
	}
	if o := m.outlook(q.now); o.last != 0 {
		c.Cost = time.Duration(o.cost * (o.load + 1) / o.weight)
	}
	c.Why = b.obstacle(q, s, m)
	if c.Takes = c.Why == ""; !c.Takes {
		return c
	}
	switch {
	case !m.place.free():
		c.Why = fmt.Sprintf("all %d places are taken: a request would wait", b.cfg.MaxConnections)
	case circuit != nil && circuit.at(q.now) == HalfOpen:
		c.Why = "its breaker is half-open: a request would be a trial"
	case s.slowed && b.warmth(m.endpoint, q.now) < 1:
		c.Why = fmt.Sprintf("in slow start, at %.0f %% of its weight", 100*b.warmth(m.endpoint, q.now))
	case m.said.Unhealthy:
		c.Why = "unhealthy, which panic disregards: " + m.said.HealthNote
	case !c.Near && s.share == 1:
	case !c.Near:
		c.Why = fmt.Sprintf("of another zone, which gets %.0f %% of the requests", 100*(1-s.share))
	case m.ejectedUntil.Load() > int64(q.now):
		c.Why = "ejected, and nobody else is left"
	}
	return c
}

// obstacle says why a request would not be sent to m, "" for nothing.
func (b *Balancer) obstacle(q query, s *snapshot, m *member) string {
	until := time.Duration(m.ejectedUntil.Load())
	switch circuit := m.circuit(q.view); {
	case m.said.Withdrawn:
		return note("withdrawn by its operator", m.said.HealthNote)
	case m.said.Unhealthy && !s.panic:
		return note("unhealthy", m.said.HealthNote)
	case until > q.now && !s.usable(m):
		return fmt.Sprintf("ejected for another %s after %d failures in a row", (until - q.now).Round(time.Second), b.cfg.Outlier.ConsecutiveFailures)
	case circuit.admits(q.now):
	case circuit.at(q.now) == Open:
		return fmt.Sprintf("its breaker is open for another %s after %d failures in a row", circuit.recovers(q.now).Round(time.Second), circuit.settings.FailureThreshold)
	default:
		return fmt.Sprintf("its breaker is half-open, and all %d trials are under way", circuit.settings.SuccessThreshold)
	}
	if !m.place.free() && !m.place.queueable() {
		return fmt.Sprintf("all %d places are taken and %d requests wait", b.cfg.MaxConnections, m.place.waiting.Load())
	}
	return ""
}

func note(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}
