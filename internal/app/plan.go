package app

import (
	"outrider/inbound"
	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/mesh"
	"outrider/internal/route"
	"outrider/outbound"
	"outrider/policy"
	"outrider/policy/cache"
)

// plan is what one rule was made of. The rule's layers are functions, which tell nobody
// what they would do; these can be asked.
type plan struct {
	rule *config.Route
	key  string        // of the configuration: routing[2], or what the rule follows from
	made inbound.Route // its layers

	limit   *policy.Limiter // nil: none
	auth    *policy.Auth    // nil: none
	asks    *service        // the authentication service; nil: none
	cache   *cache.Cache    // nil: none
	choices []planned
	shed    *policy.Shed // nil: none
}

// planned is a service that a rule leads to.
type planned struct {
	*service
	weight   int
	is       *config.Service
	override outbound.Override
}

// way is one way in: what requests meet before any rule, and the rules.
type way struct {
	direction string
	pseudonym string
	hops      bridge.Hops
	forward   mesh.Layer
	guard     *inbound.Guard
	paths     *route.Table[policy.PathLimit] // nil: none
}

// remember keeps what the rule that is so called was made of.
func (g *generation) remember(is *mesh.Route, p *plan) {
	if g.plans == nil {
		g.plans = map[*mesh.Route]*plan{}
	}
	g.plans[is] = p
}

// plan returns the plan of the rule that out is to become.
func (b *builder) plan(out *inbound.Route) *plan { return b.g.plans[out.Is] }

// keyOfRule returns where the configuration says r: for a rule that nobody wrote, what
// it follows from.
func (b *builder) keyOfRule(r *config.Route) string {
	cfg := b.g.cfg
	switch key := cfg.RouteKey(r); {
	case key != "":
		return key
	case r.Service != "":
		return config.Key("services", r.Service)
	case cfg.Service != nil:
		return "inbound"
	}
	return ""
}

// pathTable returns the limits by path as something that can be asked.
func pathTable(limits []policy.PathLimit) (*route.Table[policy.PathLimit], error) {
	if len(limits) == 0 {
		return nil, nil //nolint:nilnil // no limits is an answer
	}
	rules := make([]route.Rule[policy.PathLimit], len(limits))
	for i, l := range limits {
		rules[i] = route.Rule[policy.PathLimit]{Match: route.Match{Path: l.Path}, Line: l.Line, Value: l}
	}
	return route.NewTable(rules)
}
