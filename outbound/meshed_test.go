package outbound_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/discovery"
	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/outbound/balance"
)

// member is a proxy of the mesh.
func member(t *testing.T, ca *identitytest.CA, service string) *identity.Mesh {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := ca.Issue(t, identitytest.Leaf{URIs: []string{"spiffe://td/svc/" + service}}).Write(t, dir, service)
	m, err := identity.NewMesh(identity.MeshFiles{CertFile: certFile, KeyFile: keyFile, CAFile: ca.Write(t, dir, "ca")})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// foreign is a proxy that believes ca's, and is not believed by them.
func foreign(t *testing.T, ca *identitytest.CA) *identity.Mesh {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := identitytest.NewCA(t).Issue(t, identitytest.Leaf{URIs: []string{"spiffe://td/svc/users"}}).Write(t, dir, "own")
	m, err := identity.NewMesh(identity.MeshFiles{CertFile: certFile, KeyFile: keyFile, CAFile: ca.Write(t, dir, "ca")})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sidecar is an endpoint that speaks mutual TLS and says so. It answers with the
// protocol and with who called.
func sidecar(t *testing.T, m *identity.Mesh) mesh.Endpoint {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+string(identity.Peer(r.TLS)))
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.EnableHTTP2 = true
	srv.TLS = m.ServerTLS()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	e := endpoint("http", srv.Listener.Addr().String()) // the catalogue knows no scheme
	e.Meta = map[string]string{identity.MetaMTLS: identity.Strict}
	return e
}

// untouched is an endpoint that must not be called.
func untouched(t *testing.T, scheme string) mesh.Endpoint {
	t.Helper()
	_, e := serve(t, scheme, func(http.ResponseWriter, *http.Request) { t.Error("was called") })
	return e
}

func TestMeshEndpointIsCalledByMutualTLS(t *testing.T) {
	ca := identitytest.NewCA(t)
	users, orders := member(t, ca, "users"), member(t, ca, "orders")
	for _, scheme := range []string{"http", "h2c", "https"} {
		for _, strict := range []bool{false, true} {
			e := sidecar(t, orders)
			e.Scheme = scheme
			s := start(t, outbound.Config{Mesh: users.Towards("orders", strict)}, e)
			rt := s.RoundTripper(outbound.Override{})
			if got := send(t, rt, "GET", "/", nil).text(); got != "HTTP/2.0 spiffe://td/svc/users" {
				t.Errorf("%s, strict %v: %q", scheme, strict, got)
			}
			upgrade := func(r *http.Request) { r.Header.Set("Connection", "Upgrade"); r.Header.Set("Upgrade", "x") }
			if got := send(t, rt, "GET", "/", nil, upgrade).text(); got != "HTTP/1.1 spiffe://td/svc/users" {
				t.Errorf("%s, strict %v, upgrade: %q", scheme, strict, got)
			}
		}
	}
}

func TestMeshFaults(t *testing.T) {
	ca := identitytest.NewCA(t)
	users := member(t, ca, "users")
	stranger := member(t, identitytest.NewCA(t), "orders")
	for _, tt := range []struct {
		name     string
		endpoint mesh.Endpoint
		strict   bool
		kind     mesh.Kind
		why      string
	}{
		{"another service", sidecar(t, member(t, ca, "payments")), false, mesh.TLSCertificate, `shown: "spiffe://td/svc/payments"`},
		{"another authority", sidecar(t, stranger), false, mesh.TLSCertificate, "unknown authority"},
		{"plain, strict", untouched(t, "http"), true, mesh.TLSFailed, "does not speak mutual TLS"},
		{"h2c, strict", untouched(t, "h2c"), true, mesh.TLSFailed, "does not speak mutual TLS"},
		{"https, strict", untouched(t, "https"), true, mesh.TLSFailed, "does not speak mutual TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, outbound.Config{
				Mesh:    users.Towards("orders", tt.strict),
				Balance: balance.Config{PanicThreshold: 50}, // picks unhealthy ones too
			}, tt.endpoint)
			f := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil).want(tt.kind)
			if !f.Retryable || f.ByClient || f.Endpoint != tt.endpoint.Address || !strings.Contains(f.Error(), tt.why) {
				t.Errorf("fault %+v: %v", f, f)
			}
		})
	}
}

// With TLS 1.3 the refusal of our certificate comes after our handshake, as an alert
// in place of the answer. net/http's HTTP/2 does not always pass that on.
func TestMeshPeerThatRefusesUs(t *testing.T) {
	ca := identitytest.NewCA(t)
	s := start(t, outbound.Config{Mesh: foreign(t, ca).Towards("orders", true)}, sidecar(t, member(t, ca, "orders")))
	rt := s.RoundTripper(outbound.Override{})
	upgrade := func(r *http.Request) { r.Header.Set("Connection", "Upgrade"); r.Header.Set("Upgrade", "x") }
	send(t, rt, "GET", "/", nil, upgrade).want(mesh.TLSFailed)
	x := send(t, rt, "GET", "/", nil)
	if f := mesh.AsFault(x.err); x.err == nil || f.Kind != mesh.TLSFailed && f.Kind != mesh.Reset || !f.Retryable {
		t.Errorf("HTTP/2: %v", x.err)
	}
}

