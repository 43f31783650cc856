package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"outrider/inbound"
	"outrider/internal/config"
	"outrider/internal/mesh"
	"outrider/internal/route"
	"outrider/outbound"
)

const (
	maxFound  = 256             // services that nobody declared, at once
	foundIdle = 5 * time.Minute // unused for so long, one makes room for another
	foundWait = 2 * time.Second // for the first endpoints of one
)

// finder reaches services that nobody declared, by their name as Host: each is looked
// for in the registry when it is first called.
type finder struct {
	proxy *Proxy

	mu    sync.Mutex // protects known
	known map[string]*found
}

// found is one such service.
type found struct {
	service *service
	origin  http.RoundTripper
	used    time.Time // when it was last asked for
}

// undeclared is the rule for what no other rule takes: every host that is no service's
// name. Where there is a rule of the configuration for all hosts, there is none.
func (b *builder) undeclared(routes []*config.Route) []inbound.Route {
	if slices.ContainsFunc(routes, func(r *config.Route) bool { return everything(r) && len(r.Hosts) == 0 }) {
		return nil
	}
	origin := http.RoundTripper(mesh.RoundTripFunc(unknownService))
	if b.g.cfg.Outbound.Undeclared == "discover" {
		f, err := b.g.finders.take(b.last.finders, "", func() (*finder, error) {
			return &finder{proxy: b.p, known: map[string]*found{}}, nil
		})
		b.fault(0, err)
		origin = f
	}
	return []inbound.Route{{Match: route.Match{Path: anyPath}, Is: &mesh.Route{Name: anyPath}, Origin: origin}}
}

// unknownService refuses a host that is no service's name.
func unknownService(req *http.Request) (*http.Response, error) {
	return nil, &mesh.Fault{Kind: mesh.NoRoute, Message: fmt.Sprintf("No service is declared as %.100q.", hostOf(req))}
}

func hostOf(req *http.Request) string {
	host := req.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// RoundTrip sends req to the service that its Host names.
func (f *finder) RoundTrip(req *http.Request) (*http.Response, error) {
	name := strings.Clone(hostOf(req)) // kept beyond the request
	to, err := f.find(name, time.Now())
	if err != nil {
		return nil, err
	}
	call := mesh.From(req)
	call.Service = mesh.Service(name)
	within, cancel := context.WithTimeout(call.Context(), foundWait)
	defer cancel()
	select {
	case <-to.service.Ready():
	case <-within.Done():
		if call.Context().Err() != nil {
			return nil, context.Cause(call.Context())
		}
		return nil, &mesh.Fault{Kind: mesh.NoEndpoints, Message: fmt.Sprintf("The service %q has not been found in time.", name)}
	}
	return to.origin.RoundTrip(req)
}

// find returns the service of that name, begun anew where it is not known.
func (f *finder) find(name string, now time.Time) (*found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.known[name]; known != nil {
		known.used = now
		return known, nil
	}
	if !serviceName(name) {
		return nil, &mesh.Fault{Kind: mesh.NoRoute, Message: fmt.Sprintf("No service can be named %.100q.", name)}
	}
	if len(f.known) >= maxFound {
		f.makeRoom(now)
	}
	if len(f.known) >= maxFound {
		return nil, &mesh.Fault{Kind: mesh.Overflow, Message: "Too many undeclared services are in use; declare those that are needed."}
	}
	c := config.DefaultService()
	c.Name, c.Consul = name, &config.ConsulService{Service: name, Connect: "auto"}
	s, err := f.proxy.newService(c)
	if err != nil {
		return nil, &mesh.Fault{Kind: mesh.Internal, Err: err}
	}
	f.proxy.start(s)
	known := &found{service: s, used: now, origin: mesh.Stack(s.RoundTripper(outbound.Override{}), f.proxy.tel.Active(undeclaredLabel))}
	f.known[name] = known
	return known, nil
}

// undeclaredLabel stands for all of them in gateway_active_connections: a label is
// for ever, and these come and go.
const undeclaredLabel = "(undeclared)"

// makeRoom ends the services that nobody has used for long. f.mu is held.
func (f *finder) makeRoom(now time.Time) {
	for name, known := range f.known {
		if now.Sub(known.used) >= foundIdle {
			known.service.stop()
			delete(f.known, name)
		}
	}
}

// close ends every service.
func (f *finder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, known := range f.known {
		known.service.stop()
		delete(f.known, name)
	}
}

// services lists what has been found.
func (f *finder) services() []*service {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*service
	for _, known := range f.known {
		all = append(all, known.service)
	}
	return all
}

// serviceName reports whether a service can be named so: what can stand in DNS, as
// Consul recommends.
func serviceName(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return name[0] != '.' && name[0] != '-'
}
