package consul_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"outrider/discovery/consul"
)

// agent is a Consul agent's /v1/health/service with true blocking queries. It is a
// RoundTripper, so that it works inside a synctest bubble. Like the real one by its
// streaming backend, it tells of leader and filter only in answers to queries that
// do not block.
type agent struct {
	latency time.Duration // of each answer; set before use

	mu       sync.Mutex // protects all below
	services map[string]*catalogued
	index    uint64
	filtered bool                               // ACLs hide all but the first entries shown of each service
	shown    int                                // see filtered
	headless bool                               // the servers have no leader
	frozen   bool                               // nothing is answered, as if stopped
	instead  func(*http.Request) *http.Response // answers in place of the catalogue; nil: the catalogue does
	edit     func(http.Header)                  // changes what the catalogue's answer says
	asked    []asked
	blocking load
	polling  load
}

// catalogued is one service.
type catalogued struct {
	entries []*api.ServiceEntry
	index   uint64
	changed chan struct{} // closed at the next change
}

// asked is one request as the agent got it.
type asked struct {
	service      string
	query        url.Values
	token        string
	begun, ended time.Time
	failed       bool // no answer of the catalogue
}

// blocks reports whether the query could block.
func (a asked) blocks() bool { return a.query.Has("index") }

// load counts queries under way.
type load struct{ now, most int }

func (l *load) add() { l.now++; l.most = max(l.most, l.now) }

func newAgent() *agent { return &agent{services: map[string]*catalogued{}, index: 10} }

// client returns a client of the agent.
func (a *agent) client(t *testing.T, cfg consul.Config) *consul.Client {
	t.Helper()
	c, err := consul.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Speak(a); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// with changes the agent's state.
func (a *agent) with(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// service returns the service, which need not exist. a.mu is held.
func (a *agent) service(name string) *catalogued {
	s := a.services[name]
	if s == nil {
		s = &catalogued{index: a.index, changed: make(chan struct{})}
		a.services[name] = s
	}
	return s
}

// put makes entries the service's, and wakes who waits.
func (a *agent) put(name string, entries ...*api.ServiceEntry) {
	a.with(func() {
		a.index++
		s := a.service(name)
		s.entries, s.index = entries, a.index
		a.wake(s)
	})
}

// wake ends the queries that wait for a change of s. a.mu is held.
func (a *agent) wake(s *catalogued) {
	close(s.changed)
	s.changed = make(chan struct{})
}

// nudge ends the queries for a service without a change.
func (a *agent) nudge(name string) { a.with(func() { a.wake(a.service(name)) }) }

// wipe forgets everything, as an agent that was started anew with no data.
func (a *agent) wipe() {
	a.with(func() {
		a.index = 3
		for _, s := range a.services {
			s.entries, s.index = nil, a.index
			a.wake(s)
		}
	})
}

// requests returns what has been asked for the service; "" is for all.
func (a *agent) requests(service string) []asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []asked
	for _, r := range a.asked {
		if service == "" || r.service == service {
			all = append(all, r)
		}
	}
	return all
}

// loads returns how many queries of each kind there were at once, at most.
func (a *agent) loads() (blocking, polling int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.blocking.most, a.polling.most
}

// RoundTrip answers one query.
func (a *agent) RoundTrip(req *http.Request) (*http.Response, error) {
	name, _ := strings.CutPrefix(req.URL.Path, "/v1/health/service/")
	query := req.URL.Query()
	at := a.begin(name, req)
	resp, err := a.answer(req, name, query)
	a.with(func() {
		a.asked[at].ended = time.Now()
		a.asked[at].failed = err != nil || resp.StatusCode != http.StatusOK
		a.kind(query).now--
	})
	return resp, err
}

// kind returns the count that a query belongs to. a.mu is held.
func (a *agent) kind(query url.Values) *load {
	if query.Has("index") {
		return &a.blocking
	}
	return &a.polling
}

// begin notes the request, and returns its place in a.asked.
func (a *agent) begin(name string, req *http.Request) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	query := req.URL.Query()
	a.kind(query).add()
	a.asked = append(a.asked, asked{service: name, query: query, token: req.Header.Get("X-Consul-Token"), begun: time.Now()})
	return len(a.asked) - 1
}

func (a *agent) answer(req *http.Request, name string, query url.Values) (*http.Response, error) {
	if a.latency > 0 { // timers that have run out at once upset the race detector: golang/go#78156
		select {
		case <-time.After(a.latency):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	a.mu.Lock()
	frozen, instead := a.frozen, a.instead
	a.mu.Unlock()
	if instead != nil {
		if resp := instead(req); resp != nil {
			return resp, nil
		}
	}
	blocked, err := a.block(req, name, query)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	frozen = frozen || a.frozen
	a.mu.Unlock()
	if frozen {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return a.catalogue(name, blocked), nil
}

// block waits as long as the query asks for, and reports whether it had an index.
func (a *agent) block(req *http.Request, name string, query url.Values) (bool, error) {
	if !query.Has("index") {
		return false, nil
	}
	index, err := strconv.ParseUint(query.Get("index"), 10, 64)
	if err != nil {
		return false, err
	}
	wait, err := time.ParseDuration(query.Get("wait"))
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	s := a.service(name)
	changed, current := s.changed, s.index
	a.mu.Unlock()
	if current > index {
		return true, nil
	}
	select {
	case <-changed:
	case <-time.After(wait + wait/16): // the agent's own jitter, at its most
	case <-req.Context().Done():
		return true, req.Context().Err()
	}
	return true, nil
}

// catalogue answers what the catalogue has.
func (a *agent) catalogue(name string, blocked bool) *http.Response {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.service(name)
	entries := s.entries
	if a.filtered {
		entries = entries[:min(len(entries), a.shown)]
	}
	if entries == nil {
		entries = []*api.ServiceEntry{}
	}
	body, err := json.Marshal(entries)
	if err != nil {
		panic(err)
	}
	resp := respond(http.StatusOK, string(body))
	resp.Header.Set("X-Consul-Index", strconv.FormatUint(s.index, 10))
	resp.Header.Set("X-Consul-LastContact", "0")
	resp.Header.Set("X-Consul-KnownLeader", strconv.FormatBool(!blocked && !a.headless))
	if a.filtered && !blocked {
		resp.Header.Set("X-Consul-Results-Filtered-By-ACLs", "true")
	}
	if a.edit != nil {
		a.edit(resp.Header)
	}
	return resp
}

// respond returns a response.
func respond(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{},
		Body:       io.NopCloser(bytes.NewBufferString(body)),
	}
}

// entry returns an instance of a service on node n1.
func entry(id, address string, port int) *api.ServiceEntry {
	return &api.ServiceEntry{
		Node:    &api.Node{Node: "n1", Datacenter: "dc1", Address: "10.9.9.9"},
		Service: &api.AgentService{ID: id, Service: "orders", Address: address, Port: port, Weights: api.AgentWeights{Passing: 1, Warning: 1}},
		Checks:  api.HealthChecks{{Node: "n1", CheckID: "serfHealth", Name: "Serf Health Status", Status: api.HealthPassing, Output: "Agent alive and reachable"}},
	}
}

// with adds checks to the entry, and returns it.
func with(e *api.ServiceEntry, checks ...*api.HealthCheck) *api.ServiceEntry {
	e.Checks = append(e.Checks, checks...)
	return e
}
