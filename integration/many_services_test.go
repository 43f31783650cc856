package integration_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outrider/integration/meshtest"
)

const (
	manyServices = 300
	maxWatches   = 64 // consul.max_watches by default
	// agentLimit is how many connections an agent takes from one address by default.
	agentLimit = 200
	// oldest is how old an answer may be that holds: a query lasts 25 s at the longest.
	oldest = 30 * time.Second
	// watched is how long the ages are looked at: longer than a query lasts.
	watched = 25 * time.Second
)

// TestManyServices is an ingress with more services than an agent takes connections.
func TestManyServices(t *testing.T) {
	t.Parallel() // it mostly waits
	consul := meshtest.StartConsul(t, false)
	refusesMore(t, consul.Address)
	m := startMany(t, consul)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { m.watch(ctx) })
	began := time.Now()
	m.ingress.start()
	m.ingress.ready()
	fmt.Printf("%s: %d services, ready after %v\n", t.Name(), manyServices, time.Since(began).Round(time.Millisecond))
	t.Run("AllAreReached", m.testAllAreReached)
	t.Run("ChangesAreSeen", m.testChangesAreSeen)
	meshtest.Eventually(t, "every query has ended once", func() bool { return time.Since(began) > watched })
	cancel()
	watching.Wait()
	t.Run("AgesAreBounded", m.testAges)
	t.Run("TheAgentIsSpared", m.testConnections)
	t.Run("Metrics", func(t *testing.T) { promtool(t, fetch(m.admin+"/metrics"), "check", "metrics") })
	m.ingress.send(syscall.SIGTERM)
	if code := m.ingress.end(); code != 0 {
		t.Errorf("after SIGTERM: exit code %d", code)
	}
}

// refusesMore sees that the agent has its default limit, or this test would show
// nothing.
func refusesMore(t *testing.T, addr string) {
	t.Helper()
	for range agentLimit {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	meshtest.Eventually(t, "the agent refuses one connection more", func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		said := make([]byte, len("HTTP/1.1 429"))
		_, err = io.ReadFull(c, said) // it asks for nothing: who is admitted hears nothing
		return err == nil && string(said) == "HTTP/1.1 429"
	})
}

// many is that ingress, and what has been seen of it.
type many struct {
	consul     *meshtest.Consul
	ingress    *program
	url, admin string
	addrs      []string // of the services' instances

	mu    sync.Mutex // protects all below
	ages  [][]float64
	conns int
}

func manyName(n int) string { return fmt.Sprintf("svc-%03d", n) }

// startMany registers the services, each with an instance of its own, and makes the
// ingress.
func startMany(t *testing.T, consul *meshtest.Consul) *many {
	host := meshtest.OwnHost()
	ports := meshtest.FreePorts(t, host, 2)
	m := &many{consul: consul, url: fmt.Sprintf("http://%s:%d", host, ports[0]), admin: fmt.Sprintf("http://%s:%d", host, ports[1])}
	m.serveAll(t)
	services, routing := "services:\n", "routing:\n"
	for n := range manyServices {
		name := manyName(n)
		m.register(n, name+"-1")
		services += "  " + name + ": {}\n"
		routing += "  - {path: /" + name + "/**, service: " + name + "}\n"
	}
	file := filepath.Join(t.TempDir(), "gateway.yml")
	yaml := fmt.Sprintf("server: {host: %s, port: %d}\nadmin: {listen: \"%s:%d\"}\nconsul: {address: %q}\n", host, ports[0], host, ports[1], consul.Address)
	if err := os.WriteFile(file, []byte(yaml+services+routing), 0o600); err != nil {
		t.Fatal(err)
	}
	m.ingress = &program{
		t: t, name: "the ingress", answers: m.admin + "/ready",
		commandLine: []string{string(built(t)), "ingress", "--config", file},
	}
	t.Cleanup(func() {
		m.ingress.signal(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("log of the ingress:\n%s", tail(m.ingress.errs.String(), 40))
		}
	})
	return m
}

// serveAll listens as every instance: each answers with where it is.
func (m *many) serveAll(t *testing.T) {
	host := meshtest.OwnHost()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	})}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = srv.Close()
		serving.Wait()
	})
	for range manyServices {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		m.addrs = append(m.addrs, ln.Addr().String())
		serving.Go(func() { _ = srv.Serve(ln) })
	}
}

// register makes an instance of service n known.
func (m *many) register(n int, id string) {
	host, port, _ := net.SplitHostPort(m.addrs[n])
	number, _ := strconv.Atoi(port)
	m.consul.Put("/v1/agent/service/register", map[string]any{"ID": id, "Name": manyName(n), "Address": host, "Port": number}, nil)
}

