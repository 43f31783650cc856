package app

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"outrider/discovery"
	"outrider/discovery/consul"
	"outrider/internal/config"
	"outrider/internal/mesh"
)

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
	p.enrol(t.Context(), nil)
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

// Who cannot be told to others does not start to serve unknown to all.
func TestARegistrationThatCannotBeStopsTheStart(t *testing.T) {
	var m discovery.Memory
	refusing := refusingRegistry{Memory(&m)}
	cfg, err := config.Load(config.Options{Mode: config.Run, Environ: []string{
		"OUTRIDER_SERVICE_NAME=tea", "OUTRIDER_SERVICE_APP=127.0.0.1:1", "OUTRIDER_CONSUL_REGISTER=true",
		"OUTRIDER_INBOUND_LISTEN=127.0.0.1:0", "OUTRIDER_OUTBOUND_LISTEN=127.0.0.1:0", "OUTRIDER_ADMIN_LISTEN=127.0.0.1:0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{
		Registry: func(config.Consul) (Registry, error) { return refusing, nil },
		Started:  func(Addresses) { t.Error("it started") },
	})
	if err := p.Run(t.Context(), cfg); !errors.Is(err, errRefused) {
		t.Errorf("Run returned %v", err)
	}
	isFree(t, p.where.Inbound)
}

var errRefused = errors.New("refused")

// refusingRegistry registers nobody.
type refusingRegistry struct{ Registry }

func (refusingRegistry) Registrar(consul.Registration, consul.Health) (Registrar, error) {
	return nil, errRefused
}
