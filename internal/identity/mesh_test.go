package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

// spiffe is a certificate in Consul's form.
func spiffe(service string) identitytest.Leaf {
	return identitytest.Leaf{URIs: []string{"spiffe://td.consul/ns/default/dc/dc1/svc/" + service}}
}

// member is a proxy of the mesh, with files of its own in dir.
func member(t *testing.T, ca *identitytest.CA, leaf identitytest.Leaf, change ...func(*identity.MeshFiles)) *identity.Mesh {
	t.Helper()
	m, err := identity.NewMesh(meshFiles(t, t.TempDir(), ca, leaf, change...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func meshFiles(t *testing.T, dir string, ca *identitytest.CA, leaf identitytest.Leaf, change ...func(*identity.MeshFiles)) identity.MeshFiles {
	t.Helper()
	own := pair(t, ca, dir, "own", leaf)
	f := identity.MeshFiles{CertFile: own.CertFile, KeyFile: own.KeyFile, CAFile: ca.Write(t, dir, "ca")}
	for _, c := range change {
		c(&f)
	}
	return f
}

func TestMeshBothSidesAreVerified(t *testing.T) {
	ca := identitytest.NewCA(t)
	users, orders := member(t, ca, spiffe("users")), member(t, ca, spiffe("orders"))
	s, c, err := handshake(t, orders.ServerTLS(), users.ClientTLS("orders"))
	if err != nil {
		t.Fatal(err)
	}
	if got := identity.Peer(&s); got != users.ID() || got != "spiffe://td.consul/ns/default/dc/dc1/svc/users" {
		t.Errorf("the server saw %q, want %q", got, users.ID())
	}
	if s.Version != tls.VersionTLS13 || c.ServerName != "orders" {
		t.Errorf("version %x, server name %q", s.Version, c.ServerName)
	}
	old := users.ClientTLS("orders")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, _, err := handshake(t, orders.ServerTLS(), old); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	server := &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.Issue(t, spiffe("orders")).TLS(t)}}
	if _, _, err := handshake(t, server, users.ClientTLS("orders")); err == nil {
		t.Error("TLS 1.2 was spoken")
	}
}

// What a server's certificate may hold for us to believe that it is orders.
func TestMeshServerIsTheService(t *testing.T) {
	ca, dns := identitytest.NewCA(t), func(names ...string) identitytest.Leaf { return identitytest.Leaf{DNS: names} }
	uri := func(u ...string) identitytest.Leaf { return identitytest.Leaf{URIs: u} }
	users := member(t, ca, spiffe("users"))
	for _, tt := range []struct {
		name    string
		leaf    identitytest.Leaf
		service string
		ok      bool
	}{
		{"consul's form", spiffe("orders"), "orders", true},
		{"another service", spiffe("payments"), "orders", false},
		{"name within a name", spiffe("reorders"), "orders", false},
		{"another case of letters", spiffe("Orders"), "orders", false},
		{"svc alone", uri("spiffe://td.consul/svc/orders"), "orders", true},
		{"svc within a name", uri("spiffe://td.consul/xsvc/orders"), "orders", false},
		{"svc not last", uri("spiffe://td.consul/svc/orders/x"), "orders", false},
		{"one segment", uri("spiffe://td.consul/orders"), "orders", true},
		{"kubernetes' form", uri("spiffe://td.consul/ns/default/sa/orders"), "orders", false},
		{"namespace of that name", uri("spiffe://td.consul/ns/orders"), "orders", false},
		{"another trust domain", uri("spiffe://other.consul/ns/default/dc/dc1/svc/orders"), "orders", false},
		{"another trust domain with the name", identitytest.Leaf{URIs: []string{"spiffe://other.consul/orders"}, DNS: []string{"orders"}}, "orders", false},
		{"dns", dns("x", "Orders"), "orders", true},
		{"dns of a host", dns("orders.example"), "orders", false},
		{"wildcard", dns("*", "*.orders", "orders*"), "orders", false},
		{"dns beside an ID", identitytest.Leaf{URIs: []string{"spiffe://td.consul/ns/a/sa/b"}, DNS: []string{"orders"}}, "orders", true},
		{"dns beside a bad ID", identitytest.Leaf{URIs: []string{"spiffe://td.consul/svc/orders/"}, DNS: []string{"orders"}}, "orders", false},
		{"common name", identitytest.Leaf{CommonName: "orders"}, "orders", false},
		{"no service", spiffe("orders"), "", false},
		{"a piece of a path", uri("spiffe://td.consul/svc/orders"), "svc/orders", false},
		{"expired", identitytest.Leaf{URIs: []string{"spiffe://td.consul/orders"}, NotAfter: time.Now().Add(-time.Minute)}, "orders", false},
		{"not valid yet", identitytest.Leaf{URIs: []string{"spiffe://td.consul/orders"}, NotBefore: time.Now().Add(time.Minute)}, "orders", false},
		{"for clients only", identitytest.Leaf{DNS: []string{"orders"}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, "orders", false},
		{"for no use in particular", identitytest.Leaf{DNS: []string{"orders"}, Usage: []x509.ExtKeyUsage{}}, "orders", true},
		{"an authority's", identitytest.Leaf{DNS: []string{"orders"}, IsCA: true}, "orders", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tt.leaf).TLS(t)}}
			_, _, err := handshake(t, server, users.ClientTLS(tt.service))
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			var bad *tls.CertificateVerificationError
			if err != nil && !errors.As(err, &bad) {
				t.Errorf("error %v is no CertificateVerificationError", err)
			}
		})
	}
}

