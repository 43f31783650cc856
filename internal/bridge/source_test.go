package bridge_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"testing"

	"outrider/internal/bridge"
	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

// secured is a server with this TLS, over HTTP/1.1 or HTTP/2, whose Identify is the
// real one.
func secured(t *testing.T, proto string, settings *tls.Config, stack http.RoundTripper, identify func(*tls.ConnectionState) mesh.Identity) *proxy {
	t.Helper()
	p := prepare(proto, stack.RoundTrip, func(c *bridge.Config) { c.Identify = identify })
	p.TLS = settings
	return p.start(t)
}

// call makes a request over TLS with these settings.
func call(t *testing.T, p *proxy, settings *tls.Config, header http.Header) {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: settings}
	transport.Protocols.SetHTTP1(p.proto == "h1")
	transport.Protocols.SetHTTP2(p.proto == "h2")
	t.Cleanup(transport.CloseIdleConnections)
	req := request(t, "GET", p.URL, nil)
	req.Header = header
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	await(t, p.ends)
}

func meshOf(t *testing.T, ca *identitytest.CA, service string) *identity.Mesh {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := ca.Issue(t, identitytest.Leaf{URIs: []string{"spiffe://td/" + service}}).Write(t, dir, service)
	m, err := identity.NewMesh(identity.MeshFiles{CertFile: certFile, KeyFile: keyFile, CAFile: ca.Write(t, dir, "ca")})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A mesh peer is who its certificate says, and is believed where the configuration
// trusts that identity; its address is none of the trusted ones.
func TestMeshPeerIsBelieved(t *testing.T) {
	ca := identitytest.NewCA(t)
	orders := meshOf(t, ca, "orders")
	for _, proto := range []string{"h1", "h2"} {
		for _, tt := range []struct {
			caller    string
			client    string
			id        string
			forwarded string
		}{
			{"users", "192.0.2.77", "id-1", "192.0.2.77, 127.0.0.1"},
			{"guests", "127.0.0.1", "", "127.0.0.1"},
		} {
			t.Run(proto+" "+tt.caller, func(t *testing.T) {
				var got seen
				stack := mesh.Stack(record(&got), bridge.Forward(bridge.ForwardConfig{
					TrustIdentity: func(id mesh.Identity) bool { return id == "spiffe://td/users" },
				}))
				p := secured(t, proto, orders.ServerTLS(), stack, identity.Peer)
				call(t, p, meshOf(t, ca, tt.caller).ClientTLS("orders"), http.Header{
					"X-Request-Id": {"id-1"}, "X-Forwarded-For": {"192.0.2.77"}, "X-Forwarded-Proto": {"http"}, "Via": {"1.1 hop-a"},
				})
				if want := mesh.Identity("spiffe://td/" + tt.caller); got.call.Source != want {
					t.Errorf("source %q, want %q", got.call.Source, want)
				}
				if trusted := tt.id != ""; got.call.Trusted != trusted || (got.call.ID == "id-1") != trusted || got.call.Client != netip.MustParseAddr(tt.client) {
					t.Errorf("trusted %v, ID %q, client %v", got.call.Trusted, got.call.ID, got.call.Client)
				}
				if f := got.header.Get("X-Forwarded-For"); f != tt.forwarded {
					t.Errorf("X-Forwarded-For %q, want %q", f, tt.forwarded)
				}
				own := map[string]string{"h1": "1.1 edge-1", "h2": "2.0 edge-1"}[proto]
				if via := got.header["Via"]; len(via) != 2 || via[0] != "1.1 hop-a" || via[1] != own {
					t.Errorf("Via %q", via)
				}
			})
		}
	}
}

// A certificate that was shown and not verified is nobody's, and nobody is asked.
func TestSourceOnlyFromVerified(t *testing.T) {
	ca := identitytest.NewCA(t)
	client := func() *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{ca.Issue(t, identitytest.Leaf{DNS: []string{"users"}}).TLS(t)}}
	}
	for _, tt := range []struct {
		name   string
		auth   tls.ClientAuthType
		client *tls.Config
		want   mesh.Identity
	}{
		{"verified", tls.RequireAndVerifyClientCert, client(), "asked"},
		{"verified where given", tls.VerifyClientCertIfGiven, client(), "asked"},
		{"not given", tls.VerifyClientCertIfGiven, &tls.Config{InsecureSkipVerify: true}, ""},
		{"not verified", tls.RequireAnyClientCert, client(), ""},
		{"not verified, not required", tls.RequestClientCert, client(), ""},
	} {
		for _, proto := range []string{"h1", "h2"} {
			t.Run(proto+" "+tt.name, func(t *testing.T) {
				var got seen
				server := &tls.Config{ClientAuth: tt.auth, ClientCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Issue(t, identitytest.Leaf{DNS: []string{"orders"}}).TLS(t)}}
				p := secured(t, proto, server, record(&got), func(*tls.ConnectionState) mesh.Identity { return "asked" })
				call(t, p, tt.client, http.Header{})
				if got.call.Source != tt.want || !got.call.Secure {
					t.Errorf("source %q, want %q; secure %v", got.call.Source, tt.want, got.call.Secure)
				}
			})
		}
	}
	t.Run("nobody to ask", func(t *testing.T) {
		var got seen
		m := meshOf(t, ca, "orders")
		p := secured(t, "h2", m.ServerTLS(), record(&got), nil)
		call(t, p, m.ClientTLS("orders"), http.Header{})
		if got.call.Source != "" {
			t.Errorf("source %q", got.call.Source)
		}
	})
}
