package app

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"outrider/discovery"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

// spiffe begins the SPIFFE IDs of services, in Consul's form.
const spiffe = "spiffe://mesh.test/ns/default/dc/dc1/svc/"

// certified returns an identity block for a service, with a certificate of ca's.
func certified(t *testing.T, ca *identitytest.CA, service, mode string) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := ca.Issue(t, identitytest.Leaf{URIs: []string{spiffe + service}}).Write(t, dir, service)
	return fmt.Sprintf("identity: {provider: files, mtls: %s, cert_file: %q, key_file: %q, ca_file: %q}\n", mode, cert, key, ca.Write(t, dir, "ca"))
}

// pair is two sidecars on one registry: tea calls cake.
func pair(t *testing.T, m *discovery.Memory, callee, caller string) (tea, cake *sidecar) {
	t.Helper()
	cake = besideService(t, "cake", echo(t).URL, "consul: {}\n"+callee, in(m))
	eventually(t, "cake is registered", func() bool {
		all := instances(t, m, "cake")
		return len(all) == 1 && !all[0].Unhealthy
	})
	tea = beside(t, echo(t).URL, "consul: {register: false}\nservices: {cake: {}}\n"+caller, in(m))
	return tea, cake
}

// Between two sidecars with certificates of one authority, each knows who the other is.
func TestMutualTLSBetweenSidecars(t *testing.T) {
	ca := identitytest.NewCA(t)
	for _, mode := range []string{"permissive", "strict"} {
		t.Run(mode, func(t *testing.T) {
			var m discovery.Memory
			tea, cake := pair(t, &m, certified(t, ca, "cake", mode), certified(t, ca, "tea", "strict"))
			got := tea.ask(tea.where.Outbound, http.MethodGet, "/a", "Host", "cake", "X-Request-Id", "one", "X-User-Id", "42")
			if got.StatusCode != http.StatusOK || got.text != "cake /a" {
				t.Fatalf("status %d, %s", got.StatusCode, got.text)
			}
			if got.Header.Get("Saw-X-Request-Id") != "one" || got.Header.Get("Saw-X-User-Id") != "42" {
				t.Errorf("what a caller with an identity says is not believed: %v", got.Header)
			}
			eventually(t, "the callee knows who called", func() bool { return cake.access.count(`"source":"`+spiffe+`tea"`) == 1 })
		})
	}
}

// A port of strict takes no plain request, and one of permissive does, without
// believing it.
func TestPlainToAPortOfMutualTLS(t *testing.T) {
	ca := identitytest.NewCA(t)
	var m discovery.Memory
	permissive := beside(t, echo(t).URL, "consul: {register: false}\n"+certified(t, ca, "tea", "permissive"), in(&m))
	got := permissive.ask(permissive.where.Inbound, http.MethodGet, "/a", "X-User-Id", "root")
	if got.StatusCode != http.StatusOK || got.Header.Get("Saw-X-User-Id") != "" {
		t.Errorf("permissive: status %d, the app saw %v", got.StatusCode, got.Header)
	}
	strict := beside(t, echo(t).URL, "consul: {register: false}\n"+certified(t, ca, "tea", "strict"), in(&m))
	c := dial(t, strict.where.Inbound)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: tea\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "mutual TLS") {
		t.Errorf("strict: status %d, %s", resp.StatusCode, text)
	}
}

// Whoever is not whom the name says is not called, and the client learns why.
func TestTheWrongIdentityIsNotCalled(t *testing.T) {
	ca, other := identitytest.NewCA(t), identitytest.NewCA(t)
	for _, tt := range []struct{ name, callee, caller, code string }{
		{"another service's certificate", certified(t, ca, "coffee", "strict"), certified(t, ca, "tea", "strict"), "tls_certificate"},
		{"another authority's certificate", certified(t, other, "cake", "strict"), certified(t, ca, "tea", "strict"), "tls_certificate"},
		{"no certificate, to a strict caller", "", certified(t, ca, "tea", "strict"), "tls_failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m discovery.Memory
			tea, _ := pair(t, &m, tt.callee, tt.caller)
			got := tea.ask(tea.where.Outbound, http.MethodGet, "/", "Host", "cake")
			if got.StatusCode != http.StatusBadGateway || !strings.Contains(got.text, `"code":"`+tt.code+`"`) {
				t.Errorf("status %d, %s", got.StatusCode, got.text)
			}
		})
	}
}

