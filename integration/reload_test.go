package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"outrider/integration/meshtest"
	"outrider/internal/app"
	"outrider/internal/config"
)

const (
	reloadsOK      = `outrider_reloads_total{result="ok"}`
	reloadsRefused = `outrider_reloads_total{result="refused"}`
)

// saying is a configuration whose gateway answers with a word.
func saying(word string) string {
	return "routing: [{path: /word, respond: {status: 200, body: " + word + "}}]\n"
}

func TestReloadFollowsTheFile(t *testing.T) {
	for name, rename := range map[string]bool{"edited in place": false, "renamed over": true} {
		t.Run(name, func(t *testing.T) {
			g := meshtest.Gateway(t, saying("before"))
			if got := g.Get("/word").Text; got != "before" {
				t.Fatalf("at first it said %q", got)
			}
			replace(t, g.File, saying("after"), rename)
			eventually(t, "the new configuration is in use", func() bool { return g.Get("/word").Text == "after" })
			eventually(t, "the reload is counted", func() bool { return g.Metric(reloadsOK) == "1" })
		})
	}
}

// proxy is a gateway whose configuration comes from wherever the test says, so that
// nothing but what asks for a reload can bring one about.
type proxy struct {
	app.Addresses
	File atomic.Pointer[string]
	Log  meshtest.Log
	Hang chan os.Signal

	first *config.Config
	stop  func() error
	seen  bool // the test has had what stop returns
}

// startProxy starts a gateway on free ports with nothing in its environment.
func startProxy(t *testing.T, yaml string) *proxy {
	t.Helper()
	p := newProxy(t, yaml)
	p.start(t)
	return p
}

// newProxy returns a gateway that has read its configuration, and has not started.
func newProxy(t *testing.T, yaml string) *proxy {
	t.Helper()
	p := &proxy{Hang: make(chan os.Signal, 1)}
	p.set(t, yaml)
	var err error
	if p.first, err = p.load(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *proxy) load() (*config.Config, error) {
	return config.Load(config.Options{File: *p.File.Load(), Mode: config.Ingress})
}

func (p *proxy) start(t *testing.T) {
	t.Helper()
	started, ended := make(chan app.Addresses, 1), make(chan error, 1)
	in := app.New(app.Options{
		Load: p.load, Hangup: p.Hang, Log: slog.New(slog.NewJSONHandler(&p.Log, nil)),
		Started: func(a app.Addresses) { started <- a },
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- in.Run(ctx, p.first) }()
	p.Addresses = await(t, "the start", started)
	p.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := p.stop(); err != nil && !p.seen {
			t.Errorf("the gateway did not stop cleanly: %v", err)
		}
	})
}

// Stop drains the gateway and returns what Run returned.
func (p *proxy) Stop() error {
	p.seen = true
	return p.stop()
}

// set has the next load find yaml, in a file that nobody watches.
func (p *proxy) set(t *testing.T, yaml string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	p.File.Store(&file)
}

// A change that comes after the file was read and before it is watched is a change.
func TestReloadSeesAChangeDuringTheStart(t *testing.T) {
	p := newProxy(t, freePorts+saying("before"))
	replace(t, *p.File.Load(), freePorts+saying("after"), false)
	p.start(t)
	eventually(t, "the new configuration is in use", func() bool {
		_, text := get(t, http.MethodGet, "http://"+p.Server+"/word")
		return text == "after"
	})
}

// get returns status and body of an answer.
func get(t testing.TB, method, url string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

const freePorts = "server: {host: 127.0.0.1, port: 0}\nadmin: {listen: \"127.0.0.1:0\"}\nprobe: {listen: \"127.0.0.1:0\"}\n"

func TestReloadWhenAsked(t *testing.T) {
	for name, ask := range map[string]func(*testing.T, *proxy){
		"SIGHUP": func(_ *testing.T, p *proxy) { p.Hang <- syscall.SIGHUP },
		"POST /reload": func(t *testing.T, p *proxy) {
			if status, text := get(t, http.MethodPost, "http://"+p.Admin+"/reload"); status != http.StatusOK {
				t.Errorf("POST /reload: %d %s", status, text)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, freePorts+saying("before"))
			p.set(t, freePorts+saying("after"))
			ask(t, p)
			eventually(t, "the new configuration is in use", func() bool {
				_, text := get(t, http.MethodGet, "http://"+p.Server+"/word")
				return text == "after"
			})
		})
	}
}

