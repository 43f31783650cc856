package meshtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"outrider/internal/app"
	"outrider/internal/config"
)

// Running is a gateway that serves.
type Running struct {
	URL    string // of the gateway
	Admin  string // URL of the admin port
	Probe  string // URL of the probe port, where the configuration has one
	File   string // its configuration; write it, then Reload or wait
	Access *Log
	Log    *Log

	t       testing.TB
	ingress *app.Proxy
	client  *http.Client
	stop    func() error
}

// Option changes how a gateway is started.
type Option func(*settings)

type settings struct {
	environ []string
	lookup  func(context.Context, string) ([]netip.Addr, error)
	options func(*app.Options)
}

// Environ sets further environment variables, as NAME=value.
func Environ(vars ...string) Option {
	return func(s *settings) { s.environ = append(s.environ, vars...) }
}

// AsWritten has the gateway listen where its configuration says, and not on a free
// port of 127.0.0.1.
func AsWritten() Option {
	return func(s *settings) {
		s.environ = slices.DeleteFunc(s.environ, func(v string) bool { return strings.HasPrefix(v, "OUTRIDER_SERVER_") })
	}
}

// Names resolves names as the map says, and no others.
func Names(names map[string]string) Option {
	return func(s *settings) {
		s.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
			addr, ok := names[host]
			if !ok {
				return nil, &os.SyscallError{Syscall: "lookup " + host, Err: os.ErrNotExist}
			}
			return []netip.Addr{netip.MustParseAddr(addr)}, nil
		}
	}
}

// Gateway starts an ingress with this configuration, on free ports whatever it says,
// and stops it when the test ends.
func Gateway(t testing.TB, yaml string, options ...Option) *Running {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return GatewayFile(t, file, options...)
}

// GatewayFile is Gateway for a configuration in a file.
func GatewayFile(t testing.TB, file string, options ...Option) *Running {
	t.Helper()
	s := settings{environ: []string{"OUTRIDER_SERVER_HOST=127.0.0.1", "OUTRIDER_SERVER_PORT=0", "OUTRIDER_ADMIN_LISTEN=127.0.0.1:0"}}
	for _, o := range options {
		o(&s)
	}
	load := func() (*config.Config, error) {
		return config.Load(config.Options{File: file, Mode: config.Ingress, Environ: s.environ})
	}
	first, err := load()
	if err != nil {
		t.Fatalf("the configuration does not load:\n%v", err)
	}
	g := &Running{File: file, Access: &Log{}, Log: &Log{}, t: t, client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	started := make(chan app.Addresses, 1)
	o := app.Options{
		Load: load, Version: "test", Lookup: s.lookup,
		Log:     slog.New(slog.NewJSONHandler(g.Log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Access:  g.Access,
		Started: func(a app.Addresses) { started <- a },
	}
	if s.options != nil {
		s.options(&o)
	}
	g.ingress = app.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.ingress.Run(ctx, first) }()
	select {
	case a := <-started:
		g.URL, g.Admin, g.Probe = "http://"+a.Server, "http://"+a.Admin, "http://"+a.Probe
		if first.Server.TLS != nil {
			g.URL = "https://" + a.Server
		}
	case err := <-ended:
		cancel()
		t.Fatalf("the gateway did not start: %v", err)
	}
	g.stop = sync.OnceValue(func() error {
		cancel()
		g.client.CloseIdleConnections()
		return <-ended
	})
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("the gateway did not stop cleanly: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", g.Log)
		}
	})
	return g
}

// Stop drains the gateway and returns what Run returned.
func (g *Running) Stop() error { return g.stop() }

// Reload writes a new configuration and has the gateway read it, now.
func (g *Running) Reload(yaml string) error {
	g.t.Helper()
	if err := os.WriteFile(g.File, []byte(yaml), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return g.ingress.Reload(g.t.Context())
}

// Reply is a response that was read to its end.
type Reply struct {
	*http.Response
	Text string
}

// JSON decodes the body as an object.
func (r Reply) JSON(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.Text), &m); err != nil {
		t.Fatalf("the body is not a JSON object: %v\n%s", err, r.Text)
	}
	return m
}

// Get sends a GET. Headers are given as name, value, name, value.
func (g *Running) Get(path string, headers ...string) Reply {
	g.t.Helper()
	return g.Do(http.MethodGet, path, "", headers...)
}

// Do sends a request and reads the whole answer.
func (g *Running) Do(method, path, body string, headers ...string) Reply {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := g.client.Do(req)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: body: %v", method, path, err)
	}
	return Reply{resp, string(text)}
}

// Show returns what the admin port shows at path, decoded.
func (g *Running) Show(path string) map[string]any {
	g.t.Helper()
	return Reply{Text: g.show(path)}.JSON(g.t)
}

// Metrics returns the exposition of /metrics.
func (g *Running) Metrics() string {
	g.t.Helper()
	return g.show("/metrics")
}

func (g *Running) show(path string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.Admin+path, nil)
	if err != nil {
		g.t.Fatal(err)
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
	return string(text)
}

// Metric returns the value of one series, written as in the exposition, and "" when
// there is no such series.
func (g *Running) Metric(series string) string {
	g.t.Helper()
	for line := range strings.Lines(g.Metrics()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			return value
		}
	}
	return ""
}

// Log is what a gateway wrote. It is safe for concurrent use.
type Log struct {
	mu  sync.Mutex // protects buf
	buf bytes.Buffer
}

// Write appends.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Lines returns each record, decoded.
func (l *Log) Lines(t testing.TB) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("not a JSON line: %s", line)
		}
		all = append(all, m)
	}
	return all
}