func TestMeshRefusalSaysWhatWasWantedAndShown(t *testing.T) {
	ca := identitytest.NewCA(t)
	users := member(t, ca, spiffe("users"))
	for _, tt := range []struct {
		leaf identitytest.Leaf
		want []string
	}{
		{spiffe("payments"), []string{`"orders"`, "/svc/orders", `shown: "spiffe://td.consul/ns/default/dc/dc1/svc/payments"`}},
		{identitytest.Leaf{DNS: []string{"a", "b", "c", "d", "e", "f"}}, []string{`shown: "a", "b", "c", "d", and 2 more`}},
		{identitytest.Leaf{CommonName: "orders"}, []string{`shown: the common name "orders"`}},
		{identitytest.Leaf{URIs: []string{"spiffe://elsewhere/orders"}}, []string{"spiffe://elsewhere/orders", "our trust domain is td.consul"}},
	} {
		server := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tt.leaf).TLS(t)}}
		_, _, _, err := meet(t, server, users.ClientTLS("orders"))
		complains(t, "client", true, err, tt.want)
	}
}

// Who may call us.
func TestMeshClientIsVerified(t *testing.T) {
	ca, stranger := identitytest.NewCA(t), identitytest.NewCA(t)
	orders := member(t, ca, spiffe("orders"))
	gone := spiffe("users")
	gone.NotAfter = time.Now().Add(-time.Minute)
	for _, tt := range []struct {
		name string
		cert []tls.Certificate
		want mesh.Identity // empty: refused
		why  string
	}{
		{"good", []tls.Certificate{ca.Issue(t, spiffe("users")).TLS(t)}, "spiffe://td.consul/ns/default/dc/dc1/svc/users", ""},
		{"kubernetes' form", []tls.Certificate{ca.Issue(t, identitytest.Leaf{URIs: []string{"spiffe://td.consul/ns/a/sa/b"}}).TLS(t)}, "spiffe://td.consul/ns/a/sa/b", ""},
		{"dns", []tls.Certificate{ca.Issue(t, identitytest.Leaf{DNS: []string{"users"}}).TLS(t)}, "users", ""},
		{"through an intermediate", []tls.Certificate{ca.Intermediate(t, time.Time{}).Issue(t, spiffe("users")).TLS(t)}, "spiffe://td.consul/ns/default/dc/dc1/svc/users", ""},
		{"none", nil, "", "didn't provide a certificate"},
		{"another authority", []tls.Certificate{stranger.Issue(t, spiffe("users")).TLS(t)}, "", "unknown authority"},
		{"another trust domain", []tls.Certificate{ca.Issue(t, identitytest.Leaf{URIs: []string{"spiffe://other/users"}}).TLS(t)}, "", "our trust domain is td.consul"},
		{"expired", []tls.Certificate{ca.Issue(t, gone).TLS(t)}, "", "expired"},
		{"for servers only", []tls.Certificate{ca.Issue(t, identitytest.Leaf{DNS: []string{"users"}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).TLS(t)}, "", "incompatible key usage"},
		{"an authority's", []tls.Certificate{ca.Issue(t, identitytest.Leaf{DNS: []string{"users"}, IsCA: true}).TLS(t)}, "", "an authority's"},
		{"nobody's", []tls.Certificate{ca.Issue(t, identitytest.Leaf{}).TLS(t)}, "", "names nobody"},
		{"a bad ID", []tls.Certificate{ca.Issue(t, identitytest.Leaf{URIs: []string{"spiffe://td.consul/a//b"}}).TLS(t)}, "", "empty segment"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := &tls.Config{Certificates: tt.cert, InsecureSkipVerify: true}
			s, _, serverErr, clientErr := meet(t, orders.ServerTLS(), client)
			if got := identity.Peer(&s); serverErr == nil && got != tt.want {
				t.Errorf("peer %q, want %q", got, tt.want)
			}
			if tt.want != "" && (serverErr != nil || clientErr != nil) {
				t.Errorf("refused: %v; %v", serverErr, clientErr)
			}
			if tt.want == "" {
				complains(t, "server", clientErr != nil, serverErr, []string{tt.why})
			}
		})
	}
}

