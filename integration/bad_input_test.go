package integration_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"outrider/integration/meshtest"
	"outrider/internal/identity/identitytest"
)

// TestBadInput is what a sidecar says to what is wrong: each time what it is and what
// would be right, and it never hangs silently.
func TestBadInput(t *testing.T) {
	t.Parallel()
	c := built(t)
	t.Run("NoName", c.testNoName)
	t.Run("PortTaken", c.testSidecarPortTaken)
	t.Run("BadCertificate", c.testBadCertificate)
	t.Run("NoConsul", c.testNoConsul)
	consul := meshtest.StartConsul(t, true)
	t.Run("BadToken", func(t *testing.T) { c.testBadToken(t, consul) })
	t.Run("AppNeverHealthy", func(t *testing.T) { c.testAppNeverHealthy(t, consul) })
	t.Run("SnapshotWithoutConsul", func(t *testing.T) { c.testSnapshot(t, consul) })
}

// refusesToStart expects that a sidecar ends before it serves, with this code, having
// said exactly this.
func (b *beside) refusesToStart(t *testing.T, code int, said string) {
	t.Helper()
	b.start()
	if got := b.end(); got != code || b.errs.String() != said || b.out.String() != "" {
		t.Errorf("exit code %d, want %d; it said\n%s%s\nwant\n%s", got, code, b.out.String(), b.errs.String(), said)
	}
}

func (c command) testNoName(t *testing.T) {
	file := write(t, "inbound: {listen: \"127.0.0.1:0\"}\nservice:\n  app: 127.0.0.1:3003\n")
	want := file + ":2: service.name: missing: the name under which this service is registered and called\n"
	for _, how := range []string{"run", "check"} {
		if code, out, errs := c.run(t, how, "--config", file); code != 64 || errs != want || out != "" {
			t.Errorf("%s: exit code %d: %s%s\nwant 64 and\n%s", how, code, out, errs, want)
		}
	}
}

func (c command) testSidecarPortTaken(t *testing.T) {
	addr := taken(t, "127.0.0.1:0")
	for key, flags := range map[string][]string{
		"inbound.listen":       {"--inbound-listen", addr},
		"outbound.listen":      {"--outbound-listen", addr},
		"admin.listen":         {"--admin-listen", addr},
		"services.mail.listen": nil,
	} {
		t.Run(key, func(t *testing.T) {
			yaml := ""
			if flags == nil {
				yaml = fmt.Sprintf("services: {mail: {url: http://127.0.0.1:1, listen: %q}}\n", addr)
			}
			c.beside(t, yaml, flags...).refusesToStart(t, 1, key+": "+addr+" is taken by another process: stop it, or choose another port\n")
		})
	}
}

func (c command) testBadCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := identitytest.NewCA(t)
	roots := ca.Write(t, dir, "ca")
	cert, key := ca.Issue(t, identitytest.Leaf{URIs: []string{spiffe("users")}}).Write(t, dir, "users")
	_, otherKey := ca.Issue(t, identitytest.Leaf{URIs: []string{spiffe("users")}}).Write(t, dir, "other")
	rubbish := filepath.Join(dir, "rubbish.pem")
	writeFile(t, rubbish, "no certificate\n")
	missing := filepath.Join(dir, "missing.pem")
	for _, want := range []struct {
		name, cert, key, ca string
		said                []string
	}{
		{"missing", missing, key, roots, []string{"identity", missing, "no such file"}},
		{"unreadable", rubbish, key, roots, []string{"identity", rubbish}},
		{"another's key", cert, otherKey, roots, []string{"identity", cert, otherKey, "private key does not match public key"}},
		{"no authority", cert, key, rubbish, []string{"identity", rubbish}},
	} {
		t.Run(want.name, func(t *testing.T) {
			b := c.beside(t, fmt.Sprintf("identity: {provider: files, mtls: strict, cert_file: %q, key_file: %q, ca_file: %q}\n", want.cert, want.key, want.ca))
			b.start()
			code := b.end()
			for _, part := range want.said {
				if code != 64 || !strings.Contains(b.errs.String(), part) {
					t.Errorf("exit code %d, want 64 and %q:\n%s", code, part, b.errs.String())
				}
			}
		})
	}
}

// Without Consul and without a snapshot it says so at once, serves what it can, and
// ends when it is told to.
func (c command) testNoConsul(t *testing.T) {
	host := meshtest.OwnHost()
	nobody := fmt.Sprintf("%s:%d", host, meshtest.FreePorts(t, host, 1)[0])
	b := c.beside(t, fmt.Sprintf("services: {orders: {}}\nconsul: {address: %q, snapshot_dir: %q}\n", nobody, t.TempDir()))
	b.start()
	b.says("requests get 503 until it does; check consul.address: consul "+nobody+": service orders: dial tcp "+nobody+": connect: connection refused",
		`"msg":"listening"`)
	if status, text := get(t, http.MethodGet, b.answers); status != http.StatusServiceUnavailable || !strings.Contains(text, "service orders: ") {
		t.Errorf("/ready: %d %s\nwant 503, and which service", status, text)
	}
	if status, text := b.call(t, "orders", "/api/orders"); status != http.StatusServiceUnavailable ||
		!strings.Contains(text, `"code":"no_endpoints"`) || !strings.Contains(text, `"error":"The service has no endpoint available."`) {
		t.Errorf("a request: %d %s\nwant 503, and a sentence", status, text)
	}
	b.says(`"msg":"the proxy is not ready yet"`)
	b.ends()
	b.errs, b.out = meshtest.Log{}, meshtest.Log{}
	b.start()
	b.says(`"msg":"nothing is known of the service"`) // it is still looking for orders
	b.ends()
}

