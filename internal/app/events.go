package app

import (
	"slices"
	"time"

	"outrider/internal/admin"
	"outrider/internal/mesh"
	"outrider/internal/telemetry"
	"outrider/outbound"
	"outrider/outbound/balance"
)

// balanceEvents points a balancer's events at the metrics; the balancer logs them
// itself.
func (p *Proxy) balanceEvents(s *service) balance.Events {
	return balance.Events{
		Ejected: func(mesh.Endpoint, time.Duration) { p.tel.Ejection(s.label) },
		Panic:   s.panic.Store,
		Breaker: func(_ mesh.Endpoint, from, to balance.State) {
			p.tel.BreakerTransition(s.label, from.String(), to.String())
		},
	}
}

func (p *Proxy) outboundEvents(s *service) outbound.Events {
	return outbound.Events{
		Retry:           func(_ mesh.Service, _ int, reason string) { p.tel.Retry(s.label, reason) },
		BudgetExhausted: func(mesh.Service) { p.tel.RetryBudgetExhausted(s.label) },
		Health: func(_ mesh.Service, e mesh.Endpoint) {
			to := "healthy"
			if e.Unhealthy {
				to = "unhealthy"
			}
			p.tel.HealthChange(s.label, to)
		},
	}
}

func (p *Proxy) limiterKeys() int64 {
	var n int64
	for _, l := range p.current.Load().limiters {
		n += int64(l.Keys())
	}
	return n
}

func (p *Proxy) cacheBytes() int64 {
	var n int64
	for _, store := range p.current.Load().stores {
		_, bytes := store.Stats()
		n += bytes
	}
	return n
}

// serviceStates is what a scrape shows.
func (p *Proxy) serviceStates() []telemetry.ServiceState {
	var all []telemetry.ServiceState
	for _, s := range p.current.Load().sorted() {
		status := s.Status()
		state := telemetry.ServiceState{Name: s.name, Panic: s.panic.Load(), RetryBudget: float64(status.RetryBudget)}
		state.Mode, state.Age = s.known()
		for _, e := range status.Endpoints {
			switch stateOf(e) {
			case "ejected":
				state.Ejected++
			case "unhealthy", "withdrawn":
				state.Unhealthy++
			default:
				state.Healthy++
			}
			switch worst(e) {
			case balance.Open:
				state.Open++
			case balance.HalfOpen:
				state.HalfOpen++
			case balance.Closed:
				if len(e.Breakers) > 0 {
					state.Closed++
				}
			}
		}
		all = append(all, state)
	}
	return all
}

// known returns how the endpoints of a service of the catalogue are known, and since
// when; "" for another.
func (s *service) known() (mode string, age time.Duration) {
	if s.ladder == nil {
		return "", 0
	}
	state := s.ladder.State()
	return state.Mode.String(), state.Age
}

// expiry returns when the mesh certificate expires; the zero time without one.
func (p *Proxy) expiry() time.Time {
	if m := p.current.Load().mesh; m != nil {
		return m.Expiry()
	}
	return time.Time{}
}

// adminServices is what /services and the status page show.
func (p *Proxy) adminServices() []admin.Service {
	var all []admin.Service
	g := p.current.Load()
	services := g.sorted()
	for _, f := range g.finders {
		services = append(services, f.services()...)
	}
	for _, s := range services {
		status := s.Status()
		out := admin.Service{Name: s.name, Policy: s.policy, Ready: status.Ready, Error: status.LastError}
		mode, age := s.known()
		out.Mode, out.AgeS = mode, age.Seconds()
		for _, e := range status.Endpoints {
			shown := admin.Endpoint{
				Address:   e.Endpoint.Address,
				Zone:      e.Endpoint.Zone,
				State:     stateOf(e),
				Note:      e.Endpoint.HealthNote,
				Weight:    e.Endpoint.Share(),
				InFlight:  e.InFlight,
				Waiting:   e.Waiting,
				LatencyMS: float64(e.Latency) / float64(time.Millisecond),
				Successes: e.Successes,
				Failures:  e.Failures,
			}
			if len(e.Breakers) > 0 {
				shown.Breaker = worst(e).String()
			}
			out.Endpoints = append(out.Endpoints, shown)
		}
		all = append(all, out)
	}
	return all
}

// stateOf names an endpoint's state in one word.
func stateOf(e balance.EndpointStatus) string {
	switch {
	case e.Endpoint.Withdrawn:
		return "withdrawn"
	case e.Endpoint.Unhealthy:
		return "unhealthy"
	case !e.EjectedUntil.IsZero():
		return "ejected"
	default:
		return "healthy"
	}
}

// worst returns the state of the endpoint's breaker that lets the least through.
func worst(e balance.EndpointStatus) balance.State {
	state := balance.Closed
	for _, b := range e.Breakers {
		state = max(state, b.State)
	}
	return state
}

// Reachable reports whether every service has an endpoint that is healthy.
func (p *Proxy) Reachable() bool {
	g := p.current.Load()
	if g == nil {
		return false
	}
	for _, s := range g.services {
		if !slices.ContainsFunc(s.Status().Endpoints, func(e balance.EndpointStatus) bool { return stateOf(e) == "healthy" }) {
			return false
		}
	}
	return true
}
