package app

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"outrider/internal/config"
	"outrider/internal/mesh"
)

func TestRunSaysWhatCannotBeBuilt(t *testing.T) {
	no := file(t, "no certificate")
	cfg := parse(t, "server: {tls: {certs: [{cert_file: "+no+", key_file: "+no+"}]}}")
	in := New(Options{Started: func(Addresses) { t.Error("it started") }})
	var faults config.Problems
	if err := in.Run(t.Context(), cfg); !errors.As(err, &faults) {
		t.Errorf("got %v, want config.Problems", err)
	}
	isFree(t, in.where.Server)
	isFree(t, in.where.Admin)
}

// Whoever stops a gateway that is still starting does not wait for its services.
func TestStoppedWhileItStarts(t *testing.T) {
	slow := hanging()
	ctx, cancel := context.WithCancel(t.Context())
	in := New(Options{Lookup: slow.ask})
	ended := make(chan error, 1)
	cfg := parse(t, "services: {slow: {url: http://slow.test}}")
	go func() { ended <- in.Run(ctx, cfg) }()
	<-slow.begun
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
	slow.givenUp(t)
	isFree(t, in.where.Server)
}

// Who is told to stop before anything was said of its readiness does not start an app to
// stop it.
func TestStoppedBeforeItIsReady(t *testing.T) {
	g := start(t, "")
	if !g.awaitReady(t.Context()) {
		t.Fatal("it is not ready")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if g.awaitReady(ctx) {
		t.Error("it goes on as if it had not been stopped")
	}
}

func TestReadiness(t *testing.T) {
	in := New(Options{})
	if got := in.ready(); !slices.Equal(got, []string{"starting"}) {
		t.Errorf("before the start: %q", got)
	}
	h := holding(t)
	g := start(t, "services: {held: {url: "+h.URL+"}}\nrouting: [{path: /, service: held}]")
	if got := g.ready(); len(got) != 0 {
		t.Errorf("while it runs: %q", got)
	}
	status := g.fetch("/")
	<-h.arrived
	g.drain()
	eventually(t, "it drains", g.draining.Load)
	if got := g.ready(); !slices.Equal(got, []string{"draining"}) {
		t.Errorf("while it drains: %q", got)
	}
	close(h.answer)
	if got := <-status; got != http.StatusOK {
		t.Errorf("the request in flight: status %d", got)
	}
}

// A drain takes nothing new and finishes what is there.
func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	h := holding(t)
	g := start(t, "services: {held: {url: "+h.URL+"}}\nrouting: [{path: /, service: held}]")
	status := g.fetch("/")
	<-h.arrived
	g.drain()
	eventually(t, "nobody is let in", func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", g.where.Server)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	resp, err := g.client.Get("http://" + g.where.Admin + "/live")
	if err != nil {
		t.Fatalf("the admin port is closed before the drain has ended: %v", err)
	}
	resp.Body.Close()
	close(h.answer)
	if got := <-status; got != http.StatusOK {
		t.Errorf("the request in flight: status %d", got)
	}
	if err := g.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	isFree(t, g.where.Admin)
}

func TestWhatOutlastsTheDrainIsCut(t *testing.T) {
	h := holding(t)
	g := start(t, "shutdown: {grace: 1ms}\nservices: {held: {url: "+h.URL+"}}\nrouting: [{path: /, service: held}]")
	status := g.fetch("/")
	<-h.arrived
	err := g.stop()
	if err == nil || !strings.Contains(err.Error(), "cut at the end of the grace") {
		t.Errorf("Run returned %v", err)
	}
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("the request in flight: status %d, want to be told that the proxy is shutting down", got)
	}
	if g.access.count(`"code":"draining"`) != 1 {
		t.Errorf("the access log does not tell of the request that was cut:\n%s", g.access.String())
	}
}

