package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outrider/integration/meshtest"
)

// program is one of our programs as a process that a test can kill and start again.
// What it writes is kept across its lives.
type program struct {
	name        string
	out, errs   meshtest.Log
	answers     string // the URL that answers 200 once it is ready
	t           *testing.T
	environ     []string
	commandLine []string

	mu   sync.Mutex // protects cmd, done
	cmd  *exec.Cmd  // nil while it is down
	done chan struct{}
}

// start starts it, and returns without waiting for it.
func (p *program) start() {
	p.t.Helper()
	cmd := exec.Command(p.commandLine[0], p.commandLine[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, p.environ...)
	cmd.Stdout, cmd.Stderr = &p.out, &p.errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // what it has started, and left behind, may hold its output
	if err := cmd.Start(); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
		return
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	go func() {
		defer close(done)
		_ = cmd.Wait() // however it ends: the test has its own view of that
	}()
}

// send sends s, and waits for nothing.
func (p *program) send(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
}

// pid returns its process.
func (p *program) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// end waits until it has ended, and returns its exit code; -1: a signal ended it.
func (p *program) end() int {
	p.t.Helper()
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	select {
	case <-done:
		return cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
		return -1
	}
}

// ready waits until it answers that it is ready.
func (p *program) ready() {
	p.t.Helper()
	meshtest.Eventually(p.t, p.name+" is ready", func() bool { return statusOf(p.answers) == http.StatusOK })
}

// signal sends s and waits for the end; it reports whether there was a process.
func (p *program) signal(s syscall.Signal) bool {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.cmd = nil
	p.mu.Unlock()
	if cmd == nil {
		return false
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v", p.name, err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		p.t.Errorf("%s has not ended by %v", p.name, s)
		_ = cmd.Process.Kill()
		<-done
	}
	return true
}

// statusOf returns the status of a GET; zero where there is no answer.
func statusOf(url string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// node is an instance of a service and the sidecar beside it.
type node struct {
	service, id           string
	app, sidecar          *program
	appAt, inbound, admin string
}

// stop ends the node as an orchestrator does: the sidecar drains, then the app goes.
func (n *node) stop() {
	n.sidecar.signal(syscall.SIGTERM)
	n.app.signal(syscall.SIGKILL)
}

// kill ends both at once, without a word.
func (n *node) kill() {
	n.sidecar.signal(syscall.SIGKILL)
	n.app.signal(syscall.SIGKILL)
}

func (n *node) start() {
	n.app.start()
	n.app.ready()
	n.sidecar.start()
	n.sidecar.ready()
}

// fleet is two services of three instances each with their sidecars, and an ingress,
// all as processes, on a real Consul.
type fleet struct {
	t       *testing.T
	consul  *meshtest.Consul
	binary  command
	dir     string
	users   []*node
	orders  []*node
	ingress *program
	url     string // the ingress's
	admin   string
}

// fleetOptions are what makes one fleet different from another.
type fleetOptions struct {
	instances int
	token     string                      // a file with the token; empty: none
	extra     func(service string) string // what else the proxies of a service are configured with; nil: nothing
}

// of returns what else the proxies of a service are configured with.
func (o fleetOptions) of(service string) string {
	if o.extra == nil {
		return ""
	}
	return o.extra(service)
}

// newFleet makes one without anything in it.
func newFleet(t *testing.T, consul *meshtest.Consul) *fleet {
	t.Helper()
	return &fleet{t: t, consul: consul, dir: t.TempDir(), binary: built(t)}
}

// startFleet starts everything and waits until the ingress reaches every instance.
func startFleet(t *testing.T, consul *meshtest.Consul, o fleetOptions) *fleet {
	t.Helper()
	f := newFleet(t, consul)
	for n := range o.instances {
		f.orders = append(f.orders, f.node("orders", n, o))
		f.users = append(f.users, f.node("users", n, o))
	}
	f.startIngress(o)
	for _, n := range f.nodes() {
		n.app.start()
		n.sidecar.start()
	}
	for _, n := range f.nodes() {
		n.app.ready()
		n.sidecar.ready()
	}
	f.ingress.start()
	f.ingress.ready()
	f.awaitAll()
	return f
}

func (f *fleet) nodes() []*node { return append(append([]*node{}, f.orders...), f.users...) }

// awaitAll waits until Consul holds every instance for well, and the ingress knows.
func (f *fleet) awaitAll() {
	f.t.Helper()
	for _, service := range []string{"users", "orders"} {
		meshtest.Eventually(f.t, "every instance of "+service+" passes in Consul", func() bool {
			_, passing := f.consul.Instances(service)
			return len(passing) == len(f.users)
		})
		f.awaitKnown(service, len(f.users))
	}
}

// awaitKnown waits until the ingress holds so many endpoints of a service for healthy.
func (f *fleet) awaitKnown(service string, n int) {
	f.t.Helper()
	want := fmt.Sprintf(`outrider_endpoints{service=%q,state="healthy"} %d`, service, n)
	meshtest.Eventually(f.t, fmt.Sprintf("the ingress knows %d healthy endpoints of %s", n, service), func() bool {
		return strings.Contains(fetch(f.admin+"/metrics"), want+"\n")
	})
}

// node makes an instance and its sidecar, on ports that stay theirs.
func (f *fleet) node(service string, number int, o fleetOptions) *node {
	host := meshtest.OwnHost()
	ports := meshtest.FreePorts(f.t, host, 4)
	at := func(i int) string { return fmt.Sprintf("%s:%d", host, ports[i]) }
	n := &node{service: service, id: fmt.Sprintf("%s-%d", service, number+1), appAt: at(0), inbound: at(1), admin: "http://" + at(3)}
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	n.app = &program{
		t: f.t, name: n.id, commandLine: []string{self}, answers: "http://" + n.appAt + "/health",
		environ: []string{serviceKind + "=" + service, serviceListen + "=" + n.appAt, serviceOutbound + "=http://" + at(2), serviceName + "=" + n.id},
	}
	f.t.Cleanup(func() { n.app.signal(syscall.SIGKILL) })
	n.sidecar = f.program(n.id+"'s sidecar", "run", n.admin, fmt.Sprintf(`
service:
  name: %s
  id: %s
  app: %s
  health_check: {path: /health, interval: 500ms, timeout: 400ms, healthy: 1, unhealthy: 2}
inbound: {listen: %q}
outbound: {listen: %q}
services:
  orders: {}
  users: {}
admin: {listen: %q}
shutdown: {grace: 10s}
`, service, n.id, n.appAt, at(1), at(2), at(3))+f.common(n.id, o)+o.of(service))
	return n
}

// common is what the configurations of all proxies of the fleet have.
func (f *fleet) common(name string, o fleetOptions) string {
	token := ""
	if o.token != "" {
		token = fmt.Sprintf(", token_file: %q", o.token)
	}
	return fmt.Sprintf("consul: {address: %q, snapshot_dir: %q%s}\ntrusted_proxies: [127.0.0.0/8]\n",
		f.consul.Address, filepath.Join(f.dir, "snapshots-"+name), token)
}

func (f *fleet) startIngress(o fleetOptions) {
	host := meshtest.OwnHost()
	ports := meshtest.FreePorts(f.t, host, 2)
	f.url, f.admin = fmt.Sprintf("http://%s:%d", host, ports[0]), fmt.Sprintf("http://%s:%d", host, ports[1])
	f.ingress = f.program("the ingress", "ingress", f.admin, fmt.Sprintf(`
server: {host: %[1]s, port: %[2]d}
admin: {listen: "%[1]s:%[3]d"}
services:
  users: {}
  orders: {}
routing:
  - {path: /api/users/**, service: users}
  - {path: /users/**, service: users, strip_path: true}
  - {path: /api/orders/**, service: orders}
  - {path: /orders/**, service: orders, strip_path: true}
`, host, ports[0], ports[1])+f.common("ingress", o)+o.of("gateway"))
}

// program makes a proxy that runs a configuration.
func (f *fleet) program(name, how, admin, yaml string) *program {
	file := filepath.Join(f.dir, strings.NewReplacer(" ", "-", "'", "").Replace(name)+".yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		f.t.Fatal(err)
	}
	p := &program{t: f.t, name: name, commandLine: []string{string(f.binary), how, "--config", file}, answers: admin + "/ready"}
	f.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		if f.t.Failed() {
			f.t.Logf("log of %s:\n%s", name, tail(p.errs.String(), 40))
		}
	})
	return p
}

func tail(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// fetch returns the body of a GET; "" where there is no answer.
func fetch(url string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	return meshtest.ReadAll(resp.Body)
}
