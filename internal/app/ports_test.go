package app

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"outrider/internal/config"
)

func TestTheAdminTokenIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	write(t, first, " one\n")
	write(t, second, "two")
	g := start(t, "admin: {token_file: "+first+"}")
	get := func(token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.where.Admin+"/config", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	steps := []struct {
		name   string
		before func()
		token  string
		want   int
	}{
		{"the token", func() {}, "one", http.StatusOK},
		{"another", func() {}, "two", http.StatusUnauthorized},
		{"none", func() {}, "", http.StatusUnauthorized},
		{"rotated", func() { write(t, first, "new\n") }, "new", http.StatusOK},
		{"the one before", func() {}, "one", http.StatusUnauthorized},
		{"emptied, as while it is written", func() { write(t, first, "\n") }, "", http.StatusUnauthorized},
		{"removed", func() { _ = os.Remove(first) }, "", http.StatusUnauthorized},
		{"removed, by the one before", func() {}, "new", http.StatusUnauthorized},
		{"another file", func() {
			if err := g.reload("admin: {token_file: " + second + "}"); err != nil {
				t.Error(err)
			}
		}, "two", http.StatusOK},
		{"no file any more", func() {
			if err := g.reload(""); err != nil {
				t.Error(err)
			}
		}, "", http.StatusOK},
		{"and again one", func() {
			if err := g.reload("admin: {token_file: " + second + "}"); err != nil {
				t.Error(err)
			}
		}, "", http.StatusUnauthorized},
	}
	for _, s := range steps {
		s.before()
		if got := get(s.token); got != s.want {
			t.Errorf("%s: status %d, want %d", s.name, got, s.want)
		}
	}
	if g.log.count("gives no token") != 3 {
		t.Errorf("the log does not tell that nobody is let in:\n%s", g.log.String())
	}
}

// Each port that is taken is named by its key, and those that were opened before it
// are free again.
func TestPortsThatAreTaken(t *testing.T) {
	taken := listen(t).Addr().String()
	_, port, err := net.SplitHostPort(taken)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ key, env string }{
		{"server.port", "OUTRIDER_SERVER_PORT=" + port},
		{"admin.listen", "OUTRIDER_ADMIN_LISTEN=" + taken},
		{"probe.listen", "OUTRIDER_PROBE_LISTEN=" + taken},
	}
	for _, tt := range tests {
		t.Run(tt.key, func(t *testing.T) {
			cfg, err := config.Load(config.Options{File: file(t, ""), Environ: append(slices.Clone(free), tt.env)})
			if err != nil {
				t.Fatal(err)
			}
			in := New(Options{Started: func(Addresses) { t.Error("it started") }})
			err = in.Run(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), tt.key+": "+taken+" is taken") {
				t.Errorf("got %v, want an error that names %s and %s", err, tt.key, taken)
			}
			isFree(t, in.where.Server)
			isFree(t, in.where.Admin)
		})
	}
}

// isFree fails where addr cannot be listened on; it passes "", which never was.
func isFree(t *testing.T, addr string) {
	t.Helper()
	if addr == "" {
		return
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Errorf("%s is not free: %v", addr, err)
		return
	}
	ln.Close()
}

func TestAnAddressThatCannotBe(t *testing.T) {
	_, err := open(t.Context(), "admin.listen", "192.0.2.1:0")
	if err == nil || !strings.HasPrefix(err.Error(), "admin.listen: cannot listen on 192.0.2.1:0: ") {
		t.Errorf("got %v", err)
	}
}

func TestAddressesAreListed(t *testing.T) {
	a := Addresses{Server: "127.0.0.1:8080", Probe: "127.0.0.1:15020"}
	want := []string{"server 127.0.0.1:8080", "probe 127.0.0.1:15020"}
	if got := a.list(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A configuration without an admin port has none.
func TestWithoutSidePorts(t *testing.T) {
	cfg, err := config.Load(config.Options{File: file(t, "admin: {listen: ''}"), Environ: free[:2]})
	if err != nil {
		t.Fatal(err)
	}
	g := startWith(t, cfg.File, cfg)
	if g.where.Admin != "" || g.where.Probe != "" || g.where.Server == "" {
		t.Errorf("it listens on %+v", g.where)
	}
}

// Whoever can reach the probe port cannot take all file descriptors by it.
func TestSidePortsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := bounded(crowd{})
		var inside []net.Conn
		for range maxSide {
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			inside = append(inside, c)
		}
		late := make(chan net.Conn, 1)
		go func() {
			c, _ := ln.Accept()
			late <- c
		}()
		synctest.Wait()
		if len(late) > 0 {
			t.Fatalf("more than %d connections are let in", maxSide)
		}
		inside[0].Close()
		for _, c := range append(inside, <-late) {
			c.Close()
		}
	})
}

// crowd is a listener at which somebody always waits.
type crowd struct{}

func (crowd) Accept() (net.Conn, error) {
	c, _ := net.Pipe()
	return c, nil
}
func (crowd) Addr() net.Addr { return nil }
func (crowd) Close() error   { return nil }

func TestTheProbePort(t *testing.T) {
	cfg, err := config.Load(config.Options{File: file(t, "probe: {listen: '127.0.0.1:0'}"), Environ: free})
	if err != nil {
		t.Fatal(err)
	}
	g := startWith(t, cfg.File, cfg)
	for path, want := range map[string]int{"/live": 200, "/ready": 200, "/metrics": 200, "/config": 404, "/reload": 404} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.where.Probe+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// What the admin port shows of the configuration is what is in use.
func TestTheConfigurationInUseIsShown(t *testing.T) {
	g := start(t, "shutdown: {grace: 7s}")
	shown := func() string {
		b, err := json.Marshal(g.adminConfig(nil).Config())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := shown(); !strings.Contains(got, `"grace":"7s"`) {
		t.Errorf("it shows %s", got)
	}
	if err := g.reload("shutdown: {grace: 8s}"); err != nil {
		t.Fatal(err)
	}
	if got := shown(); !strings.Contains(got, `"grace":"8s"`) {
		t.Errorf("it shows %s", got)
	}
}
