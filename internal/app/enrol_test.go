package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"outrider/discovery"
	"outrider/discovery/consul"
	"outrider/internal/config"
	"outrider/internal/identity"
	"outrider/internal/mesh"
)

func TestAdvertised(t *testing.T) {
	network := func(ips ...string) []net.Addr {
		var all []net.Addr
		for _, ip := range ips {
			all = append(all, &net.IPNet{IP: net.ParseIP(ip), Mask: net.CIDRMask(24, 32)})
		}
		return all
	}
	for _, tt := range []struct {
		name, host string
		has        []net.Addr
		err        error
		want       string // or a part of the error
	}{
		{"what is listened on", "10.0.0.7", nil, errors.New("not asked"), "10.0.0.7"},
		{"a loopback that is listened on", "127.0.0.1", nil, nil, "127.0.0.1"},
		{"the first of the machine's", "0.0.0.0", network("127.0.0.1", "10.0.0.7", "10.0.0.8"), nil, "10.0.0.7"},
		{"of both sorts, one of IPv4", "::", network("::1", "2001:db8::1", "10.0.0.7"), nil, "10.0.0.7"},
		{"of IPv6, the first", "", network("::1", "fe80::1", "2001:db8::1", "2001:db8::2"), nil, "2001:db8::1"},
		{"no link-local one", "0.0.0.0", network("169.254.0.1", "fe80::1"), nil, "set it to the address at which others reach"},
		{"none but loopback", "0.0.0.0", network("127.0.0.1", "::1"), nil, "service.address is not set, and this machine has no address but loopback"},
		{"others than networks", "0.0.0.0", []net.Addr{&net.UnixAddr{Name: "x"}}, nil, "no address but loopback"},
		{"what cannot be listed", "0.0.0.0", nil, errors.New("denied"), "cannot be listed: denied"},
	} {
		got, err := advertised(tt.host, func() ([]net.Addr, error) { return tt.has, tt.err })
		if err == nil && got != tt.want || err != nil && (got != "" || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestRegistration(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	configured := &config.Instance{
		Name: "tea", ID: "t1", Address: "tea.test", Tags: []string{"x"}, Meta: map[string]string{"k": "v"}, Weight: 3, Zone: "b",
	}
	for _, tt := range []struct {
		name    string
		service *config.Instance
		mtls    string
		inbound string
		want    consul.Registration
		fault   string
	}{
		{"all that is said", configured, identity.Strict, "10.0.0.7:15006", consul.Registration{
			Name: "tea", ID: "t1", Address: "tea.test", Port: 15006, Tags: []string{"x"}, Weight: 3, Zone: "b",
			Meta: map[string]string{"k": "v", identity.MetaMTLS: identity.Strict},
		}, ""},
		{"as little as may be", &config.Instance{Name: "tea", Weight: 1}, identity.Off, "10.0.0.7:15006", consul.Registration{
			Name: "tea", ID: "tea-" + host + "-15006", Address: "10.0.0.7", Port: 15006, Weight: 1, Meta: map[string]string{},
		}, ""},
		{"no port", configured, identity.Off, "10.0.0.7", consul.Registration{}, "inbound.listen: "},
		{"a port by name", configured, identity.Off, "10.0.0.7:http", consul.Registration{}, "inbound.listen: "},
	} {
		got, err := registration(&config.Config{Service: tt.service, Identity: config.Identity{MTLS: tt.mtls}}, tt.inbound)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.fault)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	if configured.Meta[identity.MetaMTLS] != "" {
		t.Error("the configuration has been written to")
	}
}

// What a reload changes of the service is in the registry, without it leaving there.
func TestAReloadChangesTheRegistration(t *testing.T) {
	var m discovery.Memory
	s := beside(t, echo(t).URL, "consul: {}\n", in(&m))
	eventually(t, "it is registered", func() bool { return len(instances(t, &m, "tea")) == 1 })
	missed := watched(t, &m, "tea", func(set []mesh.Endpoint) bool { return len(set) != 1 })
	if err := s.edit("{name: tea", "{name: tea, weight: 9, zone: b, meta: {k: v}"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is registered anew", func() bool {
		is := instances(t, &m, "tea")[0]
		return is.Weight == 9 && is.Zone == "b" && is.Meta["k"] == "v"
	})
	if missed() {
		t.Error("it was not in the registry for a while")
	}
}

// watched watches a service in the registry, and returns whether it has ever been so.
func watched(t *testing.T, m *discovery.Memory, service mesh.Service, so func([]mesh.Endpoint) bool) func() bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	ever := false
	watching.Go(func() {
		_ = m.Watch(ctx, service, func(set []mesh.Endpoint) { ever = ever || so(set) })
	})
	stop := sync.OnceValue(func() bool { cancel(); watching.Wait(); return ever })
	t.Cleanup(func() { stop() })
	return stop
}

// A reload may name another app: its health is the instance's from then on, and one
// that is well is never called unwell for not having been asked yet.
func TestAReloadNamesAnotherApp(t *testing.T) {
	var m discovery.Memory
	ill := make(chan struct{})
	app := func(text string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			select {
			case <-ill:
				if text == "old" {
					w.WriteHeader(http.StatusInternalServerError)
				}
			default:
			}
			_, _ = w.Write([]byte(text))
		}).URL
	}
	old, other := app("old"), app("other")
	s := beside(t, old, "consul: {}\nshutdown: {grace: 2s}\n", in(&m))
	eventually(t, "it is registered and well", func() bool {
		all := instances(t, &m, "tea")
		return len(all) == 1 && !all[0].Unhealthy
	})
	unwell := watched(t, &m, "tea", func(set []mesh.Endpoint) bool { return len(set) != 1 || set[0].Unhealthy })
	before := s.current.Load().app
	if err := s.edit(strings.TrimPrefix(old, "http://"), strings.TrimPrefix(other, "http://")); err != nil {
		t.Fatal(err)
	}
	close(ill) // which says nothing of the app in use
	if got := s.ask(s.where.Inbound, http.MethodGet, "/"); got.text != "other" {
		t.Errorf("got %q", got.text)
	}
	if s.current.Load().app == before {
		t.Error("the app is the old one")
	}
	if well, note := s.wellness(); !well {
		t.Errorf("it is called unwell: %s", note)
	}
	if unwell() {
		t.Error("the registry was told that the instance is unwell")
	}
}

