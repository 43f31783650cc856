package consul_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"outrider/discovery/consul"
)

// registry is a Consul agent's registration API, as a RoundTripper. Like the real
// one it keeps the state of a check that is registered anew.
type registry struct {
	mu       sync.Mutex // protects all below
	services map[string]*api.AgentServiceRegistration
	checks   map[string]*agentCheck // by ID
	tokens   []string               // those that may write; nil: all
	down     bool                   // nobody listens
	frozen   bool                   // nothing is answered
	slow     chan struct{}          // a registration is done when this is closed, whoever still waits for it; nil: at once
	instead  func(*http.Request) *http.Response
	asked    []sent
}

// agentCheck is one of the agent's.
type agentCheck struct {
	service, status, output string
	shown                   string // the output that the servers have
	ttl, after              time.Duration
	maintenance             bool
}

// sent is one request as the agent got it.
type sent struct {
	what  string // register, heartbeat, look, deregister
	query string
	at    time.Time
	body  api.AgentServiceRegistration
}

func newRegistry() *registry {
	return &registry{services: map[string]*api.AgentServiceRegistration{}, checks: map[string]*agentCheck{}}
}

// with changes the agent's state.
func (a *registry) with(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// wipe forgets everything, as an agent that was started anew with no data.
func (a *registry) wipe() { a.with(func() { clear(a.services); clear(a.checks) }) }

// count returns how many requests of a kind there have been.
func (a *registry) count(what string) int { return len(a.times(what)) }

// times returns when requests of a kind came.
func (a *registry) times(what string) []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []time.Time
	for _, r := range a.asked {
		if r.what == what {
			all = append(all, r.at)
		}
	}
	return all
}

// total returns how many requests there have been.
func (a *registry) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

// last returns the last request of a kind.
func (a *registry) last(what string) sent {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range slices.Backward(a.asked) {
		if r.what == what {
			return r
		}
	}
	return sent{}
}

// state returns the state of the service's check, or "" where the agent has none.
func (a *registry) state() (status, output string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.checks["service:o1"]; c != nil {
		return c.status, c.output
	}
	return "", ""
}

// shown returns the output that the servers have of the service's check.
func (a *registry) shown() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.checks["service:o1"]; c != nil {
		return c.shown
	}
	return ""
}

// has reports whether the agent has the service.
func (a *registry) has() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.services["o1"] != nil
}