// A proxy whose own certificate has no trust domain leaves the choice to its roots.
func TestMeshWithoutTrustDomain(t *testing.T) {
	ca := identitytest.NewCA(t)
	orders := member(t, ca, identitytest.Leaf{DNS: []string{"orders"}})
	users := member(t, ca, identitytest.Leaf{URIs: []string{"spiffe://any/users"}})
	s, _, err := handshake(t, orders.ServerTLS(), users.ClientTLS("orders"))
	if err != nil {
		t.Fatal(err)
	}
	if got := identity.Peer(&s); got != "spiffe://any/users" || orders.ID() != "orders" {
		t.Errorf("peer %q, own %q", got, orders.ID())
	}
}

// No session is taken up again: neither side could be sure that the certificates of
// that time still hold.
func TestMeshDoesNotResume(t *testing.T) {
	ca := identitytest.NewCA(t)
	users, orders := member(t, ca, spiffe("users")), member(t, ca, spiffe("orders"))
	client := users.ClientTLS("orders")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4) // what we never set
	for range 3 {
		s, c, err := handshake(t, orders.ServerTLS(), client)
		if err != nil {
			t.Fatal(err)
		}
		if s.DidResume || c.DidResume {
			t.Error("a session was resumed")
		}
	}
	if users.ClientTLS("orders").ClientSessionCache != nil {
		t.Error("the client keeps sessions")
	}
}

