package integration_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"outrider/integration/meshtest"
	"outrider/internal/identity/identitytest"
)

// shown returns the common name of the certificate that the gateway shows to who asks
// for a server name, and why there was no connection.
func shown(t *testing.T, g *meshtest.Running, ca *identitytest.CA, server string, own ...tls.Certificate) (string, error) {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{RootCAs: ca.Pool(), ServerName: server, Certificates: own}}
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL, "https://"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// With TLS 1.3 a refused client certificate shows only at the first read.
	_, _ = fmt.Fprintf(conn, "GET /word HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", server)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return "", err
	}
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestTLSCertificatesByNameSwappedLive(t *testing.T) {
	ca, dir := identitytest.NewCA(t), t.TempDir()
	issue := func(file, name, common string) (string, string) {
		return ca.Issue(t, identitytest.Leaf{CommonName: common, DNS: []string{name}}).Write(t, dir, file)
	}
	teaCert, teaKey := issue("tea", "tea.example", "tea 1")
	cakeCert, cakeKey := issue("cake", "*.cake.example", "cake 1")
	g := meshtest.Gateway(t, fmt.Sprintf("server: {tls: {certs: [{cert_file: %s, key_file: %s}, {cert_file: %s, key_file: %s}]}}\n",
		teaCert, teaKey, cakeCert, cakeKey)+saying("tea"))
	for server, want := range map[string]string{"tea.example": "tea 1", "apple.cake.example": "cake 1"} {
		if got, err := shown(t, g, ca, server); got != want || err != nil {
			t.Errorf("%s: shown %q, %v; want %q", server, got, err, want)
		}
	}
	issue("tea", "tea.example", "tea 2")
	eventually(t, "the new certificate is shown", func() bool {
		got, err := shown(t, g, ca, "tea.example")
		return err == nil && got == "tea 2"
	})
	if got, err := shown(t, g, ca, "apple.cake.example"); got != "cake 1" || err != nil {
		t.Errorf("the certificate that stayed: shown %q, %v", got, err)
	}
	// What is no certificate changes nothing.
	before := g.Metric(reloadsRefused)
	if err := os.WriteFile(teaCert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the refusal is counted", func() bool { return g.Metric(reloadsRefused) != before })
	if got, err := shown(t, g, ca, "tea.example"); got != "tea 2" || err != nil {
		t.Errorf("after an invalid file: shown %q, %v, want the certificate from before", got, err)
	}
}

// A configuration that names other files is valid though the old ones are gone.
func TestTLSFilesMove(t *testing.T) {
	ca := identitytest.NewCA(t)
	yaml := func(name string) (text, cert, key string) {
		cert, key = ca.Issue(t, identitytest.Leaf{CommonName: name, DNS: []string{"tea.example"}}).Write(t, t.TempDir(), "tea")
		return fmt.Sprintf("server: {tls: {certs: [{cert_file: %s, key_file: %s}]}}\n", cert, key) + saying("tea"), cert, key
	}
	before, oldCert, oldKey := yaml("before")
	g := meshtest.Gateway(t, before)
	after, _, _ := yaml("after")
	for _, file := range []string{oldCert, oldKey} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Reload(after); err != nil {
		t.Errorf("the configuration was refused: %v", err)
	}
	if got, err := shown(t, g, ca, "tea.example"); got != "after" || err != nil {
		t.Errorf("shown %q, %v; want the new file's certificate", got, err)
	}
}

func TestTLSClientsMustShowTheirs(t *testing.T) {
	ca, strangers, dir := identitytest.NewCA(t), identitytest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, identitytest.Leaf{CommonName: "gateway", DNS: []string{"tea.example"}}).Write(t, dir, "gateway")
	g := meshtest.Gateway(t, fmt.Sprintf("server: {tls: {certs: [{cert_file: %s, key_file: %s}], client_ca_file: %s}}\n",
		cert, key, ca.Write(t, dir, "ca"))+saying("tea"))
	leaf := identitytest.Leaf{CommonName: "guest"}
	if got, err := shown(t, g, ca, "tea.example", ca.Issue(t, leaf).TLS(t)); got != "gateway" || err != nil {
		t.Errorf("with a certificate: %q, %v", got, err)
	}
	if _, err := shown(t, g, ca, "tea.example"); err == nil {
		t.Error("without a certificate: let in")
	}
	if _, err := shown(t, g, ca, "tea.example", strangers.Issue(t, leaf).TLS(t)); err == nil {
		t.Error("with another authority's certificate: let in")
	}
	// Whom the authority vouches for can change while the gateway runs.
	strangers.Write(t, dir, "ca")
	eventually(t, "the other authority is believed", func() bool {
		_, err := shown(t, g, ca, "tea.example", strangers.Issue(t, leaf).TLS(t))
		return err == nil
	})
	if _, err := shown(t, g, ca, "tea.example", ca.Issue(t, leaf).TLS(t)); err == nil {
		t.Error("with the certificate of the authority that is believed no more: let in")
	}
}

