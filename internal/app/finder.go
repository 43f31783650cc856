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
	maxFound  = 256              // services that nobody declared, at once
	foundIdle = 5 * time.Minute  // unused for so long, one makes room for another
	foundVoid = 10 * time.Second // likewise one that has never had an endpoint, since it was looked for
	foundWait = 2 * time.Second  // for the first endpoints of one
)

// finder reaches services that nobody declared, by their name as Host: each is looked
// for in the registry when it is first called.
type finder struct {
	proxy  *Proxy
	around around

	mu    sync.Mutex        // protects all below, and used and busy of each
	known map[string]*found // nil when closed
}

// found is one such service.
type found struct {
	finder  *finder
	service *service
	origin  http.RoundTripper
	begun   time.Time // when it was first asked for
	used    time.Time // when a request last began or ended
	busy    int       // requests in it
}

// undeclared is the rule for what no other rule takes: every host that is no service's
// name. Where there is a rule of the configuration for all hosts, there is none.
func (b *builder) undeclared(routes []*config.Route) []inbound.Route {
	if slices.ContainsFunc(routes, func(r *config.Route) bool { return everything(r) && len(r.Hosts) == 0 }) {
		return nil
	}
	is, origin := &mesh.Route{Name: anyPath}, http.RoundTripper(mesh.RoundTripFunc(unknownService))
	if b.g.cfg.Outbound.Undeclared == "discover" {
		around := b.around()
		f, err := b.g.finders.take(b.last.finders, keyOf(around.zone, b.g.cfg.Identity), func() (*finder, error) {
			return &finder{proxy: b.p, around: around, known: map[string]*found{}}, nil
		})
		b.fault(0, err)
		is.Service, origin = undeclaredLabel, f
	}
	rule := inbound.Route{Match: route.Match{Path: anyPath}, Is: is, Origin: origin}
	b.g.remember(is, &plan{rule: &config.Route{Path: anyPath}, key: "outbound.undeclared", made: rule})
	return []inbound.Route{rule}
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
	to, err := f.find(hostOf(req), time.Now())
	if err != nil {
		return nil, err
	}
	call := mesh.From(req)
	call.AtEnd(to)
	call.Service = mesh.Service(to.service.name)
	select {
	case <-to.service.Ready():
	default:
		if err := awaitFound(call, to.service.name, to.service.Ready()); err != nil {
			return nil, err
		}
	}
	return to.origin.RoundTrip(req)
}

// awaitFound waits for the first endpoints of a service.
func awaitFound(call *mesh.Call, name string, ready <-chan struct{}) error {
	within, cancel := context.WithTimeout(call.Context(), foundWait)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-within.Done():
	}
	if call.Context().Err() != nil {
		return context.Cause(call.Context())
	}
	return &mesh.Fault{Kind: mesh.NoEndpoints, Message: fmt.Sprintf("The service %q has not been found in time.", name)}
}

// find returns the service of that name for one request, begun anew where it is not
// known. Who has it calls leave.
func (f *finder) find(name string, now time.Time) (*found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		return nil, &mesh.Fault{Kind: mesh.NoEndpoints, Message: "The proxy is stopping, and looks for no more services."}
	}
	to := f.known[name]
	if to == nil {
		var err error
		name = strings.Clone(name) // kept beyond the request
		if to, err = f.begin(name, now); err != nil {
			return nil, err
		}
		f.known[name] = to
	}
	to.used = now
	to.busy++
	return to, nil
}

// End implements [mesh.Ender].
func (to *found) End(mesh.Result) { to.finder.leave(to, time.Now()) }

// leave ends a request's use of a service.
func (f *finder) leave(to *found, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to.used = now
	to.busy--
}

// begin has a service looked for. f.mu is held.
func (f *finder) begin(name string, now time.Time) (*found, error) {
	if !serviceName(name) {
		return nil, &mesh.Fault{Kind: mesh.NoRoute, Message: fmt.Sprintf("No service can be named %.100q.", name)}
	}
	f.makeRoom(now) // also while there is room: each is a watch that those that are needed wait for
	if len(f.known) >= maxFound {
		return nil, &mesh.Fault{Kind: mesh.Overflow, Message: "Too many undeclared services are in use; declare those that are needed."}
	}
	c := config.DefaultService()
	c.Name, c.Consul = name, &config.ConsulService{Service: name, Connect: "auto"}
	s, err := f.proxy.newService(c, f.around.edit(c))
	if err != nil {
		return nil, &mesh.Fault{Kind: mesh.Internal, Err: err}
	}
	s.label = undeclaredLabel
	f.proxy.start(s)
	return &found{finder: f, service: s, begun: now, origin: mesh.Stack(s.RoundTripper(outbound.Override{}), f.proxy.tel.Active(undeclaredLabel))}, nil
}

// undeclaredLabel stands for all of them in metrics: a label is for ever, and these come
// and go, as whoever calls likes.
const undeclaredLabel = "(undeclared)"

// makeRoom ends the services that nobody has used for long, and those that do not seem
// to exist: names that somebody made up must not keep out those that are needed. f.mu
// is held.
func (f *finder) makeRoom(now time.Time) {
	for name, known := range f.known {
		void := !known.service.Found() && now.Sub(known.begun) >= foundVoid
		if known.busy == 0 && (void || now.Sub(known.used) >= foundIdle) {
			known.service.stop()
			delete(f.known, name)
		}
	}
}

// close ends every service. No more are found.
func (f *finder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, known := range f.known {
		known.service.stop()
	}
	f.known = nil
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