// watch looks again and again at ages and connections, until ctx ends.
func (m *many) watch(ctx context.Context) {
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		ages := agesOf(fetch(m.admin + "/metrics"))
		conns := connections(m.ingress, m.consul.Address)
		m.mu.Lock()
		if len(ages) > 0 {
			m.ages = append(m.ages, ages)
		}
		m.conns = max(m.conns, conns)
		m.mu.Unlock()
	}
}

var ageSample = regexp.MustCompile(`(?m)^outrider_discovery_age_seconds\{service="svc-\d+"\} (\S+)$`)

// agesOf returns the ages of all services, the least first.
func agesOf(metrics string) (all []float64) {
	for _, m := range ageSample.FindAllStringSubmatch(metrics, -1) {
		age, err := strconv.ParseFloat(m[1], 64)
		if err == nil {
			all = append(all, age)
		}
	}
	slices.Sort(all)
	return all
}

// connections counts the connections of a process to an IPv4 address that are open.
func connections(p *program, addr string) int {
	pid := p.pid()
	own := map[string]bool{}
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, fd := range fds {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if inode, ok := strings.CutPrefix(link, "socket:["); err == nil && ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	host, port, _ := net.SplitHostPort(addr)
	ip, number := net.ParseIP(host).To4(), 0
	_, _ = fmt.Sscan(port, &number)
	remote := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], number)
	const established = "01"
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return 0
	}
	n := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 9 && f[2] == remote && f[3] == established && own[f[9]] {
			n++
		}
	}
	return n
}

// Each route leads to its own service.
func (m *many) testAllAreReached(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := range manyServices {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url+"/"+manyName(n)+"/tea", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text := meshtest.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || text != m.addrs[n] {
			t.Errorf("%s: %d %s, want the answer of %s", manyName(n), resp.StatusCode, text, m.addrs[n])
		}
	}
}

// A change of services is seen, of those too that have no query waiting: of so many,
// not all can have one.
func (m *many) testChangesAreSeen(t *testing.T) {
	const changed, apart = maxWatches + 16, 3
	var began [changed]time.Time
	for n := range changed {
		m.register(n*apart, manyName(n*apart)+"-2")
		began[n] = time.Now()
	}
	seen := map[int]time.Duration{}
	meshtest.Eventually(t, "every change is seen", func() bool {
		metrics := fetch(m.admin + "/metrics")
		for n := range changed {
			want := fmt.Sprintf("outrider_endpoints{service=%q,state=\"healthy\"} 2\n", manyName(n*apart))
			if seen[n] == 0 && strings.Contains(metrics, want) {
				seen[n] = time.Since(began[n])
			}
		}
		return len(seen) == changed
	})
	var after []time.Duration
	for _, d := range seen {
		after = append(after, d.Round(time.Millisecond))
	}
	slices.Sort(after)
	fmt.Printf("%s: of %d changed services, of which %d can have a query waiting: seen after %v, %v (median), %v\n",
		t.Name(), changed, maxWatches, after[0], after[changed/2], after[changed-1])
}

// No service goes without an answer for long.
func (m *many) testAges(t *testing.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ages) < 10 {
		t.Fatalf("the ages have been seen %d times", len(m.ages))
	}
	var most, median float64
	for _, ages := range m.ages {
		if len(ages) != manyServices {
			t.Fatalf("there are ages of %d services, want %d", len(ages), manyServices)
		}
		if last := ages[len(ages)-1]; last > most {
			most, median = last, ages[len(ages)/2]
		}
	}
	last := m.ages[len(m.ages)-1]
	fmt.Printf("%s: seen %d times in %v: at the worst moment max %.1fs, median %.1fs; at the end max %.1fs, median %.1fs\n",
		t.Name(), len(m.ages), watched, most, median, last[len(last)-1], last[len(last)/2])
	if most > oldest.Seconds() {
		t.Errorf("an answer was %.1fs old, want no more than %v", most, oldest)
	}
}

// The agent refuses nothing, and is far from having to.
func (m *many) testConnections(t *testing.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Printf("%s: at most %d connections to the agent at once, of which it takes %d\n", t.Name(), m.conns, agentLimit)
	const besides = 16 // polls, and connections that are kept for the next
	if m.conns < maxWatches || m.conns > maxWatches+besides {
		t.Errorf("%d connections to the agent, want %d, and %d more at most", m.conns, maxWatches, besides)
	}
	for line := range strings.Lines(m.ingress.errs.String()) {
		if strings.Contains(line, "answers 429") || strings.Contains(line, `"level":"WARN"`) && strings.Contains(line, "consul") {
			t.Errorf("it logs %s", line)
		}
	}
	if strings.Contains(m.consul.Log(), "exceed") { // its rate limits
		t.Errorf("Consul logs\n%s", m.consul.Log())
	}
}