// A token that is none is said to be so, and which it ought to be; once the file has a
// good one, all is well.
func (c command) testBadToken(t *testing.T, consul *meshtest.Consul) {
	app := meshtest.Origin(t, meshtest.Says(http.StatusOK, "tea"))
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, "99999999-9999-9999-9999-999999999999\n")
	b := c.beside(t, fmt.Sprintf("consul: {address: %q, token_file: %q}\n", consul.Address, file))
	b.guards(t, app)
	b.run()
	b.says(`"msg":"consul denies this service's registration, trying on"`, "consul.token_file must be a token", `service:write for \"users\"`)
	if strings.Contains(b.errs.String(), "99999999-9999") {
		t.Error("the log shows the token")
	}
	if !strings.Contains(fetch("http://"+b.admin+"/metrics"), "outrider_registered 0\n") {
		t.Error("it says that it is registered")
	}
	if all, _ := consul.Instances("users"); len(all) != 0 {
		t.Errorf("Consul has %q", all)
	}
	_, secret := consul.Token("users", `service "users" { policy = "write" }`)
	writeFile(t, file, secret)
	meshtest.Eventually(t, "it is registered and well", func() bool {
		_, passing := consul.Instances("users")
		return len(passing) == 1
	})
	b.says(`"msg":"consul takes this service's heartbeat again"`)
	b.ends()
	if all, _ := consul.Instances("users"); len(all) != 0 {
		t.Errorf("after its end Consul has %q", all)
	}
}

// guards puts it before an app.
func (b *beside) guards(t *testing.T, app *meshtest.Endpoint) {
	t.Helper()
	addr := strings.TrimPrefix(app.URL, "http://")
	writeFile(t, b.file, strings.Replace(readFile(t, b.file), "app: "+b.app, "app: "+addr, 1))
	b.app = addr
}

// An app that is never well: the sidecar runs, and Consul knows that nobody should
// call, and why.
func (c command) testAppNeverHealthy(t *testing.T, consul *meshtest.Consul) {
	app := meshtest.Origin(t, meshtest.Says(http.StatusOK, "tea"))
	app.SetHealth(http.StatusServiceUnavailable)
	b := c.beside(t, fmt.Sprintf("consul: {address: %q, token: %q}\n", consul.Address, meshtest.Management))
	b.guards(t, app)
	b.run()
	b.says(`"msg":"the app is unhealthy","app":"` + b.app + `"`)
	var note string
	meshtest.Eventually(t, "Consul knows why", func() bool {
		var checks []struct{ Status, Output string }
		consul.Get("/v1/health/checks/users", &checks)
		if len(checks) == 1 && checks[0].Status == "critical" {
			note = checks[0].Output
		}
		return strings.Contains(note, "status 503")
	})
	fmt.Printf("%s: Consul's output: %s\n", t.Name(), note)
	app.SetHealth(http.StatusOK)
	meshtest.Eventually(t, "it is well after all", func() bool {
		_, passing := consul.Instances("users")
		return len(passing) == 1
	})
	b.ends()
}

// With a snapshot it starts without Consul, and serves.
func (c command) testSnapshot(t *testing.T, consul *meshtest.Consul) {
	orders := meshtest.Origin(t, meshtest.Says(http.StatusOK, "tea"))
	addr := orders.Listener.Addr().String()
	host, port, _ := strings.Cut(addr, ":")
	number := 0
	_, _ = fmt.Sscan(port, &number)
	consul.Put("/v1/agent/service/register", map[string]any{"ID": "orders-1", "Name": "orders", "Address": host, "Port": number}, nil)
	b := c.beside(t, fmt.Sprintf("services: {orders: {}}\nconsul: {address: %q, token: %q, register: false, snapshot_dir: %q}\n",
		consul.Address, meshtest.Management, t.TempDir()))
	b.run()
	meshtest.Eventually(t, "orders is there", func() bool {
		status, _ := b.call(t, "orders", "/")
		return status == http.StatusOK
	})
	b.ends()
	consul.Kill()
	b.start()
	b.ready()
	if status, text := b.call(t, "orders", "/"); status != http.StatusOK || text != "tea" {
		t.Errorf("%d %s, want tea", status, text)
	}
	if status, text := get(t, http.MethodGet, "http://"+b.admin+"/services"); status != http.StatusOK ||
		!strings.Contains(text, `"snapshot"`) && !strings.Contains(text, `"probing"`) {
		t.Errorf("/services does not say how orders is known: %d\n%s", status, text)
	}
	b.send(syscall.SIGTERM)
	if code := b.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