// An app that does not answer is unwell, also where the one before it was well.
func TestAReloadToAnAppThatIsNotThere(t *testing.T) {
	var m discovery.Memory
	app := echo(t)
	s := beside(t, app.URL, "consul: {}\n", in(&m))
	eventually(t, "it is well", func() bool { all := instances(t, &m, "tea"); return len(all) == 1 && !all[0].Unhealthy })
	if err := s.edit(strings.TrimPrefix(app.URL, "http://"), "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is unwell", func() bool {
		is := instances(t, &m, "tea")[0]
		return is.Unhealthy && strings.Contains(is.HealthNote, "refused")
	})
	if missing := s.Proxy.ready(); len(missing) > 0 {
		t.Errorf("it is not ready: %q", missing)
	}
}

func TestWellness(t *testing.T) {
	state := &appState{}
	if well, note := state.wellness(); well || note != "the app has not answered yet" {
		t.Errorf("at first: %v, %q", well, note)
	}
	state.passed.Store(true)
	if well, note := state.wellness(); !well || note != "" {
		t.Errorf("after it has passed: %v, %q", well, note)
	}
	why := "status 500"
	state.note.Store(&why)
	if well, note := state.wellness(); well || note != why {
		t.Errorf("after it has failed: %v, %q", well, note)
	}
}

