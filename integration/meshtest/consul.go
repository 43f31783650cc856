package meshtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ConsulVersion is the version that the tests run against.
const ConsulVersion = "1.22.0"

// Management is the token that may do everything where a Consul has ACLs.
const Management = "11111111-2222-3333-4444-555555555555"

// Consul is a real agent, on free ports of a loopback address, stopped when its test ends.
type Consul struct {
	Address string // host:port of its HTTP API

	t     testing.TB
	dir   string // what it keeps across a restart
	flags []string
	token string
	log   Log

	mu  sync.Mutex // protects cmd
	cmd *exec.Cmd  // nil while it is down
}

// StartConsul starts an agent that is a server of its own and waits for its leader.
// With ACLs, all is denied to whoever has no token.
func StartConsul(t testing.TB, acls bool) *Consul {
	t.Helper()
	host := OwnHost()
	ports := FreePorts(t, host, 4)
	c := &Consul{t: t, dir: t.TempDir(), Address: fmt.Sprintf("%s:%d", host, ports[0])}
	c.flags = []string{
		"agent", "-server", "-bootstrap-expect=1", "-node=here", "-bind=" + host, "-client=" + host, "-log-level=warn",
		fmt.Sprintf("-http-port=%d", ports[0]), fmt.Sprintf("-server-port=%d", ports[1]),
		fmt.Sprintf("-serf-lan-port=%d", ports[2]), fmt.Sprintf("-serf-wan-port=%d", ports[3]),
		"-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
		"-hcl=performance { raft_multiplier = 1 } connect { enabled = false } disable_update_check = true",
	}
	if acls {
		c.token = Management
		c.flags = append(c.flags, fmt.Sprintf(
			`-hcl=acl { enabled = true, default_policy = "deny", enable_token_persistence = true, tokens { initial_management = %q, agent = %q } }`, Management, Management))
	}
	t.Cleanup(c.Kill) // before the start, which may fail and leave it running
	c.Start()
	return c
}

// tool returns the file of a program that the tests need, and fails the test where
// there is none, with what makes it.
func tool(t testing.TB, folder, name, remedy string) string {
	t.Helper()
	cache := os.Getenv("TEST_TOOLS")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(dir, "outrider")
	}
	file := filepath.Join(cache, folder, name)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("there is no %s at %s: run `%s`, which builds it once", name, file, remedy)
	}
	return file
}

// OwnHost returns a loopback address that nobody else uses where the system has more
// than one: what listens there keeps its port through a restart, since no connection's
// own port can stand in the way.
func OwnHost() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.N(250), rand.N(250), 1+rand.N(250))
}

// FreePorts returns ports of host that are free at the moment, each once.
func FreePorts(t testing.TB, host string, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // all are held until the last is known, or one would come twice
		ports[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// Start starts it, with what it kept, and waits until it has a leader.
func (c *Consul) Start() {
	c.t.Helper()
	cmd := exec.Command(tool(c.t, "consul-"+ConsulVersion, "consul", "make consul"), append(c.flags, "-data-dir="+c.dir)...) //nolint:noctx // Kill ends it
	cmd.Stdout, cmd.Stderr = &c.log, &c.log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.cmd = cmd
	c.mu.Unlock()
	Eventually(c.t, "Consul has a leader", func() bool {
		var leader string
		return c.get("/v1/status/leader", &leader) == nil && leader != "" && c.get("/v1/catalog/node/here", new(any)) == nil
	})
}

// Kill ends it by SIGKILL.
func (c *Consul) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // says that it was killed
	c.cmd = nil
}

// Wipe has it forget everything: killed, and started again from nothing.
func (c *Consul) Wipe() {
	c.t.Helper()
	c.Kill()
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Fatal(err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	c.Start()
}

// Freeze stops it without ending it: connections stay, and nothing answers.
func (c *Consul) Freeze() { c.signal(syscall.SIGSTOP) }

// Thaw has it go on.
func (c *Consul) Thaw() { c.signal(syscall.SIGCONT) }

func (c *Consul) signal(s syscall.Signal) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		c.t.Fatal("Consul is not running")
	}
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// Log returns what it has said.
func (c *Consul) Log() string { return c.log.String() }

// Put sends v as JSON to the API and decodes the answer into into, which may be nil.
func (c *Consul) Put(path string, v, into any) {
	c.t.Helper()
	body, err := json.Marshal(v)
	if err == nil {
		err = c.do(http.MethodPut, path, bytes.NewReader(body), into)
	}
	if err != nil {
		c.t.Fatalf("PUT %s: %v", path, err)
	}
}

// Delete deletes what is at path.
func (c *Consul) Delete(path string) {
	c.t.Helper()
	if err := c.do(http.MethodDelete, path, nil, nil); err != nil {
		c.t.Fatalf("DELETE %s: %v", path, err)
	}
}

// Get decodes what is at path into into.
func (c *Consul) Get(path string, into any) {
	c.t.Helper()
	if err := c.get(path, into); err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
}

// Instances returns the IDs of a service's instances, and of those that pass.
func (c *Consul) Instances(service string) (all, passing []string) {
	var entries []struct {
		Service struct{ ID string }
		Checks  []struct{ Status string }
	}
	if c.get("/v1/health/service/"+service, &entries) != nil {
		return nil, nil
	}
	for _, e := range entries {
		all = append(all, e.Service.ID)
		well := true
		for _, check := range e.Checks {
			well = well && check.Status == "passing"
		}
		if well {
			passing = append(passing, e.Service.ID)
		}
	}
	return all, passing
}

// Token makes a token whose policy has these rules, and returns its accessor and
// secret.
func (c *Consul) Token(name, rules string) (accessor, secret string) {
	c.t.Helper()
	c.Put("/v1/acl/policy", map[string]any{"Name": name, "Rules": rules}, nil)
	return c.TokenOf(name)
}

// TokenOf makes one more token of a policy.
func (c *Consul) TokenOf(policy string) (accessor, secret string) {
	c.t.Helper()
	var token struct{ AccessorID, SecretID string }
	c.Put("/v1/acl/token", map[string]any{"Policies": []map[string]string{{"Name": policy}}}, &token)
	return token.AccessorID, token.SecretID
}

func (c *Consul) get(path string, into any) error { return c.do(http.MethodGet, path, nil, into) }

func (c *Consul) do(method, path string, body io.Reader, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.Address+path, body)
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("X-Consul-Token", c.token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// patience bounds every wait for something that is bound to happen.
const patience = 60 * time.Second

// Eventually polls until ok, and fails the test where that never comes about.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("this never came about: %s", what)
		}
	}
}

// ReadAll returns what r has, as far as it can be read.
func ReadAll(r io.Reader) string {
	text, _ := io.ReadAll(r)
	return string(text)
}
