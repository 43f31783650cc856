package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handshake lets client and server meet and returns what each says, and the first
// error of the two.
func handshake(t *testing.T, server, client *tls.Config) (s, c tls.ConnectionState, err error) {
	t.Helper()
	s, c, serverErr, err := meet(t, server, client)
	if err == nil {
		err = serverErr
	}
	return s, c, err
}

// meet lets client and server meet on a connection, exchanges one byte each way (TLS
// 1.3 tells a client of a refusal, and hands out tickets, only with data), and returns
// what each says.
func meet(t *testing.T, server, client *tls.Config) (s, c tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ended := make(chan error, 1)
	states := make(chan tls.ConnectionState, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			states <- tls.ConnectionState{}
			ended <- err
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, server)
		_, err = io.Copy(conn, io.LimitReader(conn, 1))
		states <- conn.ConnectionState()
		ended <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, client)
	_, err = conn.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	c = conn.ConnectionState()
	raw.Close()
	return <-states, c, <-ended, err
}

func pair(t *testing.T, ca *identitytest.CA, dir, name string, leaf identitytest.Leaf) identity.CertFiles {
	t.Helper()
	certFile, keyFile := ca.Issue(t, leaf).Write(t, dir, name)
	return identity.CertFiles{CertFile: certFile, KeyFile: keyFile}
}