// A token that is being checked does not outlive the gateway.
func TestChecksOfTokensEndWithTheGateway(t *testing.T) {
	h := holding(t)
	g := start(t, `
shutdown: {grace: 1ms}
services: {users: {url: `+origin(t, "users").URL+`}, auth-service: {url: `+h.URL+`}}
auth: {timeout: 1h}
routing: [{path: /, service: users, middleware: [auth]}]
`)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer token")
		if resp, err := g.client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-h.arrived
	if err := g.stop(); err == nil {
		t.Error("the request was not cut")
	}
	<-ended // and no goroutine is left, which TestMain sees
	for _, a := range g.current.Load().auths {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer another")
		_, err := a.Layer()(http.DefaultTransport).RoundTrip(mesh.NewCall(t.Context()).Bind(req))
		if err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("another token was checked: %v", err)
		}
	}
}

// echoing answers an upgrade and sends back whatever comes.
func echoing(t *testing.T) string {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, buffered)
	}).URL
}

// tunnel is a connection that was upgraded.
type tunnel struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// upgrade opens a tunnel through the gateway.
func (g *gateway) upgrade() *tunnel {
	g.t.Helper()
	conn := dial(g.t, g.where.Server)
	c := &tunnel{g.t, conn, bufio.NewReader(conn)}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\nHost: shop.test\r\n\r\n"); err != nil {
		g.t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatalf("status %d", resp.StatusCode)
	}
	c.echo()
	return c
}

func (c *tunnel) echo() {
	c.t.Helper()
	if _, err := io.WriteString(c, "?"); err != nil {
		c.t.Fatal(err)
	}
	if b, err := c.in.ReadByte(); err != nil || b != '?' {
		c.t.Fatalf("got %q, %v", b, err)
	}
}

func TestTunnelsAreWaitedFor(t *testing.T) {
	yaml := "services: {echo: {url: " + echoing(t) + "}}\nrouting: [{path: /, service: echo}]\nshutdown: {grace: %s}\n"
	tests := []struct {
		name   string
		before func(t *testing.T, g *gateway) // when the tunnel is open
	}{
		{"of this generation", func(*testing.T, *gateway) {}},
		{"of a generation whose grace has ended", func(t *testing.T, g *gateway) {
			last := g.current.Load()
			if err := g.reload(strings.Replace(yaml, "%s", "1h", 1)); err != nil {
				t.Fatal(err)
			}
			<-last.over
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			grace := "1h"
			if tt.name != "of this generation" {
				grace = "1ms"
			}
			g := start(t, strings.Replace(yaml, "%s", grace, 1))
			c := g.upgrade()
			tt.before(t, g)
			g.drain()
			eventually(t, "nobody is let in any more", func() bool {
				c, err := new(net.Dialer).DialContext(t.Context(), "tcp", g.where.Server)
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			eventually(t, "all others are gone", func() bool { return g.connections() == 1 })
			for range 100 {
				c.echo()
			}
			c.Close()
			if err := g.stop(); err != nil {
				t.Errorf("Run returned %v", err)
			}
			if g.access.count(`"status":101,"code":"","error":""`) != 1 {
				t.Errorf("the tunnel did not end by itself:\n%s", g.access.String())
			}
		})
	}
}

func TestTunnelsAreCutAtTheEndOfTheGrace(t *testing.T) {
	g := start(t, "services: {echo: {url: "+echoing(t)+"}}\nrouting: [{path: /, service: echo}]\nshutdown: {grace: 1ms}\n")
	c := g.upgrade()
	err := g.stop()
	if err == nil || !strings.Contains(err.Error(), "1 requests were cut at the end of the grace") {
		t.Errorf("Run returned %v", err)
	}
	if b, err := c.in.ReadByte(); err == nil {
		t.Errorf("got byte %q, want the end of the connection", b)
	}
	if g.access.count(`"status":101,"code"`) != 1 {
		t.Errorf("the access log does not tell of the tunnel:\n%s", g.access.String())
	}
}

// A side port that fails stops the gateway, and says so.
func TestAPortThatFailsStopsTheGateway(t *testing.T) {
	ln := listen(t)
	ln.Close()
	side := &sidePorts{listeners: []net.Listener{ln}, servers: []*http.Server{{}}}
	failed := make(chan error, 1)
	side.serve(failed)
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	side.close()
}
