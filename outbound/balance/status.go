package balance

import (
	"time"

	"outrider/internal/mesh"
)

// EndpointStatus is how an endpoint fares.
type EndpointStatus struct {
	Endpoint     mesh.Endpoint   // its weight, health and note as they were said last
	Usable       bool            // requests may go there, as far as its breakers let them; never when Endpoint.Withdrawn
	Warmth       float64         // fraction of its weight that its slow start leaves it, from 0.1 to 1
	EjectedUntil time.Time       // zero when it is not ejected
	Breakers     []BreakerStatus // one for each distinct setting
	InFlight     int
	Waiting      int           // for a place
	Latency      time.Duration // moving average to the response's head, with peaks and failures; zero is unknown
	Successes    uint64        // since it joined the set
	Failures     uint64
}

// BreakerStatus is the state of one breaker.
type BreakerStatus struct {
	Breaker Breaker
	State   State
	Until   time.Time // when an open one lets trials through; zero when it is not open
}

// Status returns how each endpoint fares, in the order of the last Update.
func (b *Balancer) Status() []EndpointStatus {
	now := b.now()
	s := b.current(now)
	all := make([]EndpointStatus, len(s.all))
	for i, m := range s.all {
		all[i] = b.status(s, m, now)
	}
	return all
}

func (b *Balancer) status(s *snapshot, m *member, now time.Duration) EndpointStatus {
	st := EndpointStatus{
		Endpoint:  m.said,
		Usable:    s.usable(m),
		Warmth:    1,
		InFlight:  int(m.place.inFlight.Load()),
		Waiting:   int(m.place.waiting.Load()),
		Latency:   time.Duration(m.cost.at(now)),
		Successes: m.successes.Load(),
		Failures:  m.failures.Load(),
	}
	if s.slowed {
		st.Warmth = b.warmth(m.endpoint, now)
	}
	if until := m.ejectedUntil.Load(); until > int64(now) {
		st.EjectedUntil = b.epoch.Add(time.Duration(until))
	}
	for _, c := range *m.circuits.Load() {
		st.Breakers = append(st.Breakers, b.breakerStatus(c, now))
	}
	return st
}

func (b *Balancer) breakerStatus(c *circuit, now time.Duration) BreakerStatus {
	st := BreakerStatus{Breaker: c.settings, State: c.at(now)}
	if st.State == Open {
		st.Until = b.epoch.Add(time.Duration(c.until.Load()))
	}
	return st
}