func TestReloadRefusesWhatIsInvalid(t *testing.T) {
	p := startProxy(t, freePorts+saying("before"))
	p.set(t, freePorts+"rooting: []\n"+saying("after"))
	status, text := get(t, http.MethodPost, "http://"+p.Admin+"/reload")
	if status != http.StatusUnprocessableEntity || !strings.Contains(text, "gateway.yml:4: rooting") {
		t.Errorf("POST /reload: %d %s, want 422 with file, line and key", status, text)
	}
	if _, text := get(t, http.MethodGet, "http://"+p.Server+"/word"); text != "before" {
		t.Errorf("it says %q, want the old configuration's word", text)
	}
	if _, metrics := get(t, http.MethodGet, "http://"+p.Admin+"/metrics"); !strings.Contains(metrics, reloadsRefused+" 1\n") {
		t.Errorf("%s is not 1", reloadsRefused)
	}
	if log := p.Log.String(); !strings.Contains(log, "the configuration was refused, the old one stays") || !strings.Contains(log, "gateway.yml:4: rooting") {
		t.Errorf("the log does not say so:\n%s", log)
	}
	// And the way back is open.
	p.set(t, freePorts+saying("after"))
	if status, text := get(t, http.MethodPost, "http://"+p.Admin+"/reload"); status != http.StatusOK {
		t.Errorf("POST /reload: %d %s", status, text)
	}
}

func TestReloadRefusesWhatCannotChange(t *testing.T) {
	p := startProxy(t, freePorts+saying("before"))
	for _, c := range []struct{ key, old, new string }{
		{"server.host", "host: 127.0.0.1", "host: 127.0.0.2"},
		{"server.port", "port: 0", "port: 1"},
		{"admin.listen", `admin: {listen: "127.0.0.1:0"}`, `admin: {listen: "127.0.0.2:0"}`},
		{"probe.listen", `probe: {listen: "127.0.0.1:0"}`, `probe: {listen: "127.0.0.2:0"}`},
	} {
		t.Run(c.key, func(t *testing.T) {
			p.set(t, strings.Replace(freePorts, c.old, c.new, 1)+saying("after"))
			status, text := get(t, http.MethodPost, "http://"+p.Admin+"/reload")
			if status != http.StatusUnprocessableEntity || !strings.Contains(text, c.key+": cannot change while the proxy runs") {
				t.Errorf("POST /reload: %d %s, want 422 that names %s", status, text, c.key)
			}
			if _, text := get(t, http.MethodGet, "http://"+p.Server+"/word"); text != "before" {
				t.Errorf("it says %q, want the old configuration's word", text)
			}
		})
	}
}

