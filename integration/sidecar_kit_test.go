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
)

// beside is a sidecar as a process, on ports of its own.
type beside struct {
	*program
	file                          string
	app, inbound, outbound, admin string // host:port
}

// beside makes a sidecar of the service users, whose app listens where the result
// says. Its configuration has yaml besides, its command line args.
func (c command) beside(t *testing.T, yaml string, args ...string) *beside {
	t.Helper()
	host := meshtest.OwnHost()
	ports := meshtest.FreePorts(t, host, 4)
	at := func(i int) string { return fmt.Sprintf("%s:%d", host, ports[i]) }
	b := &beside{file: filepath.Join(t.TempDir(), "sidecar.yml"), app: at(0), inbound: at(1), outbound: at(2), admin: at(3)}
	b.configure(t, yaml)
	b.program = &program{
		t: t, name: "the sidecar", answers: "http://" + b.admin + "/ready",
		commandLine: append([]string{string(c), "run", "--config", b.file}, args...),
	}
	t.Cleanup(func() {
		b.signal(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("log of the sidecar:\n%s", tail(b.errs.String(), 40))
		}
	})
	return b
}

// configure writes its configuration.
func (b *beside) configure(t *testing.T, yaml string) {
	t.Helper()
	text := fmt.Sprintf(`service:
  name: users
  id: users-1
  app: %s
  health_check: {path: /health, interval: 500ms, timeout: 400ms, healthy: 1, unhealthy: 1}
inbound: {listen: %q}
outbound: {listen: %q}
admin: {listen: %q}
trusted_proxies: [127.0.0.0/8]
`, b.app, b.inbound, b.outbound, b.admin) + yaml
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts it, and waits until it is ready.
func (b *beside) run() {
	b.t.Helper()
	b.start()
	b.ready()
}

// says waits until its log has every one of these texts.
func (b *beside) says(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		meshtest.Eventually(b.t, "the log says "+text, func() bool { return strings.Contains(b.errs.String(), text) })
	}
}

// ends tells it to end, and expects that it does so cleanly.
func (b *beside) ends() {
	b.t.Helper()
	b.send(syscall.SIGTERM)
	if code := b.end(); code != 0 {
		b.t.Errorf("after SIGTERM: exit code %d, want 0\n%s", code, b.errs.String())
	}
}

// call sends a GET by its outbound to a service.
func (b *beside) call(t *testing.T, service, path string) (status int, text string) {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	return get(t, http.MethodGet, "http://"+b.outbound+path, "Host", service)
}