func newServer(t *testing.T, f identity.ServerFiles) *identity.Server {
	t.Helper()
	s, err := identity.NewServer(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newClient(t *testing.T, f identity.ClientFiles) *identity.Client {
	t.Helper()
	c, err := identity.NewClient(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServerChoosesByName(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	server := newServer(t, identity.ServerFiles{Certs: []identity.CertFiles{
		pair(t, ca, dir, "first", identitytest.Leaf{CommonName: "first", DNS: []string{"first.example"}}),
		pair(t, ca, dir, "wild", identitytest.Leaf{CommonName: "wild", DNS: []string{"*.shop.example"}}),
		pair(t, ca, dir, "exact", identitytest.Leaf{CommonName: "exact", DNS: []string{"Pay.shop.example"}}),
		pair(t, ca, dir, "late", identitytest.Leaf{CommonName: "late", DNS: []string{"pay.shop.example"}}),
		pair(t, ca, dir, "address", identitytest.Leaf{CommonName: "address", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}),
	}})
	tests := []struct{ name, want string }{
		{"first.example", "first"},
		{"pay.shop.example", "exact"}, // above the wildcard, and the earlier of two
		{"PAY.SHOP.EXAMPLE", "exact"},
		{"cart.shop.example", "wild"},
		{"deep.cart.shop.example", "first"}, // a wildcard is one label
		{"shop.example", "first"},
		{"unknown.example", "first"},
		{"", "address"}, // a client that dials an address sends no name
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, c, err := handshake(t, server.TLS(), &tls.Config{ServerName: tt.name, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.PeerCertificates[0].Subject.CommonName; got != tt.want {
				t.Errorf("certificate %q, want %q", got, tt.want)
			}
			if c.NegotiatedProtocol != "h2" {
				t.Errorf("protocol %q, want h2", c.NegotiatedProtocol)
			}
		})
	}
}

func TestServerMinVersion(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	certs := []identity.CertFiles{pair(t, ca, dir, "a", identitytest.Leaf{DNS: []string{"a.example"}})}
	for _, tt := range []struct {
		min string
		max uint16
		ok  bool
	}{
		{"", tls.VersionTLS11, false},
		{"", tls.VersionTLS12, true},
		{"1.2", tls.VersionTLS12, true},
		{"1.3", tls.VersionTLS12, false},
		{"1.3", tls.VersionTLS13, true},
	} {
		server := newServer(t, identity.ServerFiles{Certs: certs, MinVersion: tt.min})
		_, _, err := handshake(t, server.TLS(), &tls.Config{
			ServerName: "a.example", RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tt.max,
		})
		if (err == nil) != tt.ok {
			t.Errorf("minimum %q, client at most %x: error %v", tt.min, tt.max, err)
		}
	}
}

func TestServerVerifiesClients(t *testing.T) {
	ca, stranger, dir := identitytest.NewCA(t), identitytest.NewCA(t), t.TempDir()
	server := newServer(t, identity.ServerFiles{
		Certs:        []identity.CertFiles{pair(t, ca, dir, "a", identitytest.Leaf{DNS: []string{"a.example"}})},
		ClientCAFile: ca.Write(t, dir, "ca"),
	})
	id := identitytest.Leaf{URIs: []string{"spiffe://mesh.example/orders"}}
	expired := id
	expired.NotAfter = time.Now().Add(-time.Minute)
	for _, tt := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{
		{"ours", []tls.Certificate{ca.Issue(t, id).TLS(t)}, true},
		{"none", nil, false},
		{"a stranger's", []tls.Certificate{stranger.Issue(t, id).TLS(t)}, false},
		{"expired", []tls.Certificate{ca.Issue(t, expired).TLS(t)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, err := handshake(t, server.TLS(), &tls.Config{ServerName: "a.example", RootCAs: ca.Pool(), Certificates: tt.certs})
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if tt.ok && len(s.VerifiedChains) == 0 {
				t.Error("no verified chain")
			}
		})
	}
}

func TestServerReload(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	files := pair(t, ca, dir, "a", identitytest.Leaf{CommonName: "old", DNS: []string{"a.example"}})
	server := newServer(t, identity.ServerFiles{Certs: []identity.CertFiles{files}})
	config := server.TLS() // from before all reloads
	shown := func() string {
		t.Helper()
		_, c, err := handshake(t, config, &tls.Config{ServerName: "a.example", RootCAs: ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		return c.PeerCertificates[0].Subject.CommonName
	}

	ca.Issue(t, identitytest.Leaf{CommonName: "new", DNS: []string{"a.example"}}).Write(t, dir, "a")
	if got := shown(); got != "old" {
		t.Errorf("before Reload: %q", got)
	}
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "new" {
		t.Errorf("after Reload: %q", got)
	}
	if err := os.WriteFile(files.KeyFile, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(); err == nil || !strings.Contains(err.Error(), files.KeyFile) {
		t.Errorf("Reload of garbage: %v, want an error that names %s", err, files.KeyFile)
	}
	if got := shown(); got != "new" {
		t.Errorf("after a failed Reload: %q", got)
	}
}

// A session lives on over a reload, unless the roots no longer vouch for its client.
func TestServerResumesSessions(t *testing.T) {
	ca, other, dir := identitytest.NewCA(t), identitytest.NewCA(t), t.TempDir()
	caFile := ca.Write(t, dir, "ca")
	server := newServer(t, identity.ServerFiles{
		Certs:        []identity.CertFiles{pair(t, ca, dir, "a", identitytest.Leaf{DNS: []string{"a.example"}})},
		ClientCAFile: caFile,
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ca.Write(t, dir, "ca")
		if err := server.Reload(); err != nil {
			t.Fatal(err)
		}
		client := &tls.Config{
			ServerName: "a.example", RootCAs: ca.Pool(), MinVersion: version, MaxVersion: version,
			Certificates:       []tls.Certificate{ca.Issue(t, identitytest.Leaf{CommonName: "c"}).TLS(t)},
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		if _, _, err := handshake(t, server.TLS(), client); err != nil {
			t.Fatal(err)
		}
		if err := server.Reload(); err != nil {
			t.Fatal(err)
		}
		s, _, err := handshake(t, server.TLS(), client)
		if err != nil || !s.DidResume {
			t.Fatalf("version %x: resumed %v, error %v", version, s.DidResume, err)
		}
		other.Write(t, dir, "ca")
		if err := server.Reload(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := handshake(t, server.TLS(), client); err == nil {
			t.Errorf("version %x: a session outlived the roots of its client", version)
		}
	}
}

func TestBadFiles(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	good := pair(t, ca, dir, "good", identitytest.Leaf{DNS: []string{"a.example"}})
	other := pair(t, ca, dir, "other", identitytest.Leaf{DNS: []string{"b.example"}})
	caFile := ca.Write(t, dir, "ca")
	put := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	text := put("text.pem", "hello")
	empty := put("empty.pem", "")
	broken := put("broken.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n")
	huge := put("huge.pem", strings.Repeat("x", 5<<20))
	missing := filepath.Join(dir, "missing.pem")

	for _, tt := range []struct {
		name string
		cert identity.CertFiles
		ca   string
		want []string
	}{
		{"no key file", identity.CertFiles{CertFile: good.CertFile}, "", []string{good.CertFile, "both files are needed"}},
		{"certificate missing", identity.CertFiles{CertFile: missing, KeyFile: good.KeyFile}, "", []string{missing, "no such file"}},
		{"key missing", identity.CertFiles{CertFile: good.CertFile, KeyFile: missing}, "", []string{missing, "no such file"}},
		{"text", identity.CertFiles{CertFile: text, KeyFile: good.KeyFile}, "", []string{text, "not PEM"}},
		{"empty", identity.CertFiles{CertFile: empty, KeyFile: good.KeyFile}, "", []string{empty, "not PEM"}},
		{"swapped", identity.CertFiles{CertFile: good.KeyFile, KeyFile: good.CertFile}, "", []string{good.KeyFile, "holds a PRIVATE KEY, and no CERTIFICATE"}},
		{"directory", identity.CertFiles{CertFile: dir, KeyFile: good.KeyFile}, "", []string{dir, "not a regular file"}},
		{"huge", identity.CertFiles{CertFile: huge, KeyFile: good.KeyFile}, "", []string{huge, "larger than"}},
		{"broken", identity.CertFiles{CertFile: broken, KeyFile: good.KeyFile}, "", []string{broken, "x509"}},
		{"another's key", identity.CertFiles{CertFile: good.CertFile, KeyFile: other.KeyFile}, "", []string{good.CertFile, other.KeyFile, "does not match"}},
		{"authority missing", good, missing, []string{missing, "no such file"}},
		{"authority is a key", good, good.KeyFile, []string{good.KeyFile, "no CERTIFICATE"}},
		{"authority broken", good, broken, []string{broken, "block 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, err := identity.NewServer(identity.ServerFiles{Certs: []identity.CertFiles{tt.cert}, ClientCAFile: tt.ca})
			complains(t, "server", server == nil, err, tt.want)
			client, err := identity.NewClient(identity.ClientFiles{CAFile: tt.ca, CertFile: tt.cert.CertFile, KeyFile: tt.cert.KeyFile})
			complains(t, "client", client == nil, err, tt.want)
		})
	}
	if _, err := identity.NewServer(identity.ServerFiles{}); err == nil {
		t.Error("a server without certificates was made")
	}
	if _, err := identity.NewServer(identity.ServerFiles{Certs: []identity.CertFiles{good}, MinVersion: "1.1"}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if _, err := identity.NewClient(identity.ClientFiles{CAFile: caFile}); err != nil {
		t.Error(err)
	}
}

func complains(t *testing.T, who string, none bool, err error, want []string) {
	t.Helper()
	if err == nil || !none {
		t.Fatalf("%s: was made, error %v", who, err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: error %q does not say %q", who, err, w)
		}
	}
}

func TestWarnings(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	named := []string{"a.example"}
	for _, tt := range []struct {
		name string
		leaf identitytest.Leaf
		want string
	}{
		{"good", identitytest.Leaf{DNS: named}, ""},
		{"expired", identitytest.Leaf{DNS: named, NotAfter: time.Now().Add(-time.Minute)}, "expired on"},
		{"early", identitytest.Leaf{DNS: named, NotBefore: time.Now().Add(time.Minute)}, "not valid before"},
		{"nameless", identitytest.Leaf{CommonName: "a.example"}, "no subject alternative name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := pair(t, ca, dir, "a", tt.leaf)
			var warnings []string
			newServer(t, identity.ServerFiles{
				Certs: []identity.CertFiles{files},
				Warn:  func(err error) { warnings = append(warnings, err.Error()) },
			})
			got := strings.Join(warnings, "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("warned %q, want %q", got, tt.want)
			}
			if tt.want != "" && !strings.Contains(got, files.CertFile) {
				t.Errorf("warning %q does not name %s", got, files.CertFile)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	a := pair(t, ca, dir, "a", identitytest.Leaf{DNS: []string{"a.example"}})
	caFile := ca.Write(t, dir, "ca")
	server := newServer(t, identity.ServerFiles{Certs: []identity.CertFiles{a}, ClientCAFile: caFile})
	if got, want := server.Files(), []string{a.CertFile, a.KeyFile, caFile}; !slices.Equal(got, want) {
		t.Errorf("server: %q, want %q", got, want)
	}
	client := newClient(t, identity.ClientFiles{CAFile: caFile, CertFile: a.CertFile, KeyFile: a.KeyFile})
	if got, want := client.Files(), []string{caFile, a.CertFile, a.KeyFile}; !slices.Equal(got, want) {
		t.Errorf("client: %q, want %q", got, want)
	}
	if got := newClient(t, identity.ClientFiles{}).Files(); len(got) != 0 {
		t.Errorf("client without files: %q", got)
	}
}

// The pool that identitytest hands out is what its files hold.
func TestAuthorityPool(t *testing.T) {
	ca := identitytest.NewCA(t)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.PEM) || !pool.Equal(ca.Pool()) {
		t.Error("Pool and PEM differ")
	}
}
