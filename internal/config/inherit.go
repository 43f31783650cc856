package config

import "reflect"

// override is a block that changes one above it. It waits until that is whole: the
// environment may have its say there, too.
type override struct {
	owner any // *Service or *Route
	field field
	place place
}

// inherit reads the blocks that start from others. Those of services come first,
// since routes start from theirs.
func (l *loader) inherit() {
	for _, services := range []bool{true, false} {
		for _, o := range l.overrides {
			if _, is := o.owner.(*Service); is != services {
				continue
			}
			block := reflect.New(o.field.typ.Elem())
			block.Elem().Set(reflect.ValueOf(l.above(o.owner, o.field.key)))
			l.value(o.place, o.field.tags, block.Elem())
			reflect.ValueOf(o.owner).Elem().Field(o.field.index).Set(block)
		}
	}
}

// above returns the block that owner's block of this name starts from. What it
// points to is shared: reading replaces lists, maps and pointers, and changes none.
func (l *loader) above(owner any, key string) any {
	service := DefaultService()
	if route, ok := owner.(*Route); ok {
		if s, ok := l.cfg.Services[route.Service]; ok {
			service = s
		}
	}
	switch key {
	case "retries":
		return service.Retries
	case "circuit_breaker":
		if service.CircuitBreaker != nil {
			return *service.CircuitBreaker
		}
		return l.cfg.CircuitBreaker
	case "auth":
		return l.cfg.Auth
	case "rate_limiting":
		limits := l.cfg.RateLimiting
		limits.Paths = nil // they act on every route already
		return limits
	case "cache":
		return l.cfg.Cache
	case "transform":
		return l.cfg.Transform
	default:
		return l.cfg.CORS
	}
}