// Without strict, what is no sidecar is called as its scheme says, by the service's
// own TLS where that is https; without a mesh nobody looks at the meta.
func TestPermissiveMeshCallsTheRestAsTheyAre(t *testing.T) {
	users := member(t, identitytest.NewCA(t), "users")
	for scheme, want := range map[string]string{"http": "HTTP/1.1", "h2c": "HTTP/2.0", "https": "HTTP/2.0"} {
		srv, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
		roots := func(string) *tls.Config { return trusting(srv) }
		s := start(t, outbound.Config{Mesh: users.Towards("orders", false), TLS: roots}, e)
		if got := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil).text(); got != want {
			t.Errorf("%s: %q, want %q", scheme, got, want)
		}
	}
	_, e := serve(t, "http", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	e.Meta = map[string]string{identity.MetaMTLS: identity.Strict}
	s := start(t, outbound.Config{}, e)
	if got := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil).text(); got != "HTTP/1.1" {
		t.Errorf("without a mesh: %q", got)
	}
}

func trusting(srv *httptest.Server) *tls.Config {
	if srv.TLS == nil {
		return nil
	}
	settings := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	settings.ServerName = "example.com" // as httptest's certificate has it
	return settings
}

// While instances are renewed one by one, strict picks those that speak TLS already,
// and says of the others what is wrong.
func TestStrictMeshPicksWhoSpeaksTLS(t *testing.T) {
	ca := identitytest.NewCA(t)
	users, orders := member(t, ca, "users"), member(t, ca, "orders")
	withdrawn := untouched(t, "http")
	withdrawn.Unhealthy, withdrawn.HealthNote = true, "critical: disk full"
	ready := sidecar(t, orders)
	s := start(t, outbound.Config{Mesh: users.Towards("orders", true)}, untouched(t, "http"), ready, withdrawn)
	rt := s.RoundTripper(outbound.Override{})
	for range 8 {
		x := send(t, rt, "GET", "/", nil)
		if got := x.text(); got != "HTTP/2.0 spiffe://td/svc/users" || len(x.call.Attempts) != 1 {
			t.Errorf("%q after %d attempts", got, len(x.call.Attempts))
		}
	}
	notes := map[string]string{}
	for _, e := range s.Status().Endpoints {
		notes[e.Endpoint.Address] = e.Endpoint.HealthNote
	}
	if n := notes[withdrawn.Address]; n != "critical: disk full" {
		t.Errorf("the catalogue's own reason became %q", n)
	}
	if n := notes[ready.Address]; n != "" {
		t.Errorf("the good one: %q", n)
	}
	delete(notes, withdrawn.Address)
	delete(notes, ready.Address)
	for _, n := range notes {
		if !strings.Contains(n, "does not speak mutual TLS") {
			t.Errorf("note %q", n)
		}
	}
}

// changing is a resolver whose set the test changes.
type changing chan []mesh.Endpoint

func (c changing) Watch(ctx context.Context, _ mesh.Service, update func([]mesh.Endpoint)) error {
	for {
		select {
		case set := <-c:
			update(set)
			c <- nil // taken over
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// An endpoint that begins to speak TLS is called so from then on, at the same address
// and under the same ID.
func TestMeshEndpointThatChanges(t *testing.T) {
	ca := identitytest.NewCA(t)
	users, orders := member(t, ca, "users"), member(t, ca, "orders")
	e := sidecar(t, orders)
	bare := e
	bare.Meta = nil
	sets := make(changing)
	go func() { sets <- []mesh.Endpoint{bare} }()
	s := start(t, outbound.Config{Mesh: users.Towards("orders", false), Resolver: sets}) // returns when the set has come
	<-sets
	rt := s.RoundTripper(outbound.Override{})
	x := send(t, rt, "GET", "/", nil)
	if x.err == nil && x.resp.StatusCode == http.StatusOK {
		t.Fatal("plain HTTP was served: the test proves nothing")
	}
	catalogue := []mesh.Endpoint{e}
	sets <- catalogue
	<-sets
	if got := send(t, rt, "GET", "/", nil).text(); got != "HTTP/2.0 spiffe://td/svc/users" {
		t.Errorf("got %q", got)
	}
	if catalogue[0].Scheme != "http" {
		t.Error("the resolver's set was changed")
	}
}

// Health checks meet what requests meet.
func TestMeshHealthChecks(t *testing.T) {
	ca := identitytest.NewCA(t)
	users, orders := member(t, ca, "users"), member(t, ca, "orders")
	good, wrong := sidecar(t, orders), sidecar(t, member(t, ca, "payments"))
	heard := make(chan mesh.Endpoint, 8)
	probed := make(chan string, 1)
	watched := func(e mesh.Endpoint) (*tls.Config, error) {
		settings, err := users.Towards("orders", true)(e)
		if settings != nil {
			settings = settings.Clone()
			verify := settings.VerifyConnection
			settings.VerifyConnection = func(state tls.ConnectionState) error {
				err := verify(state)
				if err == nil {
					select {
					case probed <- e.Address:
					default: // one is enough
					}
				}
				return err
			}
		}
		return settings, err
	}
	start(t, outbound.Config{
		Mesh:        watched,
		HealthCheck: &discovery.Check{Interval: tiny},
		Events:      outbound.Events{Health: func(_ mesh.Service, e mesh.Endpoint) { heard <- e }},
	}, good, wrong)
	if e := <-heard; e.Address != wrong.Address || !strings.Contains(e.HealthNote, "payments") {
		t.Errorf("heard of %s: %s", e.Address, e.HealthNote)
	}
	if address := <-probed; address != good.Address {
		t.Errorf("probed %s", address)
	}
}
