package integration_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"outrider/integration/meshtest"
	"outrider/internal/identity/identitytest"
)

// TestMeshIdentity is a mesh of strict mutual TLS on a real Consul, every proxy a
// process, and what becomes of it as certificates are replaced.
func TestMeshIdentity(t *testing.T) {
	t.Parallel()
	c := &certified{dir: t.TempDir(), ca: identitytest.NewCA(t), until: time.Now().Add(time.Hour)}
	c.trust(t, c.ca)
	for _, service := range []string{"users", "orders", "gateway"} {
		c.issue(t, service, service)
	}
	c.fleet = startFleet(t, meshtest.StartConsul(t, false), fleetOptions{instances: 1, extra: c.identity})
	t.Run("SourceIsTheCertificates", c.testSource)
	t.Run("NobodyWithoutACertificate", c.testPlain)
	t.Run("AuthorityReplaced", c.testReplaced)
	t.Run("AnotherService", c.testImpostor)
	t.Run("Metrics", c.testMetrics)
	for _, n := range c.nodes() {
		n.sidecar.send(syscall.SIGTERM)
		if code := n.sidecar.end(); code != 0 {
			t.Errorf("%s: exit code %d", n.sidecar.name, code)
		}
	}
}

// certified is a fleet whose proxies have certificates.
type certified struct {
	*fleet
	dir string
	ca  *identitytest.CA // that issues

	until time.Time // when what it issues expires
}

// spiffe is the name of a service.
func spiffe(service string) string { return "spiffe://mesh.example/ns/shop/svc/" + service }

// identity is the configuration of a service's proxies.
func (c *certified) identity(service string) string {
	at := func(name string) string { return filepath.Join(c.dir, name+".pem") }
	return fmt.Sprintf("identity: {provider: files, mtls: strict, cert_file: %q, key_file: %q, ca_file: %q}\n",
		at(service), at(service+"-key"), at("ca"))
}

// issue writes a certificate for a service's proxies, which says that they are whoever
// is named.
func (c *certified) issue(t *testing.T, service, name string) {
	t.Helper()
	c.ca.Issue(t, identitytest.Leaf{URIs: []string{spiffe(name)}, NotAfter: c.until}).Write(t, c.dir, service)
}

// trust writes what all proxies trust.
func (c *certified) trust(t *testing.T, authorities ...*identitytest.CA) {
	t.Helper()
	identitytest.WriteAll(t, c.dir, "ca", authorities...)
}

// ask sends a request by the ingress.
func (c *certified) ask(t *testing.T, path string) (status int, header http.Header, text string) {
	t.Helper()
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request(t, http.MethodGet, c.url+path))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header, meshtest.ReadAll(resp.Body)
}

// flows expects that a request goes through to orders, each of whose proxies knows
// the one before it by its certificate.
func (c *certified) flows(t *testing.T) {
	t.Helper()
	status, header, text := c.ask(t, "/api/users/42/orders")
	id := header.Get("X-Request-Id")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	sources := func() (all []string) {
		for _, n := range c.nodes() {
			for _, l := range logged(n.sidecar, id) {
				if l.Direction == "inbound" {
					all = append(all, n.service+" was asked by "+l.Source)
				}
			}
		}
		return all
	}
	meshtest.Eventually(t, "both inbounds have logged it", func() bool { return len(sources()) >= 2 })
	got := strings.Join(sources(), ", ")
	if want := "orders was asked by " + spiffe("users") + ", users was asked by " + spiffe("gateway"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	fmt.Printf("%s: %s\n", t.Name(), got)
}

func (c *certified) testSource(t *testing.T) { c.flows(t) }

// Who has no certificate, or says in plain text who it is, gets nowhere.
func (c *certified) testPlain(t *testing.T) {
	status, text := get(t, http.MethodGet, "http://"+c.orders[0].inbound+"/api/orders", "X-Forwarded-Client-Cert", "URI="+spiffe("users"))
	if status != http.StatusBadRequest || !strings.Contains(text, "This port speaks mutual TLS only.") {
		t.Errorf("plain HTTP: %d %s", status, text)
	}
	http.DefaultClient.CloseIdleConnections()
}

// awaitExpiry waits until every proxy has the certificate that expires last.
func (c *certified) awaitExpiry(t *testing.T) {
	t.Helper()
	for _, admin := range c.admins() {
		meshtest.Eventually(t, "a proxy has its new certificate", func() bool {
			m := expiry.FindStringSubmatch(fetch(admin + "/metrics"))
			if m == nil {
				return false
			}
			at, err := strconv.ParseFloat(m[1], 64)
			return err == nil && int64(at) == c.until.Unix()
		})
	}
}

func (c *certified) admins() []string { return []string{c.admin, c.users[0].admin, c.orders[0].admin} }

var expiry = regexp.MustCompile(`(?m)^outrider_certificate_expiry_timestamp_seconds (\S+)$`)

// An authority takes over from another without a request failing and without a
// restart: first both are trusted, then the new one issues, then it alone is trusted.
func (c *certified) testReplaced(t *testing.T) {
	reloaded := c.reloads()
	next := identitytest.NewCA(t)
	c.trust(t, c.ca, next)
	c.awaitReloads(t, reloaded)
	c.flows(t)

	old := c.ca
	c.ca, c.until = next, c.until.Add(time.Hour)
	for _, service := range []string{"users", "orders", "gateway"} {
		c.issue(t, service, service)
	}
	c.awaitExpiry(t)
	c.flows(t)

	reloaded = c.reloads()
	c.trust(t, next)
	c.awaitReloads(t, reloaded)
	c.orders[0].sidecar.signal(syscall.SIGTERM) // connections last: what comes now are new ones
	c.orders[0].sidecar.start()
	c.orders[0].sidecar.ready()
	c.awaitAll()
	c.flows(t)
	c.testStranger(t, old)
}

// testStranger finds that the old authority's certificates are worth nothing now.
func (c *certified) testStranger(t *testing.T, old *identitytest.CA) {
	pair := old.Issue(t, identitytest.Leaf{URIs: []string{spiffe("users")}}).TLS(t)
	err := handshake(t, c.orders[0].inbound, pair)
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a certificate of the authority that went: %v, want that it is unknown", err)
	}
	pair = c.ca.Issue(t, identitytest.Leaf{URIs: []string{spiffe("users")}}).TLS(t)
	if err := handshake(t, c.orders[0].inbound, pair); err != nil {
		t.Errorf("a certificate of the new authority: %v", err)
	}
}

