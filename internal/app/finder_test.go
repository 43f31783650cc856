package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/discovery"
	"outrider/internal/config"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

// finding returns a finder in a registry in memory, of a proxy that runs until the test
// ends.
func finding(t *testing.T, m *discovery.Memory) *finder {
	t.Helper()
	p := New(Options{})
	p.registry = Memory(m)
	life, end := context.WithCancel(context.Background())
	p.life = life
	f := &finder{proxy: p, known: map[string]*found{}}
	t.Cleanup(func() { end(); p.running.Wait() })
	return f
}

// kindOf returns what the fault is, and "" for none.
func kindOf(err error) mesh.Kind {
	f, _ := errors.AsType[*mesh.Fault](err)
	if f == nil {
		return 0
	}
	return f.Kind
}

// What nobody has used for long makes room, and what is in use does not.
func TestFoundServicesMakeRoom(t *testing.T) {
	var m discovery.Memory
	f := finding(t, &m)
	for n := range maxFound { // of those that are not there, see TestDiscoverIsBounded
		m.Register(mesh.Service(fmt.Sprintf("n%d", n)), mesh.Endpoint{ID: "1", Address: "127.0.0.1:1"})
	}
	m.Register("busy", mesh.Endpoint{ID: "1", Address: "127.0.0.1:1"})
	began := time.Now()
	use := func(name string, at time.Time) *found {
		t.Helper()
		to, err := f.find(name, at)
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	busy := use("busy", began)
	for n := range maxFound - 1 {
		f.leave(use(fmt.Sprintf("n%d", n), began), began)
	}
	eventually(t, "all are there", func() bool {
		return !slices.ContainsFunc(f.services(), func(s *service) bool { return !s.Found() })
	})
	lively := began.Add(time.Second)
	f.leave(use("n7", lively), lively)
	if _, err := f.find("one-more", began.Add(foundIdle-1)); kindOf(err) != mesh.Overflow {
		t.Errorf("before any was idle: got %v, want an overflow", err)
	}
	idle := f.known["n0"].service
	eventually(t, "the idle one has its endpoint", func() bool { return len(idle.Status().Endpoints) == 1 })
	f.leave(use("one-more", began.Add(foundIdle)), lively)
	var left []string
	for name := range f.known {
		left = append(left, name)
	}
	slices.Sort(left)
	if want := []string{"busy", "n7", "one-more"}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
	eventually(t, "what was idle has ended", func() bool { return len(idle.Status().Endpoints) == 0 })
	f.leave(busy, began)
	if got := len(f.services()); got != 3 {
		t.Errorf("%d services are shown, want 3", got)
	}
}

func TestAClosedFinderFindsNothing(t *testing.T) {
	var m discovery.Memory
	m.Register("cake", mesh.Endpoint{ID: "1", Address: "127.0.0.1:1"})
	f := finding(t, &m)
	to, err := f.find("cake", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	<-to.service.Ready()
	f.close()
	eventually(t, "it has ended", func() bool { return len(to.service.Status().Endpoints) == 0 })
	if _, err := f.find("cake", time.Now()); kindOf(err) != mesh.NoEndpoints {
		t.Errorf("got %v: a service that nobody would end was begun", err)
	}
	f.leave(to, time.Now()) // the last request of it
}

// A service is in use until the response's end, and none is left in use by a failure.
func TestAFoundServiceIsInUse(t *testing.T) {
	var m discovery.Memory
	h := holding(t)
	m.Register("cake", mesh.Endpoint{ID: "1", Scheme: "http", Address: strings.TrimPrefix(h.URL, "http://"), Host: "cake"})
	s := beside(t, echo(t).URL, "consul: {register: false}\noutbound: {undeclared: discover}\n", in(&m))
	var f *finder
	for _, f = range s.current.Load().finders {
	}
	busy := func(name string) int {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.known[name] == nil {
			return -1
		}
		return f.known[name].busy
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		req := httptest.NewRequest(http.MethodGet, "http://cake/", nil)
		req.ProtoMajor, req.ProtoMinor = 2, 0
		s.entrance(outboundKey).ServeHTTP(httptest.NewRecorder(), req)
	}()
	<-h.arrived
	if got := busy("cake"); got != 1 {
		t.Errorf("%d requests in it, want 1", got)
	}
	close(h.answer)
	<-done
	s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "nobody")
	eventually(t, "nothing is in use", func() bool { return busy("cake") == 0 && busy("nobody") == 0 })
}

// entrance returns the one of that key.
func (s *sidecar) entrance(key string) *entrance {
	s.t.Helper()
	for _, e := range s.entrances {
		if e.key == key {
			return e
		}
	}
	s.t.Fatalf("there is no entrance %s", key)
	return nil
}

// A service that nobody declared is met as one that somebody did: by mutual TLS, and
// where that is strict by nothing else.
func TestUndeclaredServicesAreMetByMutualTLS(t *testing.T) {
	ca := identitytest.NewCA(t)
	for _, tt := range []struct {
		name, callee string
		status       int
		text         string
	}{
		{"with a certificate", certified(t, ca, "cake", "strict"), http.StatusOK, "cake /"},
		{"without one", "", http.StatusBadGateway, `"code":"tls_failed"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m discovery.Memory
			besideService(t, "cake", echo(t).URL, "consul: {}\n"+tt.callee, in(&m))
			eventually(t, "cake is registered", func() bool {
				all := instances(t, &m, "cake")
				return len(all) == 1 && !all[0].Unhealthy
			})
			tea := beside(t, echo(t).URL, "consul: {register: false}\noutbound: {undeclared: discover}\n"+certified(t, ca, "tea", "strict"), in(&m))
			got := tea.ask(tea.where.Outbound, http.MethodGet, "/", "Host", "cake")
			if got.StatusCode != tt.status || !strings.Contains(got.text, tt.text) {
				t.Errorf("status %d, %s", got.StatusCode, got.text)
			}
		})
	}
}

// Who is served on what terms is the finder's: other terms are another finder.
func TestFindersFollowTheirTerms(t *testing.T) {
	var m discovery.Memory
	s := beside(t, echo(t).URL, "consul: {register: false}\noutbound: {undeclared: discover}\nlogging: {level: warn}\n", in(&m))
	only := func() (f *finder) {
		for _, f = range s.current.Load().finders {
		}
		return f
	}
	first := only()
	if err := s.edit("level: warn", "level: error"); err != nil || only() != first {
		t.Errorf("%v; what does not concern it has made a finder anew", err)
	}
	if err := s.edit("{name: tea", "{name: tea, zone: b"); err != nil || only() == first || only().around.zone != "b" {
		t.Errorf("%v; the zone is %q", err, only().around.zone)
	}
	if err := s.edit("undeclared: discover", "undeclared: reject"); err != nil || only() != nil {
		t.Errorf("%v; there still is a finder", err)
	}
	eventually(t, "the first is closed", func() bool {
		_, err := first.find("cake", time.Now())
		return kindOf(err) == mesh.NoEndpoints
	})
}

func TestHostOf(t *testing.T) {
	for host, want := range map[string]string{
		"cake": "cake", "CAKE": "cake", "cake:80": "cake", "cake.": "cake", "cake.:80": "cake",
		"[::1]": "[::1]", "[::1]:80": "[::1]", "": "", ":80": "",
	} {
		if got := hostOf(&http.Request{Host: host}); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

func TestServiceName(t *testing.T) {
	for name, want := range map[string]bool{
		"cake": true, "cake-2": true, "c_a.k3": true, "3": true, strings.Repeat("x", 128): true,
		"": false, "-cake": false, ".cake": false, "ca ke": false, "cake/": false, "kuchén": false, "Cake": false, "[::1]": false,
		strings.Repeat("x", 129): false,
	} {
		if got := serviceName(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

// A rule for every host leaves nothing undeclared.
func TestARuleForAllHostsLeavesNothingUndeclared(t *testing.T) {
	b := &builder{p: New(Options{}), g: &generation{cfg: &config.Config{Outbound: &config.Outbound{Undeclared: "reject"}}}}
	if got := b.undeclared([]*config.Route{{Path: anyPath}}); got != nil {
		t.Errorf("got %v beside a rule for everything", got)
	}
	if got := b.undeclared([]*config.Route{{Path: anyPath, Hosts: []string{"cake"}}, {Path: "/x"}}); len(got) != 1 {
		t.Errorf("got %v, want a rule for all the rest", got)
	}
}
