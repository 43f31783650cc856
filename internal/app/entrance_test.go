package app

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

func TestSpots(t *testing.T) {
	sidecar := &config.Config{
		Service: &config.Instance{}, Inbound: &config.Inbound{Listen: "in:1"}, Outbound: &config.Outbound{Listen: "out:2"},
		Services: map[string]*config.Service{"milk": {Listen: "milk:3"}, "cake": {Listen: "cake:4"}, "tea": {}},
	}
	for _, tt := range []struct {
		name string
		cfg  *config.Config
		want []string // key address, and a star where it is for calls
	}{
		{"an ingress", &config.Config{Server: config.Server{Host: "::1", Port: 8080}}, []string{"server.port [::1]:8080"}},
		{"a sidecar", sidecar, []string{
			"inbound.listen in:1", "outbound.listen out:2 *", "services.cake.listen cake:4 *", "services.milk.listen milk:3 *",
		}},
	} {
		var got []string
		where := Addresses{Services: map[string]string{}}
		for _, s := range spots(tt.cfg) {
			text := s.key + " " + s.addr
			if s.calls {
				text += " *"
			}
			got = append(got, text)
			s.where(&where, s.addr)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		noted := append([]string{where.Server, where.Inbound, where.Outbound}, slices.Sorted(maps.Values(where.Services))...)
		for _, at := range slices.DeleteFunc(noted, func(at string) bool { return at == "" }) {
			if !slices.ContainsFunc(tt.want, func(w string) bool { return strings.Contains(w, at) }) {
				t.Errorf("%s: it notes %s", tt.name, at)
			}
		}
	}
}

func TestAddressesAreNamed(t *testing.T) {
	a := Addresses{Inbound: "in:1", Outbound: "out:2", Services: map[string]string{"b": "b:4", "a": "a:3"}, Probe: "p:5"}
	if got, want := a.list(), []string{"inbound in:1", "outbound out:2", "a a:3", "b b:4", "probe p:5"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := new(Addresses).list(); len(got) > 0 {
		t.Errorf("nowhere: got %q", got)
	}
}

// Callers are sent away while the proxy leaves; the app, which calls through it to the
// last, is not.
func TestOnlyCallersAreSentAway(t *testing.T) {
	nobody := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, &mesh.Fault{Kind: mesh.NoRoute} })
	edge := bridge.Config{Stack: nobody}
	for _, tt := range []struct {
		name   string
		calls  bool
		during func(*Proxy)
		want   string
	}{
		{"a caller", false, func(*Proxy) {}, ""},
		{"a caller while leaving", false, (*Proxy).Leave, "close"},
		{"a caller in a drain", false, func(p *Proxy) { p.draining.Store(true) }, "close"},
		{"the app while leaving", true, (*Proxy).Leave, ""},
		{"the app in a drain", true, func(p *Proxy) { p.draining.Store(true) }, ""},
	} {
		p := New(Options{})
		p.current.Store(&generation{inFlight: newInFlight(), passages: map[string]passage{"k": {bridge.NewEdge(edge), bridge.New(edge)}}})
		tt.during(p)
		e := &entrance{proxy: p, key: "k", calls: tt.calls, requests: newInFlight()}
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.ProtoMajor, req.ProtoMinor = 2, 0
		e.ServeHTTP(w, req)
		if got := w.Header().Get("Connection"); got != tt.want || w.Code != http.StatusNotFound {
			t.Errorf("%s, HTTP/2: status %d, Connection: %q, want %q", tt.name, w.Code, got, tt.want)
		}
		call := mesh.NewCall(t.Context())
		resp, _ := e.Handle(call.Bind(httptest.NewRequest(http.MethodGet, "/", nil))) //nolint:bodyclose // it is in memory
		if resp.StatusCode != http.StatusNotFound || resp.Close != (tt.want == "close") {
			t.Errorf("%s, HTTP/1.1: status %d, close %v, want %q", tt.name, resp.StatusCode, resp.Close, tt.want)
		}
		if e.requests.count() != 1 {
			t.Errorf("%s: %d requests are left before the call has ended", tt.name, e.requests.count())
		}
		call.End(mesh.Result{})
		if e.requests.count() != 0 || e.requests.arrived.Load() != 2 {
			t.Errorf("%s: %d requests are left of %d", tt.name, e.requests.count(), e.requests.arrived.Load())
		}
	}
}

// Certificates are each entrance's own; limits are everybody's.
func TestSettingsOfEachEntrance(t *testing.T) {
	ca := identitytest.NewCA(t)
	dir := t.TempDir()
	cert, key := ca.Issue(t, identitytest.Leaf{DNS: []string{"tea"}}).Write(t, dir, "tea")
	id, err := identity.NewMesh(identity.MeshFiles{CertFile: cert, KeyFile: key, CAFile: ca.Write(t, dir, "ca")})
	if err != nil {
		t.Fatal(err)
	}
	server, err := identity.NewServer(identity.ServerFiles{Certs: []identity.CertFiles{{CertFile: cert, KeyFile: key}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Limits: config.Limits{HeaderBytes: 7, ReadHeaderTimeout: time.Second, IdleTimeout: time.Minute}}
	g := &generation{cfg: cfg, tls: server, mesh: id}
	for _, tt := range []struct {
		name, mode, key string
		secure, mesh    bool
		plain           bool
	}{
		{"the ingress", identity.Strict, serverKey, true, false, false},
		{"inbound, strict", identity.Strict, inboundKey, false, true, false},
		{"inbound, permissive", identity.Permissive, inboundKey, false, true, true},
		{"outbound", identity.Strict, outboundKey, false, false, false},
		{"a service's own port", identity.Permissive, ownPort("cake"), false, false, false},
	} {
		cfg.Identity.MTLS = tt.mode
		s := g.settings(tt.key)
		if s.HeaderBytes != 7 || s.ReadHeaderTimeout != time.Second || s.IdleTimeout != time.Minute {
			t.Errorf("%s: limits %+v", tt.name, s)
		}
		if (s.TLS != nil) != tt.secure || (s.Mesh != nil) != tt.mesh || s.Plain != tt.plain {
			t.Errorf("%s: tls %v, mesh %v, plain %v", tt.name, s.TLS != nil, s.Mesh != nil, s.Plain)
		}
		if s != g.settings(tt.key) {
			t.Errorf("%s: the same settings differ: each reload would open a room", tt.name)
		}
	}
}
