package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// free has every port chosen by the system, whatever a configuration says.
var free = []string{"OUTRIDER_SERVER_HOST=127.0.0.1", "OUTRIDER_SERVER_PORT=0", "OUTRIDER_ADMIN_LISTEN=127.0.0.1:0"}

// file writes a configuration to a file of its own.
func file(t testing.TB, yaml string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "gateway.yml")
	write(t, name, yaml)
	return name
}

// write replaces a file in one step: a gateway that reads it at any time finds all of
// it.
func write(t testing.TB, name, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(name+".new", []byte(text), 0o600), os.Rename(name+".new", name)); err != nil {
		t.Fatal(err)
	}
}

// load reads a configuration that must be valid.
func load(t testing.TB, name string) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Options{File: name, Environ: free})
	if err != nil {
		t.Fatalf("the configuration does not load:\n%v", err)
	}
	return cfg
}

func parse(t testing.TB, yaml string) *config.Config {
	t.Helper()
	return load(t, file(t, yaml))
}

// gateway is one that runs.
type gateway struct {
	*Proxy
	t      *testing.T
	file   string
	log    *output
	access *output
	url    string
	client *http.Client
	stop   func() error // drains, and returns what Run returned
	drain  func()       // only begins to
}

// start runs a gateway until the test ends; then it must drain cleanly, unless the
// test stops it itself.
func start(t *testing.T, yaml string, edit ...func(*Options)) *gateway {
	t.Helper()
	name := file(t, yaml)
	return startWith(t, name, load(t, name), edit...)
}

// startWith is start for a configuration that was read from a file before.
func startWith(t *testing.T, name string, first *config.Config, edit ...func(*Options)) *gateway {
	t.Helper()
	g := &gateway{t: t, file: name, log: &output{}, access: &output{}, client: &http.Client{Transport: &http.Transport{}}}
	started := make(chan Addresses, 1)
	o := Options{
		Load:    func() (*config.Config, error) { return config.Load(config.Options{File: name, Environ: free}) },
		Log:     slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Access:  g.access,
		Started: func(a Addresses) { started <- a },
	}
	for _, f := range edit {
		f(&o)
	}
	g.Proxy = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, first) }()
	g.drain = cancel
	g.stop = sync.OnceValue(func() error {
		cancel()
		g.client.CloseIdleConnections()
		return <-ended
	})
	stopped := false
	stop := g.stop
	g.stop = func() error { stopped = true; return stop() }
	t.Cleanup(func() {
		if err := stop(); err != nil && !stopped {
			t.Errorf("the gateway did not drain cleanly: %v", err)
		}
	})
	select {
	case a := <-started:
		g.url = "http://" + a.Server
	case err := <-ended:
		t.Fatalf("the gateway did not start: %v", err)
	}
	return g
}

// reload writes another configuration and takes it over.
func (g *gateway) reload(yaml string) error {
	g.t.Helper()
	write(g.t, g.file, yaml)
	return g.Reload(g.t.Context())
}

// get returns the status and the body of a GET. Fields are name, value.
func (g *gateway) get(path string, fields ...string) (int, string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	resp, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (g *gateway) want(path string, status int) {
	g.t.Helper()
	if got, text := g.get(path); got != status {
		g.t.Errorf("GET %s: status %d, want %d\n%s", path, got, status, text)
	}
}

// eventually waits until what it is told holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("never: %s", what)
		}
		runtime.Gosched()
	}
}

// output is what somebody wrote. It is safe for concurrent use.
type output struct {
	mu  sync.Mutex // protects buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) count(text string) int { return strings.Count(o.String(), text) }

// origin starts an endpoint that says its name.
func origin(t testing.TB, name string) *httptest.Server {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// held is an endpoint that keeps each request until it is told to answer.
type held struct {
	*httptest.Server
	arrived chan struct{}
	answer  chan struct{}
}

func holding(t testing.TB) *held {
	t.Helper()
	h := &held{arrived: make(chan struct{}, 16), answer: make(chan struct{})}
	h.Server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		h.arrived <- struct{}{}
		select {
		case <-h.answer:
		case <-r.Context().Done():
		}
	})
	return h
}

// fetch sends a GET in the background, and returns where its status, or zero for a
// failure, will be.
func (g *gateway) fetch(path string) <-chan int {
	status := make(chan int, 1)
	ctx, url := g.t.Context(), g.url+path
	go g.fetchTo(ctx, url, status)
	return status
}

func (g *gateway) fetchTo(ctx context.Context, url string, status chan<- int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		status <- 0
		return
	}
	resp, err := g.client.Do(req)
	if err != nil {
		status <- 0
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	status <- resp.StatusCode
}

// names resolves each name once it is known, and fails for all others.
func names(known map[string]string) func(context.Context, string) ([]netip.Addr, error) {
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		if addr, ok := known[host]; ok {
			return []netip.Addr{netip.MustParseAddr(addr)}, nil
		}
		return nil, errors.New("no such host")
	}
}

// lookup hangs until its context ends.
type lookup struct {
	begun chan struct{}
	ended chan error // why, of the first
}

func hanging() *lookup { return &lookup{make(chan struct{}), make(chan error, 1)} }

func (l *lookup) ask(ctx context.Context, _ string) ([]netip.Addr, error) {
	close(l.begun)
	<-ctx.Done()
	l.ended <- ctx.Err()
	return nil, ctx.Err()
}

// givenUp fails where the lookup had its time.
func (l *lookup) givenUp(t *testing.T) {
	t.Helper()
	if err := <-l.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the lookup ended with %v: it was waited for", err)
	}
}

// dial opens a connection that is closed when the test ends.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// listen opens a free port that is closed when the test ends.
func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// hello is a client's that asks for a name.
func hello(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
	}
}
