package app

import (
	"fmt"
	"strings"
	"time"

	"outrider/internal/config"
	"outrider/internal/explain"
	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/outbound/balance"
)

// origin is what the route leads to.
func (x *explanation) origin() bool {
	p := x.plan
	switch {
	case p.rule.Redirect != nil, p.rule.Respond != nil:
		return x.direct()
	case len(p.choices) == 0:
		return x.undeclared()
	case p.shed != nil && !x.shed():
		return false
	}
	total := 0
	for _, c := range p.choices {
		total += c.weight
	}
	for _, c := range p.choices {
		if c.weight > 0 {
			x.service(c, float64(c.weight)/float64(total))
		}
	}
	x.conclude()
	return true
}

// direct is a redirect or a direct response, which is made without asking anybody.
func (x *explanation) direct() bool {
	resp, err := x.plan.made.Origin.RoundTrip(x.req)
	if err != nil {
		return x.stop("origin", mesh.AsFault(err))
	}
	resp.Body.Close()
	if to := resp.Header.Get("Location"); to != "" {
		return x.answer("redirect", resp.StatusCode, "to "+to, x.set("redirect", "", config.Key(x.plan.key, "redirect")))
	}
	return x.answer("respond", resp.StatusCode, "a direct response", x.set("respond", "", config.Key(x.plan.key, "respond")))
}

// undeclared is a host that is no service's name, at the outbound.
func (x *explanation) undeclared() bool {
	name := hostOf(x.req)
	mode := x.set("outbound.undeclared", x.g.cfg.Outbound.Undeclared)
	f, discovers := x.plan.made.Origin.(*finder)
	if !discovers {
		_, err := unknownService(x.req) //nolint:bodyclose // there is none
		return x.stop("undeclared", mesh.AsFault(err), mode)
	}
	if known := f.peek(name); known != nil {
		x.layer("undeclared", explain.Passes, name+" has been found in the registry", mode)
		x.service(planned{service: known, weight: 1}, 1)
		x.conclude()
		return true
	}
	if !serviceName(name) {
		return x.stop("undeclared", &mesh.Fault{Kind: mesh.NoRoute, Message: fmt.Sprintf("No service can be named %.100q.", name)}, mode)
	}
	x.layer("undeclared", explain.Asks, name+" would be looked for in the registry", mode)
	x.report.Verdict = fmt.Sprintf("would go to %s, if the registry knows a service of that name", name)
	return true
}

// peek returns the service of that name, nil where nobody has called it yet.
func (f *finder) peek(name string) *service {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.known[name]; known != nil {
		return known.service
	}
	return nil
}

func (x *explanation) shed() bool {
	limit := x.g.cfg.Inbound.MaxConcurrent
	setting := x.set("inbound.max_concurrent", limit)
	now := x.plan.shed.InFlight()
	switch {
	case limit == 0:
		x.layer("shed", explain.Passes, "no limit", setting)
	case now >= limit:
		return x.stop("shed", &mesh.Fault{Kind: mesh.Shed, Message: fmt.Sprintf("Too many requests in flight: %d of %d.", now, limit)}, setting)
	default:
		x.layer("shed", explain.Passes, fmt.Sprintf("%d of %d places are taken", now, limit), setting)
	}
	return true
}

// service says what the stack of one service would do.
func (x *explanation) service(c planned, share float64) {
	plan := c.Explain(c.override, x.req, x.call)
	s := explain.Service{Name: c.name, Share: share, Endpoints: []explain.Endpoint{}}
	s.Layers = []explain.Layer{x.timeouts(c, plan), x.retries(c, plan), x.breaker(c, plan), x.balance(c, plan)}
	takes, b := 0, plan.Balance
	for _, e := range b.Candidates {
		s.Endpoints = append(s.Endpoints, endpoint(e, b.Next))
		if e.Takes {
			takes++
		}
	}
	if f := b.Fault; f != nil {
		s.Code = f.Kind.Code()
		s.Verdict = fmt.Sprintf("would be answered %d %s: %v", f.Kind.Status(), f.Kind.Code(), f.Err)
	} else {
		s.Verdict = fmt.Sprintf("one of %d endpoints, of %d in all", takes, len(b.Candidates))
		if b.Next != "" {
			s.Verdict = fmt.Sprintf("next is %s, of %d endpoints that would do and %d in all", b.Next, takes, len(b.Candidates))
		}
	}
	x.report.Services = append(x.report.Services, s)
}

