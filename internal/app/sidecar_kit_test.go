package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"outrider/discovery"
	"outrider/internal/config"
	"outrider/internal/mesh"
)

// sidecar is one that runs.
type sidecar struct {
	*Proxy
	t      *testing.T
	file   string // of its configuration
	log    *output
	access *output
	client *http.Client
	ready  chan struct{} // closed when it is
	drain  func()
	stop   func() error // drains, and returns what Run returned
}

// beside starts a sidecar of the service tea beside app, on free ports, and waits
// until it is ready. The rest of its configuration is yaml.
func beside(t *testing.T, app, yaml string, edit ...func(*Options)) *sidecar {
	t.Helper()
	return besideService(t, "tea", app, yaml, edit...)
}

// besideService is beside for another service than tea.
func besideService(t *testing.T, service, app, yaml string, edit ...func(*Options)) *sidecar {
	t.Helper()
	name := file(t, "service: {name: "+service+", app: "+strings.TrimPrefix(app, "http://")+", health_check: {path: /health, interval: 20ms, timeout: 1s, unhealthy: 1}}\n"+yaml)
	environ := []string{"OUTRIDER_INBOUND_LISTEN=127.0.0.1:0", "OUTRIDER_OUTBOUND_LISTEN=127.0.0.1:0", "OUTRIDER_ADMIN_LISTEN=127.0.0.1:0"}
	read := func() (*config.Config, error) {
		return config.Load(config.Options{File: name, Mode: config.Run, Environ: environ})
	}
	first, err := read()
	if err != nil {
		t.Fatalf("the configuration does not load:\n%v", err)
	}
	s := &sidecar{
		t: t, file: name, log: &output{}, access: &output{}, ready: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	o := Options{
		Load: read, Access: s.access, Ready: func() { close(s.ready) },
		Log: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range edit {
		f(&o)
	}
	s.Proxy = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, first) }()
	s.drain = cancel
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil && !t.Failed() {
			t.Logf("the sidecar ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log of the sidecar:\n%s", s.log)
		}
	})
	select {
	case <-s.ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("the sidecar did not start: %v", err)
	}
	return s
}

// edit replaces old in the configuration by what is new, and takes that over.
func (s *sidecar) edit(old, with string) error {
	s.t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil || !strings.Contains(string(text), old) {
		s.t.Fatalf("%v, no %q in:\n%s", err, old, text)
	}
	write(s.t, s.file, strings.Replace(string(text), old, with, 1))
	return s.Reload(s.t.Context())
}

// in has it find services in, and register with, a registry in memory.
func in(m *discovery.Memory) func(*Options) {
	return func(o *Options) {
		o.Registry = func(config.Consul) (Registry, error) { return Memory(m), nil }
	}
}

// reply is a response that was read to its end.
type reply struct {
	*http.Response
	text string
}

// ask sends a request to one of the sidecar's ports. Fields are name, value.
func (s *sidecar) ask(at, method, url string, fields ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+at+url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "Host" {
			req.Host = fields[i+1]
			continue
		}
		req.Header.Add(fields[i], fields[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp, string(text)}
}

// echo is an app that answers with the Host and path that it got, and with what a test
// asks for by header.
func echo(t testing.TB) *httptest.Server {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Request-Id", "X-User-Id", "X-Forwarded-For", "Via"} {
			w.Header()["Saw-"+name] = r.Header[name]
		}
		_, _ = io.WriteString(w, r.Host+" "+r.URL.Path)
	})
}

// instances returns what a registry has of a service.
func instances(t *testing.T, m *discovery.Memory, s mesh.Service) []mesh.Endpoint {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var got []mesh.Endpoint
	_ = m.Watch(ctx, s, func(set []mesh.Endpoint) { got = set; cancel() })
	return got
}