// Who leaves before being ready is never registered, and its app never started.
func TestLeaveBeforeBeingReady(t *testing.T) {
	var m discovery.Memory
	p := New(Options{Ready: func() { t.Error("it was ready") }})
	p.registry = Memory(&m)
	p.current.Store(&generation{cfg: config.Defaults(), services: shelf[*service]{"a": unresolved(t, "cake")}})
	p.Leave()
	p.enrol(t.Context())
	p.running.Wait()
	if p.leave(t.Context()) || p.registered() {
		t.Error("it has been in the registry")
	}
	p.beat() // nobody is there to hear it
}

// Whoever was ready stays so: what a reload adds is no reason to take all else away.
func TestReadyStays(t *testing.T) {
	p := New(Options{})
	if got := p.ready(); len(got) != 1 || got[0] != "starting" {
		t.Errorf("at first %q is missing", got)
	}
	unknown := &generation{services: shelf[*service]{"a": unresolved(t, "cake")}}
	p.current.Store(unknown)
	if got := p.ready(); len(got) != 1 || !strings.Contains(got[0], "cake") {
		t.Errorf("%q is missing", got)
	}
	p.current.Store(&generation{})
	if got := p.ready(); len(got) > 0 {
		t.Errorf("%q is missing, and everything is there", got)
	}
	p.current.Store(unknown)
	if got := p.ready(); len(got) > 0 {
		t.Errorf("after a reload %q is missing", got)
	}
	p.Leave()
	if got := p.ready(); len(got) != 1 || got[0] != "leaving" {
		t.Errorf("%q is missing", got)
	}
	p.draining.Store(true)
	if got := p.ready(); len(got) != 1 || got[0] != "draining" {
		t.Errorf("%q is missing", got)
	}
}

func TestMemoryRegistry(t *testing.T) {
	var m discovery.Memory
	in := Memory(&m)
	defer in.Close()
	if in.Forgetful() {
		t.Error("memory forgets nothing while its process lives")
	}
	well := make(chan bool, 1)
	well <- false
	health := func() (bool, string) {
		is := <-well
		well <- is
		return is, "not yet"
	}
	is := consul.Registration{Name: "tea", ID: "t1", Address: "::1", Port: 80, Weight: 2, Zone: "b", Meta: map[string]string{"k": "v"}}
	r, err := in.Registrar(is, health)
	if err != nil || r.Registered() {
		t.Fatalf("%v, registered %v", err, r.Registered())
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	one := func(so func(mesh.Endpoint) bool) func() bool {
		return func() bool { all := instances(t, &m, "tea"); return len(all) == 1 && so(all[0]) }
	}
	eventually(t, "it is there", one(func(e mesh.Endpoint) bool {
		return e.ID == "t1" && e.Address == "[::1]:80" && e.Scheme == "http" && e.Host == "tea" && e.Weight == 2 && e.Zone == "b" &&
			e.Meta["k"] == "v" && e.Unhealthy && e.HealthNote == "not yet"
	}))
	eventually(t, "it says so", r.Registered)
	<-well
	well <- true
	r.Beat()
	r.Beat() // twice is as good as once
	eventually(t, "it is well", one(func(e mesh.Endpoint) bool { return !e.Unhealthy }))
	is.Weight = 5
	if err := r.Change(is); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has changed", one(func(e mesh.Endpoint) bool { return e.Weight == 5 && !e.Unhealthy }))
	var found []mesh.Endpoint
	looking, enough := context.WithCancel(t.Context())
	_ = in.Resolver(consul.Query{Service: "tea"}, consul.Hear{}).Watch(looking, "called-otherwise", func(set []mesh.Endpoint) { found = set; enough() })
	if len(found) != 1 {
		t.Errorf("found %v by the registry's name", found)
	}
	cancel()
	if err := <-ended; err != nil || r.Registered() || len(instances(t, &m, "tea")) != 0 {
		t.Errorf("ended with %v, registered %v", err, r.Registered())
	}
}