func endpoint(e balance.Candidate, next string) explain.Endpoint {
	out := explain.Endpoint{
		Address: e.Endpoint.Address, Zone: e.Endpoint.Zone, State: stateOf(e.EndpointStatus), Weight: e.Endpoint.Share(),
		InFlight: e.InFlight, Waiting: e.Waiting,
		LatencyMS: float64(e.Latency.Microseconds()) / 1000, CostMS: float64(e.Cost.Microseconds()) / 1000,
		Takes: e.Takes, Next: e.Takes && e.Endpoint.Address == next, Why: e.Why,
	}
	if e.Breaker != nil {
		out.Breaker = e.Breaker.State.String()
	}
	return out
}

// conclude makes one verdict of those of the services.
func (x *explanation) conclude() {
	var words []string
	for _, s := range x.report.Services {
		words = append(words, s.Name+": "+s.Verdict)
	}
	if len(words) > 1 {
		x.report.Verdict = "would go to one of several services, drawn by weight: " + strings.Join(words, "; ")
		return
	}
	s := x.report.Services[0]
	if s.Code == "" {
		x.report.Verdict = "would go to " + words[0]
		return
	}
	x.report.Verdict, x.report.Code = s.Verdict, s.Code
	for _, kind := range mesh.Kinds() {
		if kind.Code() == s.Code {
			x.report.Status = kind.Status()
		}
	}
	for _, l := range s.Layers {
		if l.Does == explain.Stops && len(l.Settings) > 0 {
			x.report.From = l.Settings[0].From + " (" + l.Settings[0].Key + ")"
		}
	}
}

// keys are where the configuration may set a key of a service, the strongest first.
func (x *explanation) keys(c planned, below ...string) []string {
	if c.is == nil { // the app, or a service that nobody declared
		return []string{config.Key(x.plan.key, below...), config.Key("inbound", below...)}
	}
	return []string{config.Key(x.plan.key, below...), config.Key(config.Key("services", c.name), below...)}
}

// own are those where only the service may set it.
func (x *explanation) own(c planned, below ...string) []string { return x.keys(c, below...)[1:] }

// timeouts says which bounds act, and which of them comes first for an endpoint that
// does not answer.
func (x *explanation) timeouts(c planned, p outbound.Plan) explain.Layer {
	l := explain.Layer{Name: "timeout", Does: explain.Passes}
	total := x.set("timeout", p.Timeout, x.keys(c, "timeout")...)
	perTry := x.set("per_try_timeout", p.PerTry, x.own(c, "per_try_timeout")...)
	binds := func(d time.Duration, s explain.Setting, kind mesh.Kind) {
		at := s.From
		if s.Key != "" {
			at += ", " + s.Key
		}
		l.Says = fmt.Sprintf("an endpoint that does not answer costs %s (%s: %s)", d, kind.Code(), at)
	}
	switch {
	case p.Asked > 0 && (p.Timeout == 0 || p.Asked < p.Timeout) && (p.PerTry == 0 || p.Asked < p.PerTry):
		l.Says = fmt.Sprintf("the client's own grpc-timeout of %s comes first", p.Asked)
	case p.PerTry > 0 && (p.Timeout == 0 || p.PerTry < p.Timeout):
		binds(p.PerTry, perTry, mesh.PerTryTimeout)
		if p.Timeout > 0 {
			l.Says += fmt.Sprintf(", all attempts together %s", p.Timeout)
		}
	case p.Timeout > 0:
		binds(p.Timeout, total, mesh.ResponseTimeout)
		l.Says += ", all attempts together"
	default:
		l.Says = fmt.Sprintf("none: only an answer in which nothing moves for %s is ended", p.Idle)
	}
	l.Settings = []explain.Setting{
		total, perTry,
		x.set("connect_timeout", p.Connect, x.own(c, "connect_timeout")...),
		x.set("idle_timeout", p.Idle, x.own(c, "idle_timeout")...),
	}
	return l
}

