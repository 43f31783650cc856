package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"syscall"

	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/door"
	"outrider/internal/mesh"
)

// The keys of the addresses that requests come in by.
const (
	serverKey   = "server.port"
	inboundKey  = "inbound.listen"
	outboundKey = "outbound.listen"
)

// ownPort is the key of a service's own port.
func ownPort(service string) string { return "services." + service + ".listen" }

// entrance is one address that requests come in by. Which handler they meet there is
// the newest generation's business; which addresses there are never changes.
type entrance struct {
	proxy    *Proxy
	key      string // of the configuration, which says where
	calls    bool   // it is for calls of the app, which may make some while its last requests are finished
	door     *door.Door
	requests *inFlight
}

var _ door.Handler = (*entrance)(nil)

// spot is where an entrance is to be.
type spot struct {
	key, addr string
	calls     bool
	where     func(*Addresses, string) // notes the address in use
}

// spots lists the entrances that a configuration asks for.
func spots(cfg *config.Config) []spot {
	if cfg.Service == nil {
		addr := net.JoinHostPort(cfg.Server.Host, strconv.Itoa(cfg.Server.Port))
		return []spot{{serverKey, addr, false, func(a *Addresses, at string) { a.Server = at }}}
	}
	all := []spot{
		{inboundKey, cfg.Inbound.Listen, false, func(a *Addresses, at string) { a.Inbound = at }},
		{outboundKey, cfg.Outbound.Listen, true, func(a *Addresses, at string) { a.Outbound = at }},
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Services)) {
		if addr := cfg.Services[name].Listen; addr != "" {
			all = append(all, spot{ownPort(name), addr, true, func(a *Addresses, at string) { a.Services[name] = at }})
		}
	}
	return all
}

// openEntrances listens on every address that requests come in by, or on none.
func (p *Proxy) openEntrances(ctx context.Context, cfg *config.Config) error {
	p.where.Services = map[string]string{}
	for _, s := range spots(cfg) {
		ln, err := open(ctx, s.key, s.addr)
		if err != nil {
			p.shut()
			return err
		}
		s.where(&p.where, ln.Addr().String())
		in := door.New(p.life, ln, door.Config{
			Limit:   cfg.Limits.Connections,
			Log:     p.log,
			Name:    p.name + suffix["inbound"], // where both TLS and plain may come in
			Refused: func(f *mesh.Fault) { p.tel.Fault("inbound", f.Kind) },
		})
		p.entrances = append(p.entrances, &entrance{
			proxy:    p,
			key:      s.key,
			calls:    s.calls,
			door:     in,
			requests: newInFlight(),
		})
	}
	return nil
}

// shut closes the listeners of all entrances.
func (p *Proxy) shut() {
	for _, e := range p.entrances {
		e.door.Shut()
	}
}

// passage is what one generation has behind an entrance: the same stack for either
// protocol.
type passage struct {
	edge  *bridge.Edge // HTTP/1.1
	http2 http.Handler
}

// Handle passes a request of HTTP/1.1 to the newest generation.
func (e *entrance) Handle(req *http.Request) (*http.Response, error) {
	return e.closing(e.admit(req).Handle(req))
}

// Refuse passes on what is no request.
func (e *entrance) Refuse(req *http.Request, f *mesh.Fault) (*http.Response, error) {
	return e.closing(e.admit(req).Refuse(req, f))
}

// Fail returns the Fault that a call ends with whose answer broke off.
func (e *entrance) Fail(req *http.Request, err error) *mesh.Fault {
	return e.proxy.current.Load().passages[e.key].edge.Fail(req, err)
}

// admit counts a request, until its call ends, into the newest generation.
func (e *entrance) admit(req *http.Request) *bridge.Edge {
	call := mesh.From(req)
	e.requests.begin()
	call.AtEnd(e.requests)
	g := e.proxy.enter()
	call.AtEnd(g.inFlight)
	return g.passages[e.key].edge
}

// closing has the client's next request go elsewhere where this proxy is leaving.
func (e *entrance) closing(resp *http.Response, err error) (*http.Response, error) {
	if resp != nil && e.leaving() {
		resp.Close = true
	}
	return resp, err
}

func (e *entrance) leaving() bool {
	return !e.calls && (e.proxy.draining.Load() || e.proxy.enrolment.ended())
}

// ServeHTTP passes a request of HTTP/2 to the newest generation.
func (e *entrance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.requests.begin()
	defer e.requests.end()
	g := e.proxy.enter()
	defer g.inFlight.end()
	if e.leaving() {
		w.Header().Set("Connection", "close") // HTTP/2 says it by GOAWAY
	}
	g.passages[e.key].http2.ServeHTTP(w, r)
}

// open listens, and where it cannot says which key is to be changed.
func open(ctx context.Context, key, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is taken by another process: stop it, or choose another port", key, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", key, addr, err)
	}
	return ln, nil
}

// connections counts the clients' connections that are open.
func (p *Proxy) connections() int {
	n := 0
	for _, e := range p.entrances {
		n += e.door.Open()
	}
	return n
}

// named lists the addresses in use, each behind its name.
func (a *Addresses) named() [][2]string {
	all := [][2]string{{"server", a.Server}, {"inbound", a.Inbound}, {"outbound", a.Outbound}}
	for _, name := range slices.Sorted(maps.Keys(a.Services)) {
		all = append(all, [2]string{name, a.Services[name]})
	}
	all = append(all, [2]string{"admin", a.Admin}, [2]string{"probe", a.Probe})
	return slices.DeleteFunc(all, func(l [2]string) bool { return l[1] == "" })
}

func (a *Addresses) list() []string {
	var all []string
	for _, l := range a.named() {
		all = append(all, l[0]+" "+l[1])
	}
	return all
}
