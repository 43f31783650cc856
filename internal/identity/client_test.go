package identity_test

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
)

func TestClientVerifiesServer(t *testing.T) {
	ca, stranger, dir := identitytest.NewCA(t), identitytest.NewCA(t), t.TempDir()
	leaf := identitytest.Leaf{DNS: []string{"a.example"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
	server := newServer(t, identity.ServerFiles{Certs: []identity.CertFiles{pair(t, ca, dir, "a", leaf)}})
	caFile, strangerFile := ca.Write(t, dir, "ca"), stranger.Write(t, dir, "stranger")
	for _, tt := range []struct {
		name  string
		files identity.ClientFiles
		dial  string
		ok    bool
	}{
		{"name", identity.ClientFiles{CAFile: caFile}, "a.example", true},
		{"name and port", identity.ClientFiles{CAFile: caFile}, "a.example:443", true},
		{"address", identity.ClientFiles{CAFile: caFile}, "127.0.0.1:443", true},
		{"configured name first", identity.ClientFiles{CAFile: caFile, ServerName: "a.example"}, "b.example", true},
		{"wrong name", identity.ClientFiles{CAFile: caFile}, "b.example", false},
		{"wrong configured name", identity.ClientFiles{CAFile: caFile, ServerName: "b.example"}, "a.example", false},
		{"wrong address", identity.ClientFiles{CAFile: caFile}, "127.0.0.2", false},
		{"no name", identity.ClientFiles{CAFile: caFile}, "", false},
		{"wrong roots", identity.ClientFiles{CAFile: strangerFile}, "a.example", false},
		{"the system's roots", identity.ClientFiles{}, "a.example", false},
		{"expired", identity.ClientFiles{CAFile: caFile, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}, "a.example", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := handshake(t, server.TLS(), newClient(t, tt.files).TLS(tt.dial))
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

func TestClientReload(t *testing.T) {
	ca, next, dir := identitytest.NewCA(t), identitytest.NewCA(t), t.TempDir()
	leaf := identitytest.Leaf{DNS: []string{"a.example"}}
	server := newServer(t, identity.ServerFiles{
		Certs:        []identity.CertFiles{pair(t, next, dir, "server", leaf)},
		ClientCAFile: next.Write(t, dir, "clients"),
	})
	own := pair(t, ca, dir, "own", identitytest.Leaf{CommonName: "me"})
	client := newClient(t, identity.ClientFiles{CAFile: ca.Write(t, dir, "ca"), CertFile: own.CertFile, KeyFile: own.KeyFile})
	config := client.TLS("a.example") // from before all reloads
	if _, _, err := handshake(t, server.TLS(), config); err == nil {
		t.Fatal("an unknown authority was believed")
	}
	next.Write(t, dir, "ca")
	next.Issue(t, identitytest.Leaf{CommonName: "me, anew"}).Write(t, dir, "own")
	if err := client.Reload(); err != nil {
		t.Fatal(err)
	}
	s, _, err := handshake(t, server.TLS(), config)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.PeerCertificates[0].Subject.CommonName; got != "me, anew" {
		t.Errorf("showed %q", got)
	}
	if err := os.Remove(own.CertFile); err != nil {
		t.Fatal(err)
	}
	if err := client.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reload without the file: %v", err)
	}
	if _, _, err := handshake(t, server.TLS(), config); err != nil {
		t.Errorf("after a failed Reload: %v", err)
	}
}

func TestClientWithoutCertificate(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	server := newServer(t, identity.ServerFiles{
		Certs:        []identity.CertFiles{pair(t, ca, dir, "a", identitytest.Leaf{DNS: []string{"a.example"}})},
		ClientCAFile: ca.Write(t, dir, "ca"),
	})
	client := newClient(t, identity.ClientFiles{CAFile: filepath.Join(dir, "ca.pem")})
	if _, _, err := handshake(t, server.TLS(), client.TLS("a.example")); err == nil {
		t.Error("the server accepted nobody in particular")
	}
}