func (x *explanation) retries(c planned, p outbound.Plan) explain.Layer {
	l := explain.Layer{Name: "retry", Does: explain.Passes, Settings: []explain.Setting{
		x.set("retries.attempts", p.Retry.Attempts, x.keys(c, "retries", "attempts")...),
		x.set("retries.on", p.Retry.On, x.keys(c, "retries", "on")...),
		x.set("retries.base", p.Retry.Base, x.keys(c, "retries", "base")...),
		x.set("retries.max", p.Retry.Max, x.keys(c, "retries", "max")...),
		x.set("retries.budget.percent", p.Retry.Budget.Percent, x.keys(c, "retries", "budget", "percent")...),
		x.set("retries.budget.min", p.Retry.Budget.Min, x.keys(c, "retries", "budget", "min")...),
	}}
	switch {
	case p.Retry.Attempts == 0:
		l.Says = "no further attempt"
	case len(p.Acts) == 0:
		l.Says = "no further attempt: " + x.req.Method + " may do harm twice, and nothing in on is free of that"
	default:
		l.Says = fmt.Sprintf("up to %d further attempts on %s; the budget has %d left", p.Retry.Attempts, strings.Join(p.Acts, ", "), p.BudgetLeft)
		if !p.Idempotent {
			l.Says += "; " + x.req.Method + " may do harm twice, so that only connect counts"
		}
	}
	return l
}

func (x *explanation) breaker(c planned, p outbound.Plan) explain.Layer {
	l := explain.Layer{Name: "breaker", Does: explain.Passes, Says: "none"}
	for _, e := range p.Balance.Candidates {
		if e.Breaker == nil {
			continue
		}
		b := e.Breaker.Breaker
		l.Says = "one for each endpoint"
		key := func(name string) []string {
			return append(x.keys(c, "circuit_breaker", name), config.Key("circuit_breaker", name))
		}
		l.Settings = []explain.Setting{
			x.set("failure_threshold", b.FailureThreshold, key("failure_threshold")...),
			x.set("recovery_timeout", b.RecoveryTimeout, key("recovery_timeout")...),
			x.set("success_threshold", b.SuccessThreshold, key("success_threshold")...),
		}
		break
	}
	if f := p.Balance.Fault; f != nil && f.Kind == mesh.BreakerOpen {
		l.Does = explain.Stops
	}
	return l
}

func (x *explanation) balance(c planned, p outbound.Plan) explain.Layer {
	b := p.Balance
	l := explain.Layer{Name: "balance", Does: explain.Passes}
	policy := x.set("load_balancing.policy", b.Policy, x.own(c, "load_balancing", "policy")...)
	where := x.set("endpoints", len(b.Candidates), whereabouts(c)...)
	l.Settings = []explain.Setting{where, policy}
	l.Says = fmt.Sprintf("%d of %d endpoints are healthy", b.Healthy, b.Present)
	if b.Panic {
		l.Says += ": so few that health is disregarded"
	}
	if b.Share < 1 {
		l.Says += fmt.Sprintf("; our zone gets %.0f %% of the requests", 100*b.Share)
	}
	if b.Key != "" && !b.Keyed {
		l.Says += "; the request has no " + b.Key + " to hash on"
	}
	if f := b.Fault; f != nil && f.Kind != mesh.BreakerOpen {
		l.Does = explain.Stops
		if f.Kind == mesh.Overflow {
			l.Settings = append([]explain.Setting{x.set("max_connections", "reached", x.own(c, "max_connections")...)}, l.Settings...)
		}
	}
	return l
}
