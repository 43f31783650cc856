package door

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

// meshed returns settings for a port of mutual TLS, and those of a peer.
func meshed(t *testing.T, permissive bool) (Settings, *tls.Config) {
	t.Helper()
	ca := identitytest.NewCA(t)
	member := func(name string) *identity.Mesh {
		dir := t.TempDir()
		cert, key := ca.Issue(t, identitytest.Leaf{DNS: []string{name}}).Write(t, dir, name)
		m, err := identity.NewMesh(identity.MeshFiles{CertFile: cert, KeyFile: key, CAFile: ca.Write(t, dir, "ca")})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	s := plain
	s.Mesh, s.Plain = member("cake").ServerTLS(), permissive
	return s, member("tea").ClientTLS("cake")
}

// secure has the connection speak TLS.
func (c *client) secure(settings *tls.Config) *client {
	c.t.Helper()
	settings = settings.Clone()
	settings.NextProtos = nil
	conn := tls.Client(c.Conn, settings)
	if err := conn.HandshakeContext(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return newClient(c.t, conn)
}

// protocol says whether its request came by TLS.
func protocol(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil {
		_, _ = w.Write([]byte("secure"))
		return
	}
	_, _ = w.Write([]byte("plain"))
}

// One address takes both, told apart by what they say first.
func TestBothSortsComeIn(t *testing.T) {
	settings, peer := meshed(t, true)
	d := opened(t, protocol)
	d.Enter(settings, handle(protocol))
	silent := d.visit(t) // keeps nobody waiting
	d.visit(t).want("plain")
	d.visit(t).secure(peer).want("secure")
	silent.want("plain")
}

// Where mutual TLS is a must, plain HTTP is told so, and heard of.
func TestPlainIsRefused(t *testing.T) {
	settings, peer := meshed(t, false)
	var refused atomic.Int32
	d := openedWith(t, Config{Name: "us", Refused: func(*mesh.Fault) { refused.Add(1) }}, protocol)
	d.Enter(settings, handle(protocol))
	c := d.visit(t)
	c.send(get)
	if got := c.status(); got != http.StatusBadRequest {
		t.Errorf("status %d, want 400", got)
	}
	c.gone()
	eventually(t, "it was heard of", func() bool { return refused.Load() == 1 })
	d.visit(t).secure(peer).want("secure")
	eventually(t, "it is inside no longer", func() bool { return d.Open() == 1 })
}

// Whoever has not said a word is let go when the door closes, without waiting for the
// grace, and nobody who comes at that moment is forgotten.
func TestCloseWhileSorting(t *testing.T) {
	settings, _ := meshed(t, true)
	settings.ReadHeaderTimeout = time.Hour
	d := opened(t, protocol)
	d.Enter(settings, handle(protocol))
	var silent []*client
	for range 10 {
		silent = append(silent, d.visit(t))
	}
	eventually(t, "they are inside", func() bool { return d.Open() == len(silent) })
	var coming sync.WaitGroup
	for range 10 { // some of them find it closed
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", d.ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		coming.Go(func() {
			defer c.Close()
			_, _ = c.Write([]byte(get + "\r\nHost: shop.test\r\n\r\n"))
			_, _ = c.Read(make([]byte, 1))
		})
	}
	if err := d.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	for _, c := range silent {
		c.gone()
	}
	coming.Wait()
	eventually(t, "nobody is inside", func() bool { return d.Open() == 0 })
}

// A connection that was accepted as the door closed is not sorted any more.
func TestNobodyIsSortedBehindAClosedDoor(t *testing.T) {
	settings, _ := meshed(t, true)
	d := opened(t, protocol)
	d.Enter(settings, handle(protocol))
	late := listen(t)
	c := newClient(t, dial(t, late.Addr().String()))
	accepted, err := late.Accept()
	if err != nil {
		t.Fatal(err)
	}
	now, cancel := context.WithCancel(t.Context())
	cancel()
	_ = d.Close(now)
	if err := d.gate.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.hand(accepted)
	c.gone()
	if d.Open() != 0 {
		t.Errorf("%d are inside", d.Open())
	}
}

// A port of TLS, or of mutual TLS alone, tells who speaks plain HTTP to it so, and hears
// of them; what is neither is let go without a word.
func TestPlainIsRefusedWhereTLSIsAMust(t *testing.T) {
	mutual, _ := meshed(t, false)
	for _, tt := range []struct {
		name, message, want string
		auth                tls.ClientAuthType
		heard               bool
	}{
		{"HTTP/1.1", get + "\r\nHost: shop.test\r\n\r\n", `"error":"This port speaks TLS only.","code":"malformed"`, tls.NoClientCert, true},
		{"a client's certificate is a must", get + "\r\n\r\n", `"This port speaks mutual TLS only."`, tls.RequireAndVerifyClientCert, true},
		{"it is welcome", "DELETE / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", tls.VerifyClientCertIfGiven, true},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x0cThis port speaks TLS only.", tls.NoClientCert, true},
		{"something else", "hello, hello", "", tls.NoClientCert, false},
		{"something binary", "\x80\x2e\x01\x03\x01", "", tls.NoClientCert, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := plain
			settings.TLS = mutual.Mesh.Clone()
			settings.TLS.ClientAuth = tt.auth
			var heard atomic.Int32
			d := openedWith(t, Config{Name: "us", Refused: func(*mesh.Fault) { heard.Add(1) }}, protocol)
			d.Enter(settings, handle(protocol))
			c := d.visit(t)
			if _, err := io.WriteString(c, tt.message); err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(c.in) // a reset is an end as well
			if !strings.Contains(string(got), tt.want) || tt.want == "" && strings.Contains(string(got), "HTTP") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			c.Close()
			eventually(t, "it is inside no longer", func() bool { return d.Open() == 0 })
			eventually(t, "it was heard of", func() bool { return heard.Load() == 1 == tt.heard })
		})
	}
}

// Of a client of either sort that goes away while its answer is waited for the handler
// is told.
func TestWhoGoesAwayIsMissed(t *testing.T) {
	settings, peer := meshed(t, true)
	arrived, gone := make(chan struct{}), make(chan struct{})
	waits := func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-mesh.From(r).Context().Done()
		gone <- struct{}{}
	}
	d := opened(t, waits)
	d.Enter(settings, handle(waits))
	for _, c := range []*client{d.visit(t), d.visit(t).secure(peer)} {
		c.send(get)
		<-arrived
		c.Close()
		<-gone
	}
}