// reloads counts what each proxy has reloaded.
func (c *certified) reloads() (all []int) {
	for _, admin := range c.admins() {
		count := 0
		for line := range strings.Lines(fetch(admin + "/metrics")) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), reloadsOK+" "); ok {
				count, _ = strconv.Atoi(value)
			}
		}
		all = append(all, count)
	}
	return all
}

// awaitReloads waits until every proxy has reloaded since.
func (c *certified) awaitReloads(t *testing.T, since []int) {
	t.Helper()
	meshtest.Eventually(t, "every proxy has read its files again", func() bool {
		for i, n := range c.reloads() {
			if n <= since[i] {
				return false
			}
		}
		return true
	})
}

// Who has a certificate of the mesh, and not orders', is not taken for orders.
func (c *certified) testImpostor(t *testing.T) {
	orders := c.orders[0]
	orders.sidecar.signal(syscall.SIGTERM)
	c.issue(t, "orders", "payments")
	orders.sidecar.start()
	orders.sidecar.ready()
	c.awaitAll()
	status, header, text := c.ask(t, "/api/orders")
	if status != http.StatusBadGateway || !strings.Contains(text, `"code":"tls_certificate"`) {
		t.Errorf("%d %s\nwant 502 tls_certificate", status, text)
	}
	id := header.Get("X-Request-Id")
	meshtest.Eventually(t, "the ingress has logged it", func() bool { return len(logged(c.ingress, id)) > 0 })
	for line := range strings.Lines(c.ingress.out.String()) {
		if !strings.Contains(line, id) {
			continue
		}
		for _, part := range []string{`the peer is not service \"orders\"`, `/svc/orders`, spiffe("payments")} {
			if !strings.Contains(line, part) {
				t.Errorf("the ingress logs\n%s\nwant what was expected and what was shown, %s", line, part)
			}
		}
	}
	c.issue(t, "orders", "orders")
	meshtest.Eventually(t, "orders is itself again", func() bool {
		status, _, _ := c.ask(t, "/api/orders")
		return status == http.StatusOK
	})
}

// What a sidecar exports, Prometheus reads.
func (c *certified) testMetrics(t *testing.T) {
	metrics := fetch(c.users[0].admin + "/metrics")
	if !strings.Contains(metrics, `outrider_registered 1`) || !strings.Contains(metrics, `gateway_requests_total{`) {
		t.Errorf("these are no metrics of a sidecar that was used:\n%s", metrics)
	}
	promtool(t, metrics, "check", "metrics")
}

// handshake makes a TLS connection with a certificate, and returns why it was refused.
func handshake(t *testing.T, addr string, pair tls.Certificate) error {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // it is the other side that verifies here
		Certificates:       []tls.Certificate{pair},
	}}
	c, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET /api/orders HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1)) // with TLS 1.3 a refusal comes after the handshake
	return err
}