func TestTLSTowardsServices(t *testing.T) {
	ca, strangers, dir := identitytest.NewCA(t), identitytest.NewCA(t), t.TempDir()
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].Subject.CommonName + " by " + r.Proto))
	}))
	origin.EnableHTTP2 = true
	origin.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	origin.TLS = &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(t, identitytest.Leaf{DNS: []string{"tea.example"}, IPs: []net.IP{net.IPv4(127, 0, 0, 2)}}).TLS(t)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(),
	}
	origin.StartTLS()
	t.Cleanup(origin.Close)
	cert, key := ca.Issue(t, identitytest.Leaf{CommonName: "gateway"}).Write(t, dir, "gateway")
	theirs, theirKey := strangers.Issue(t, identitytest.Leaf{CommonName: "stranger"}).Write(t, dir, "stranger")
	roots, others := ca.Write(t, dir, "ca"), strangers.Write(t, dir, "others")

	// With TLS 1.3 the refusal comes after the handshake, as an alert or, where that was
	// overtaken, as the connection's end.
	refused := []string{`"code":"tls_failed"`, `"code":"reset"`}
	for _, c := range []struct {
		name, tls string
		status    int
		texts     []string // any of these
	}{
		{"with our certificate", fmt.Sprintf("{ca_file: %s, cert_file: %s, key_file: %s, server_name: tea.example}", roots, cert, key), http.StatusOK, []string{"gateway by HTTP/2.0"}},
		{"the wrong name", fmt.Sprintf("{ca_file: %s, cert_file: %s, key_file: %s, server_name: cake.example}", roots, cert, key), http.StatusBadGateway, []string{`"code":"tls_certificate"`}},
		{"no name", fmt.Sprintf("{ca_file: %s, cert_file: %s, key_file: %s}", roots, cert, key), http.StatusBadGateway, []string{`"code":"tls_certificate"`}},
		{"another authority", fmt.Sprintf("{ca_file: %s, cert_file: %s, key_file: %s, server_name: tea.example}", others, cert, key), http.StatusBadGateway, []string{`"code":"tls_certificate"`}},
		{"without a certificate of ours", fmt.Sprintf("{ca_file: %s, server_name: tea.example}", roots), http.StatusBadGateway, refused},
		{"with a stranger's certificate", fmt.Sprintf("{ca_file: %s, cert_file: %s, key_file: %s, server_name: tea.example}", roots, theirs, theirKey), http.StatusBadGateway, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := meshtest.Gateway(t, "services: {tea: {url: "+origin.URL+", tls: "+c.tls+"}}\nrouting: [{path: /tea, service: tea}]\n")
			got := g.Get("/tea")
			fits := func(text string) bool { return strings.Contains(got.Text, text) }
			if got.StatusCode != c.status || !slices.ContainsFunc(c.texts, fits) {
				t.Errorf("%s %s\nwant %d with one of %s", got.Status, got.Text, c.status, c.texts)
			}
		})
	}
}