// Certificates are renewed under running traffic.
func TestTheMeshCertificateIsReloaded(t *testing.T) {
	ca := identitytest.NewCA(t)
	var m discovery.Memory
	block := certified(t, ca, "cake", "strict")
	tea, cake := pair(t, &m, block, certified(t, ca, "tea", "strict"))
	old := cake.expiry()
	file := strings.Split(block, `"`)[1]
	ca.Issue(t, identitytest.Leaf{URIs: []string{spiffe + "cake"}, NotAfter: old.AddDate(1, 0, 0)}).Write(t, filepath.Dir(file), "cake")
	if err := cake.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !cake.expiry().After(old) {
		t.Errorf("the certificate in use expires on %v, as the old one", cake.expiry())
	}
	if got := tea.ask(tea.where.Outbound, http.MethodGet, "/", "Host", "cake"); got.StatusCode != http.StatusOK {
		t.Errorf("status %d, %s", got.StatusCode, got.text)
	}
}

// An endpoint that says nothing of mutual TLS is met as it always was by who is
// permissive.
func TestPermissiveCallsPlainPeers(t *testing.T) {
	ca := identitytest.NewCA(t)
	var m discovery.Memory
	tea, _ := pair(t, &m, "", certified(t, ca, "tea", "permissive"))
	if got := tea.ask(tea.where.Outbound, http.MethodGet, "/", "Host", "cake"); got.StatusCode != http.StatusOK {
		t.Errorf("status %d, %s", got.StatusCode, got.text)
	}
	for _, e := range instances(t, &m, mesh.Service("cake")) {
		if e.Meta["outrider-mtls"] != "" {
			t.Errorf("a sidecar without an identity says that it speaks mutual TLS: %v", e.Meta)
		}
	}
}

// Nobody declared the service, and it is met by the same rules as one that is declared.
func TestMutualTLSToAnUndeclaredService(t *testing.T) {
	ca := identitytest.NewCA(t)
	for _, tt := range []struct {
		name, callee, caller string
		status               int
		code                 string
	}{
		{"between strict ones", certified(t, ca, "cake", "strict"), certified(t, ca, "tea", "strict"), http.StatusOK, ""},
		{"to one without an identity", "", certified(t, ca, "tea", "strict"), http.StatusBadGateway, "tls_failed"},
		{"to another service's certificate", certified(t, ca, "coffee", "strict"), certified(t, ca, "tea", "strict"), http.StatusBadGateway, "tls_certificate"},
		{"from a permissive one", "", certified(t, ca, "tea", "permissive"), http.StatusOK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m discovery.Memory
			cake := besideService(t, "cake", echo(t).URL, "consul: {}\n"+tt.callee, in(&m))
			eventually(t, "cake is registered", func() bool {
				all := instances(t, &m, "cake")
				return len(all) == 1 && !all[0].Unhealthy
			})
			tea := beside(t, echo(t).URL, "consul: {register: false}\noutbound: {undeclared: discover}\n"+tt.caller, in(&m))
			got := tea.ask(tea.where.Outbound, http.MethodGet, "/a", "Host", "cake")
			if got.StatusCode != tt.status || !strings.Contains(got.text, tt.code) {
				t.Errorf("status %d, want %d: %s", got.StatusCode, tt.status, got.text)
			}
			if tt.callee != "" && tt.code == "" {
				eventually(t, "the callee knows who called", func() bool { return cake.access.count(`"source":"`+spiffe+`tea"`) == 1 })
			}
		})
	}
}
