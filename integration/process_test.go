package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outrider/examples"
	"outrider/integration/meshtest"
)

// patience bounds every wait for something that is bound to happen.
const patience = 30 * time.Second

// What tells the test binary to be an example service, and where.
const (
	serviceKind     = "OUTRIDER_TEST_SERVICE"
	serviceListen   = "OUTRIDER_TEST_LISTEN"
	serviceName     = "OUTRIDER_TEST_NAME"     // empty: made from the process
	serviceOutbound = "OUTRIDER_TEST_OUTBOUND" // empty: it calls nobody
)

// announced is what a service prints before its address.
const announced = "listening on "

// runService is the test binary as a process of an example service: it prints its
// address, and ends when its standard input does, so that it never outlives the test.
func runService(kind string) {
	if kind == diaryKind {
		keepDiary()
		return
	}
	var peers []examples.Peer
	if via := os.Getenv(serviceOutbound); via != "" {
		peers = []examples.Peer{{Via: via, Name: "orders"}}
	}
	kinds := map[string]func(string) examples.Service{
		"auth":   examples.Auth,
		"users":  func(name string) examples.Service { return examples.Users(name, peers...) },
		"orders": examples.Orders,
	}
	service, ok := kinds[kind]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s=%q: there are auth, users and orders\n", serviceKind, kind)
		os.Exit(2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	name := os.Getenv(serviceName)
	if name == "" {
		name = fmt.Sprintf("%s-%d", kind, os.Getpid())
	}
	srv, err := examples.Start(ctx, withItems(service(name)), os.Getenv(serviceListen))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(announced + srv.Addr)
	if os.Getenv(serviceName) == "" { // else it is a program that its test ends
		_, _ = io.Copy(io.Discard, os.Stdin)
	} else {
		<-srv.Done()
	}
	cancel()
	srv.Stop()
	os.Exit(0)
}

// withItems adds to s what its example has no use for: PUT /items/{id}, which answers
// with the body it got, a few milliseconds later, so that there is always a request
// in flight to kill.
func withItems(s examples.Service) examples.Service {
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler)
	mux.HandleFunc("PUT /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		work := time.NewTimer(rand.N(10 * time.Millisecond))
		defer work.Stop()
		select {
		case <-work.C:
		case <-r.Context().Done():
		}
		_, _ = w.Write(body)
	})
	s.Handler = mux
	return s
}

// Process is an example service in a process of its own, stopped when its test ends.
type Process struct {
	Addr string // where it listens, the same after a Restart

	t    *testing.T
	kind string

	mu    sync.Mutex // protects all below
	pid   int
	cmd   *exec.Cmd
	stdin io.Closer
}

// StartProcess starts an instance of the service kind: auth, users or orders.
func StartProcess(t *testing.T, kind string) *Process {
	t.Helper()
	p := &Process{t: t, kind: kind, Addr: meshtest.OwnHost() + ":0"}
	addr, err := p.start()
	if err != nil {
		t.Fatal(err)
	}
	p.Addr = addr // before anybody else has p: it is read without a lock
	t.Cleanup(p.stop)
	return p
}

// start returns where the process listens.
func (p *Process) start() (addr string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serviceKind+"="+p.kind, serviceListen+"="+p.Addr)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), announced)
	if !ok {
		_ = cmd.Process.Kill()
		return "", fmt.Errorf("the %s service on %s did not start: %q: %w", p.kind, p.Addr, line, errors.Join(err, cmd.Wait()))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid, p.cmd, p.stdin = cmd.Process.Pid, cmd, stdin
	return addr, nil
}

// Kill ends the process by SIGKILL, and returns when it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		p.t.Errorf("the %s service on %s is dead already", p.kind, p.Addr)
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Errorf("killing process %d: %v", p.pid, err)
	}
	_ = p.cmd.Wait() // says that it was killed
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		p.t.Errorf("process %d ended by %v, want SIGKILL", p.pid, p.cmd.ProcessState)
	}
	p.cmd = nil
}

// Restart starts a killed instance again, on its port.
func (p *Process) Restart() {
	p.t.Helper()
	if _, err := p.start(); err != nil {
		p.t.Errorf("restart: %v", err)
	}
}

// stop ends the process and waits for it.
func (p *Process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// eventually polls until ok, and fails the test where that never comes about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("this never came about: %s", what)
		}
	}
}