// successes returns how many requests each endpoint of a service has answered.
func successes(t *testing.T, g *meshtest.Running, service string) map[string]int {
	t.Helper()
	_, text := get(t, http.MethodGet, g.Admin+"/services")
	var all struct {
		Services []struct {
			Name      string
			Endpoints []struct {
				Address   string
				Successes int
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, s := range all.Services {
		for _, e := range s.Endpoints {
			if s.Name == service {
				counts[e.Address] = e.Successes
			}
		}
	}
	return counts
}

func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	tea, cake := meshtest.Origin(t, meshtest.Says(http.StatusOK, "tea")), meshtest.Origin(t, meshtest.Says(http.StatusOK, "cake"))
	yaml := func(timeout string) string {
		return fmt.Sprintf(`
services:
  tea: {url: %s}
  cake: {url: %s, timeout: %s}
routing:
  - {path: /tea, service: tea, middleware: [rate-limit]}
  - {path: /cake, service: cake}
  - {path: /login, service: cake}
rate_limiting:
  default: {requests_per_minute: 1, burst: 3}
  paths: {/login: {requests_per_minute: 1, burst: 2}}
`, tea.URL, cake.URL, timeout)
	}
	g := meshtest.Gateway(t, yaml("10s"))
	for range 3 {
		if got := g.Get("/tea").StatusCode; got != http.StatusOK {
			t.Errorf("/tea: %d", got)
		}
		g.Get("/cake")
	}
	for range 2 {
		if got := g.Get("/login").StatusCode; got != http.StatusOK {
			t.Errorf("/login: %d", got)
		}
	}
	if err := g.Reload("# moved down\n" + yaml("11s")); err != nil {
		t.Fatal(err)
	}
	if got := successes(t, g, "tea")[tea.Listener.Addr().String()]; got != 3 {
		t.Errorf("the service that stayed as it was has %d successes, want the 3 from before", got)
	}
	if got := successes(t, g, "cake")[cake.Listener.Addr().String()]; got != 0 {
		t.Errorf("the service that changed has %d successes, want a new start", got)
	}
	for _, path := range []string{"/tea", "/login"} {
		if got := g.Get(path).StatusCode; got != http.StatusTooManyRequests {
			t.Errorf("%s: %d, want 429 from the bucket that was empty before the reload", path, got)
		}
	}
}

// talker is a connection by hand.
type talker struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, url string) *talker {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	context.AfterFunc(t.Context(), func() { conn.Close() })
	return &talker{conn, bufio.NewReader(conn)}
}

// ask sends a request with a header of so many bytes, and returns the answer's status.
func (k *talker) ask(t *testing.T, path string, bytes int) int {
	t.Helper()
	_, _ = fmt.Fprintf(k.conn, "GET %s HTTP/1.1\r\nHost: tea\r\nX-Pad: %s\r\n\r\n", path, strings.Repeat("x", bytes))
	resp, err := http.ReadResponse(k.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// A tighter bound on headers acts at once, on open connections too, and drops none of
// them; a wider one acts on new connections, whose server was made with it.
func TestReloadChangesLimits(t *testing.T) {
	limits := func(size string) string { return saying("tea") + "limits: {header_bytes: " + size + "}\n" }
	g := meshtest.Gateway(t, limits("64KiB"))
	old := dial(t, g.URL)
	if got := old.ask(t, "/word", 16<<10); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	if err := g.Reload(limits("2KiB")); err != nil {
		t.Fatal(err)
	}
	if got := old.ask(t, "/word", 16<<10); got != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("on the connection from before: %d, want 431 by the new limit", got)
	}
	if got := old.ask(t, "/word", 100); got != http.StatusOK {
		t.Errorf("on the connection from before, within the limit: %d, want 200", got)
	}
	if got := dial(t, g.URL).ask(t, "/word", 16<<10); got != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("on a new connection: %d, want 431", got)
	}
	if err := g.Reload(limits("128KiB")); err != nil {
		t.Fatal(err)
	}
	if got := dial(t, g.URL).ask(t, "/word", 80<<10); got != http.StatusOK {
		t.Errorf("on a new connection after the limit was raised: %d, want 200", got)
	}
	if got := old.ask(t, "/word", 100); got != http.StatusOK {
		t.Errorf("on the first connection at last: %d, want 200", got)
	}
}

func TestReloadLetsRequestsFinish(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	origin := meshtest.Origin(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "at last")
	})
	g := meshtest.Gateway(t, "services: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\n")
	answer := make(chan meshtest.Reply, 1)
	go func() { answer <- g.Get("/tea") }()
	await(t, "the request at the endpoint", arrived)
	if err := g.Reload(saying("gone")); err != nil {
		t.Fatal(err)
	}
	if got := g.Get("/tea").StatusCode; got != http.StatusNotFound {
		t.Errorf("a new request: %d, want 404: its route is gone", got)
	}
	// Another reload, so that the request is two generations old.
	if err := g.Reload(saying("gone again")); err != nil {
		t.Fatal(err)
	}
	close(finish)
	if got := await(t, "the answer", answer); got.StatusCode != http.StatusOK || got.Text != "at last" {
		t.Errorf("the request from before: %s %q, want its answer", got.Status, got.Text)
	}
}