func TestMeshReload(t *testing.T) {
	ca, next, dir := identitytest.NewCA(t), identitytest.NewCA(t), t.TempDir()
	m, err := identity.NewMesh(meshFiles(t, dir, ca, spiffe("orders")))
	if err != nil {
		t.Fatal(err)
	}
	server, client := m.ServerTLS(), m.ClientTLS("orders") // from before all reloads
	before, after := member(t, ca, spiffe("orders")), member(t, next, spiffe("orders"))
	meets := func(step string, with *identity.Mesh, want bool) {
		t.Helper()
		if _, _, err := handshake(t, server, with.ClientTLS("orders")); (err == nil) != want {
			t.Errorf("%s: as a server: %v", step, err)
		}
		if _, _, err := handshake(t, with.ServerTLS(), client); (err == nil) != want {
			t.Errorf("%s: as a client: %v", step, err)
		}
	}
	meets("at first", before, true)
	meets("at first", after, false)

	renewed := next.Issue(t, identitytest.Leaf{URIs: []string{"spiffe://new/orders"}, NotAfter: time.Now().Add(30 * time.Minute)})
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(step string, want ...string) {
		t.Helper()
		complains(t, step, true, m.Reload(), want)
		meets(step, before, true)
		if m.ID() != before.ID() {
			t.Errorf("%s: ID %q", step, m.ID())
		}
	}
	// Half of the pair, the other half not yet complete, and roots that are cut in
	// the middle of their second block.
	write("own.pem", renewed.Cert)
	refuses("certificate before key", "own.pem", "does not match")
	write("own-key.pem", renewed.Key[:len(renewed.Key)/2])
	refuses("half of a key", "own-key.pem", "not complete")
	write("own-key.pem", renewed.Key)
	write("ca.pem", slices.Concat(next.PEM, ca.PEM[:len(ca.PEM)-10]))
	refuses("half of the roots", "ca.pem", "not complete")
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	refuses("no roots", "ca.pem", "no such file")
	next.Write(t, dir, "ca")
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if m.ID() != "spiffe://new/orders" || time.Until(m.Expiry()) > 30*time.Minute {
		t.Errorf("ID %q, expiry %v", m.ID(), m.Expiry())
	}
	meets("renewed", before, false)
	fresh := member(t, next, identitytest.Leaf{URIs: []string{"spiffe://new/orders"}})
	meets("renewed", fresh, true)

	// While one authority takes over from another, both are believed.
	identitytest.WriteAll(t, dir, "ca", ca, next)
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	other := member(t, ca, identitytest.Leaf{DNS: []string{"orders"}})
	if _, _, err := handshake(t, other.ServerTLS(), client); err == nil {
		t.Error("the other side, which has the old roots only, accepted a new certificate")
	}
	if _, _, err := handshake(t, &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, identitytest.Leaf{DNS: []string{"orders"}}).TLS(t)}}, client); err != nil {
		t.Errorf("the old authority is not believed any more: %v", err)
	}
}

func TestMeshExpiryIsTheChains(t *testing.T) {
	ca, soon := identitytest.NewCA(t), time.Now().Add(10*time.Minute).Truncate(time.Second)
	leaf := spiffe("orders")
	leaf.NotAfter = soon
	if got := member(t, ca, leaf).Expiry(); !got.Equal(soon) {
		t.Errorf("the leaf's: %v, want %v", got, soon)
	}
	between := ca.Intermediate(t, soon)
	m, err := identity.NewMesh(meshFiles(t, t.TempDir(), between, spiffe("orders")))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Expiry(); !got.Equal(soon) {
		t.Errorf("the intermediate's: %v, want %v", got, soon)
	}
}

