package config

import (
	"fmt"
	"slices"
)

// complete fills in what depends on other keys.
func (l *loader) complete() {
	for _, name := range sorted(l.cfg.Services) {
		s := l.cfg.Services[name]
		if b := &s.LoadBalancing; b.Policy == "ring_hash" && b.HashOn == "" {
			b.HashOn = "client_ip"
		}
		l.locate(under("services", name), s)
	}
}

// locate has Consul asked for a service that is said to be nowhere else.
func (l *loader) locate(path string, s *Service) {
	if l.cfg.Consul == nil {
		return // checkService tells
	}
	if len(l.present(path, "url", "instances", "consul")) == 0 {
		s.Consul = blankOf[ConsulService]()
	}
	if s.Consul == nil {
		return
	}
	if s.Consul.Service == "" {
		s.Consul.Service = s.Name
	}
	at := under(path, "consul")
	for _, tenancy := range []struct {
		key, name string
		into      *string
	}{
		{"namespace", "CONSUL_NAMESPACE", &s.Consul.Namespace},
		{"partition", "CONSUL_PARTITION", &s.Consul.Partition},
	} {
		text := l.environ[tenancy.name]
		if text == "" || l.has(under(at, tenancy.key)) {
			continue
		}
		if want := conform("word", text); want != "" {
			l.add(Problem{Message: fmt.Sprintf("%s: want %s, found %s", tenancy.name, want, l.quoted(text))})
			continue
		}
		*tenancy.into = text
	}
}

// spread adds the middleware of every request to inbound's routes, so that each
// tells in full what acts on it.
func (l *loader) spread() {
	if l.cfg.Inbound == nil {
		return
	}
	for _, r := range l.cfg.Inbound.Routing {
		every := l.cfg.Inbound.Middleware
		if r.Redirect != nil || r.Respond != nil { // nothing to keep
			every = slices.DeleteFunc(slices.Clone(every), func(name string) bool { return name == MiddlewareCache })
		}
		r.Middleware = arrange(append(every[:len(every):len(every)], r.Middleware...))
	}
}