// RoundTrip answers one request.
func (a *registry) RoundTrip(req *http.Request) (*http.Response, error) {
	what, id, err := understand(req)
	if err != nil {
		return nil, err
	}
	r := sent{what: what, query: req.URL.RawQuery, at: time.Now()}
	var update struct{ Status, Output string }
	switch what {
	case "register":
		err = json.NewDecoder(req.Body).Decode(&r.body)
	case "heartbeat":
		err = json.NewDecoder(req.Body).Decode(&update)
	}
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.asked = append(a.asked, r)
	down, frozen, slow, instead := a.down, a.frozen, a.slow, a.instead
	a.mu.Unlock()
	switch {
	case down:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	case frozen:
		<-req.Context().Done()
		return nil, req.Context().Err()
	case slow != nil && what == "register":
		return a.later(req.Context(), slow, &r.body)
	case instead != nil:
		if resp := instead(req); resp != nil {
			return resp, nil
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens != nil && !slices.Contains(a.tokens, req.Header.Get("X-Consul-Token")) {
		return respond(403, "Permission denied: lacks permission 'service:write' on \"orders\"\nmore"), nil
	}
	switch what {
	case "register":
		a.register(&r.body)
		return respond(200, ""), nil
	case "heartbeat":
		return a.update(id, update.Status, update.Output), nil
	case "look":
		return a.look(id), nil
	}
	return a.deregister(id), nil
}

// understand tells from a request what is wanted of which ID.
func understand(req *http.Request) (what, id string, err error) {
	path := req.Method + " " + req.URL.Path
	if path == "PUT /v1/agent/service/register" {
		return "register", "", nil
	}
	for prefix, what := range map[string]string{
		"PUT /v1/agent/check/update/":       "heartbeat",
		"PUT /v1/agent/service/deregister/": "deregister",
		"GET /v1/agent/service/":            "look",
	} {
		if id, ok := strings.CutPrefix(path, prefix); ok {
			return what, id, nil
		}
	}
	return "", "", fmt.Errorf("the agent is asked for %s", path)
}

// later registers when slow is closed, though the client may have left.
func (a *registry) later(ctx context.Context, slow chan struct{}, body *api.AgentServiceRegistration) (*http.Response, error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-slow
		a.with(func() { a.register(body) })
	}()
	select {
	case <-done:
		return respond(200, ""), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// register takes a registration. a.mu is held.
func (a *registry) register(body *api.AgentServiceRegistration) {
	a.services[body.ID] = body
	c := &agentCheck{service: body.ID, status: body.Check.Status}
	c.ttl, _ = time.ParseDuration(body.Check.TTL)
	c.after, _ = time.ParseDuration(body.Check.DeregisterCriticalServiceAfter)
	if old := a.checks[body.Check.CheckID]; old != nil {
		c.status, c.output = old.status, old.output
	}
	c.shown = c.output
	a.checks[body.Check.CheckID] = c
}

// update takes a heartbeat. a.mu is held.
func (a *registry) update(id, status, output string) *http.Response {
	c := a.checks[id]
	switch {
	case c == nil:
		return respond(404, fmt.Sprintf("Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id))
	case c.ttl == 0:
		return respond(500, fmt.Sprintf("CheckID %q does not have associated TTL", id))
	}
	if c.status != status { // else it tells the servers minutes later
		c.shown = output
	}
	c.status, c.output = status, output
	return respond(200, "")
}

// look answers what is registered. a.mu is held.
func (a *registry) look(id string) *http.Response {
	s := a.services[id]
	if s == nil {
		return respond(404, "unknown service ID: "+id)
	}
	body, err := json.Marshal(api.AgentService{
		ID: s.ID, Service: s.Name, Address: s.Address, Port: s.Port, Tags: append([]string{}, s.Tags...), Meta: s.Meta, Weights: *s.Weights,
		Datacenter: "dc1", ContentHash: "1f", Kind: s.Kind,
	})
	if err != nil {
		panic(err)
	}
	return respond(200, string(body))
}

// deregister forgets a service and its checks. a.mu is held.
func (a *registry) deregister(id string) *http.Response {
	if a.services[id] == nil {
		return respond(404, fmt.Sprintf("Unknown service ID %q", id))
	}
	delete(a.services, id)
	for name, c := range a.checks {
		if c.service == id {
			delete(a.checks, name)
		}
	}
	return respond(200, "")
}

// orders returns a registration of orders.
func orders() consul.Registration {
	return consul.Registration{
		Name: "orders", ID: "o1", Address: "10.0.0.7", Port: 15006, Tags: []string{"v2", "blue"},
		Meta: map[string]string{"version": "2"}, Weight: 3, Zone: "b",
	}
}

// registered is a running Run.
type registered struct {
	*consul.Registrar
	agent  *registry
	log    *logged
	cancel context.CancelFunc
	err    chan error

	mu   sync.Mutex // protects all below
	ok   bool
	note string
}

// run starts a Run of r inside a synctest bubble, and lets it settle.
func run(t *testing.T, a *registry, cfg consul.Config, r consul.Registration) *registered {
	t.Helper()
	g := &registered{agent: a, log: &logged{}, err: make(chan error, 1), ok: true, note: "well"}
	cfg.Log = g.log.logger()
	c, err := consul.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Speak(a); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	g.Registrar, err = c.Registrar(r, g.health)
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(t.Context())
	go func() { g.err <- g.Run(ctx) }()
	synctest.Wait()
	return g
}

func (g *registered) health() (bool, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ok, g.note
}

// become changes the health without a Beat.
func (g *registered) become(ok bool, note string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ok, g.note = ok, note
}

// stop ends Run and returns its error.
func (g *registered) stop() error {
	g.cancel()
	return <-g.err
}