func TestMeshRefusesFiles(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	good := meshFiles(t, dir, ca, spiffe("orders"))
	odd := func(name string, leaf identitytest.Leaf) identity.MeshFiles {
		files := pair(t, ca, dir, name, leaf)
		return identity.MeshFiles{CertFile: files.CertFile, KeyFile: files.KeyFile, CAFile: good.CAFile}
	}
	for _, tt := range []struct {
		name  string
		files identity.MeshFiles
		want  []string
	}{
		{"nothing", identity.MeshFiles{}, []string{"cert_file and key_file and ca_file"}},
		{"no authority", identity.MeshFiles{CertFile: good.CertFile, KeyFile: good.KeyFile}, []string{"without ca_file"}},
		{"no key", identity.MeshFiles{CertFile: good.CertFile, CAFile: good.CAFile}, []string{"without key_file"}},
		{"missing", identity.MeshFiles{CertFile: good.CertFile, KeyFile: good.KeyFile, CAFile: filepath.Join(dir, "none.pem")}, []string{"none.pem", "no such file"}},
		{"nobody's", odd("nobody", identitytest.Leaf{}), []string{"nobody.pem", "names nobody"}},
		{"a bad ID", odd("bad", identitytest.Leaf{URIs: []string{"spiffe://td"}}), []string{"bad.pem", "no path"}},
		{"an authority's", odd("signs", identitytest.Leaf{DNS: []string{"orders"}, IsCA: true}), []string{"signs.pem", "an authority's"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := identity.NewMesh(tt.files)
			complains(t, "mesh", m == nil, err, tt.want)
		})
	}
	m, err := identity.NewMesh(good)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Files(), []string{good.CertFile, good.KeyFile, good.CAFile}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestMeshWarnings(t *testing.T) {
	ca, stranger := identitytest.NewCA(t), identitytest.NewCA(t)
	gone, oneWay := spiffe("orders"), spiffe("orders")
	gone.NotAfter = time.Now().Add(-time.Minute)
	oneWay.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, tt := range []struct {
		name   string
		leaf   identitytest.Leaf
		roots  *identitytest.CA
		want   string
		number int
	}{
		{"good", spiffe("orders"), ca, "", 0},
		{"expired", gone, ca, "expired on", 1},
		{"roots that do not know it", spiffe("orders"), stranger, "does not vouch for it", 1},
		{"not for clients", oneWay, ca, "incompatible key usage", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var warnings []string
			member(t, ca, tt.leaf, func(f *identity.MeshFiles) {
				f.CAFile = tt.roots.Write(t, t.TempDir(), "roots")
				f.Warn = func(err error) { warnings = append(warnings, err.Error()) }
			})
			if len(warnings) != tt.number || !strings.Contains(strings.Join(warnings, "\n"), tt.want) {
				t.Errorf("warned %q, want %q", warnings, tt.want)
			}
		})
	}
}

// An expired certificate of our own is shown all the same: whether it holds is for
// the other side to say.
func TestMeshClock(t *testing.T) {
	ca := identitytest.NewCA(t)
	late := func(f *identity.MeshFiles) { f.Now = func() time.Time { return time.Now().Add(2 * time.Hour) } }
	users, orders := member(t, ca, spiffe("users")), member(t, ca, spiffe("orders"), late)
	if _, _, serverErr, _ := meet(t, orders.ServerTLS(), users.ClientTLS("orders")); serverErr == nil || !strings.Contains(serverErr.Error(), "expired") {
		t.Errorf("as a server: %v", serverErr)
	}
	if _, _, _, clientErr := meet(t, users.ServerTLS(), orders.ClientTLS("users")); clientErr == nil || !strings.Contains(clientErr.Error(), "expired") {
		t.Errorf("as a client: %v", clientErr)
	}
}

func TestTowards(t *testing.T) {
	m := member(t, identitytest.NewCA(t), spiffe("users"))
	for _, tt := range []struct {
		mode                    string
		secure, permitted, held bool // by TLS; at all, without strict; at all, with strict
	}{
		{"", false, true, false},
		{"off", false, true, false},
		{"permissive", true, true, true},
		{"strict", true, true, true},
		{"Strict", false, false, false},
		{"quantum", false, false, false},
	} {
		e := mesh.Endpoint{Address: "192.0.2.1:15006"}
		if tt.mode != "" {
			e.Meta = map[string]string{identity.MetaMTLS: tt.mode}
		}
		for strict, want := range map[bool]bool{false: tt.permitted, true: tt.held} {
			settings, err := m.Towards("orders", strict)(e)
			if (err == nil) != want || (settings != nil) != tt.secure {
				t.Errorf("%q, strict %v: settings %v, error %v", tt.mode, strict, settings != nil, err)
			}
			if err != nil && (!strings.Contains(err.Error(), e.Address) || !strings.Contains(err.Error(), "orders")) {
				t.Errorf("%q: error %v does not say who", tt.mode, err)
			}
		}
	}
}
