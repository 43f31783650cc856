package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"outrider/internal/config"
	"outrider/internal/identity/identitytest"
)

// respond is a configuration that answers by itself.
func respondWith(text string) string {
	return "routing: [{path: /, respond: {body: " + text + "}}]\n"
}

func TestReloadOutsideOfARun(t *testing.T) {
	g := start(t, respondWith("one"))
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		in   *Proxy
		want error
	}{
		{"before", New(Options{Load: func() (*config.Config, error) { return config.Defaults(), nil }}), errStarting},
		{"after", g.Proxy, errDraining},
	}
	for _, tt := range tests {
		if err := tt.in.Reload(t.Context()); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestWithoutLoadNothingIsReadAgain(t *testing.T) {
	hangup := make(chan os.Signal)
	g := start(t, respondWith("one"), func(o *Options) { o.Load, o.Hangup = nil, hangup })
	if got := g.unlike(); got != "" {
		t.Errorf("it found %q, and has nothing to look at", got)
	}
	hangup <- syscall.SIGHUP
	eventually(t, "it is refused", func() bool { return g.lastReload.Load() != nil })
	if got := g.lastReload.Load().Error; got != errFixed.Error() {
		t.Errorf("it was refused with %q", got)
	}
	if _, got := g.get("/"); got != "one" {
		t.Errorf("got %q, want one", got)
	}
}

func TestReloadEndsWithItsContext(t *testing.T) {
	g := start(t, respondWith("one"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestHangupReloads(t *testing.T) {
	hangup := make(chan os.Signal)
	g := start(t, respondWith("one"), func(o *Options) { o.Hangup = hangup })
	write(t, g.file, respondWith("two"))
	hangup <- syscall.SIGHUP
	eventually(t, "the new configuration is in use", func() bool { _, text := g.get("/"); return text == "two" })
}

// What changes after the configuration was read and before its files are watched is
// not missed.
func TestChangesBeforeTheWatchAreTakenOver(t *testing.T) {
	dir := t.TempDir()
	ca := identitytest.NewCA(t)
	issue := func(name string) (string, string) {
		return ca.Issue(t, identitytest.Leaf{DNS: []string{name}}).Write(t, dir, "shop")
	}
	certFile, keyFile := issue("old.test")
	withTLS := "server: {tls: {certs: [{cert_file: " + certFile + ", key_file: " + keyFile + "}]}}\n"
	t.Run("the configuration", func(t *testing.T) {
		name := file(t, respondWith("one"))
		first := load(t, name)
		write(t, name, respondWith("two"))
		g := startWith(t, name, first)
		eventually(t, "the new configuration is in use", func() bool { _, text := g.get("/"); return text == "two" })
	})
	t.Run("found invalid", func(t *testing.T) {
		name := file(t, respondWith("one"))
		first := load(t, name)
		write(t, name, "routing: nonsense")
		g := startWith(t, name, first)
		eventually(t, "it is refused", func() bool { last := g.lastReload.Load(); return last != nil && last.Error != "" })
		if _, text := g.get("/"); text != "one" {
			t.Errorf("got %q, want one", text)
		}
	})
	t.Run("a certificate", func(t *testing.T) {
		g := start(t, withTLS)
		issue("new.test")
		if got := g.unlike(); got != "" { // asked when the watch has begun
			t.Errorf("the configuration is the same, and not %q", got)
		}
		hello, err := g.current.Load().tls.TLS().GetCertificate(hello("new.test"))
		if err != nil || hello.Leaf.DNSNames[0] != "new.test" {
			t.Errorf("the certificate is for %v, %v", hello.Leaf.DNSNames, err)
		}
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		if got := g.unlike(); !strings.Contains(got, "server.tls") || !strings.Contains(got, keyFile) {
			t.Errorf("got %q, want that the key is gone", got)
		}
	})
}

func TestOnlyAChangeIsFound(t *testing.T) {
	g := start(t, respondWith("one"))
	if got := g.unlike(); got != "" {
		t.Errorf("nothing has changed, and it found %q", got)
	}
	write(t, g.file, respondWith("two"))
	if got := g.unlike(); !strings.Contains(got, "two") {
		t.Errorf("it found %q", got)
	}
}

// A change that a reload makes in which files there are does not hide another that
// comes meanwhile.
func TestAChangeOfTheFilesHidesNone(t *testing.T) {
	secret := file(t, "secret")
	name := file(t, respondWith("one"))
	loaded := 0
	g := startWith(t, name, load(t, name), func(o *Options) {
		read := o.Load
		o.Load = func() (*config.Config, error) {
			cfg, err := read()
			if loaded++; err == nil && len(cfg.Files()) > 1 && loaded < 100 {
				loaded = 100
				write(t, name, respondWith("three")+"# ${file:"+secret+"}\n")
			}
			return cfg, err
		}
	})
	write(t, name, "routing: [{path: /, respond: {body: '${file:"+secret+"}'}}]\n")
	eventually(t, "the last configuration is in use", func() bool { _, text := g.get("/"); return text == "three" })
}

// A reload that a drain overtakes gives up, and leaves what runs to the drain.
func TestADrainEndsAReload(t *testing.T) {
	slow := hanging()
	g := start(t, respondWith("one"), func(o *Options) { o.Lookup = slow.ask })
	before := g.current.Load()
	write(t, g.file, "services: {slow: {url: http://slow.test}}\n")
	reloaded := make(chan error, 1)
	ctx := t.Context()
	go func() { reloaded <- g.Reload(ctx) }()
	<-slow.begun
	if err := g.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if err := <-reloaded; !errors.Is(err, errDraining) {
		t.Errorf("Reload returned %v, want %v", err, errDraining)
	}
	if g.current.Load() != before {
		t.Error("the new configuration was taken over")
	}
	slow.givenUp(t)
}

// A request is never counted into a generation that has been found empty.
func TestEnterNeverReturnsWhatIsOver(t *testing.T) {
	in := New(Options{})
	fresh := func() *generation { return &generation{inFlight: newInFlight(), over: make(chan struct{})} }
	in.current.Store(fresh())
	done := make(chan struct{})
	var entering sync.WaitGroup
	for range 2 {
		entering.Go(func() {
			for {
				g := in.enter()
				select {
				case <-g.over:
					t.Error("it is over")
				default:
				}
				g.inFlight.end()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 1000 {
		last := in.current.Load()
		in.current.Store(fresh())
		last.inFlight.wait(t.Context())
		close(last.over)
	}
	close(done)
	entering.Wait()
}

// Requests and reloads meet in every order: none is lost, and each generation ends.
func TestRequestsWhileReloading(t *testing.T) {
	one, two := respondWith("one"), respondWith("two")+"limits: {header_bytes: 32KiB}\n"
	g := start(t, one)
	first := g.current.Load()
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				w := httptest.NewRecorder()
				req := httptest.NewRequest(http.MethodGet, "/", nil)
				req.ProtoMajor, req.ProtoMinor = 2, 0
				g.entrances[0].ServeHTTP(w, req)
				if text := w.Body.String(); w.Code != http.StatusOK || text != "one" && text != "two" {
					t.Errorf("status %d: %s", w.Code, text)
					return
				}
			}
		})
	}
	for i := range 20 {
		if err := g.reload([]string{two, one}[i%2]); err != nil {
			t.Error(err)
		}
	}
	last := g.current.Load()
	<-last.before // every generation before it is over, though requests come all the time
	close(done)
	asking.Wait()
	<-first.over
	if got := last.inFlight.count() + g.entrances[0].requests.count() + first.inFlight.count(); got != 0 {
		t.Errorf("%d requests are counted, and there are none", got)
	}
}

// A service that a reload removes lives as long as a request needs it.
func TestWhatIsRemovedOutlivesItsRequests(t *testing.T) {
	h := holding(t)
	g := start(t, "services: {held: {url: "+h.URL+"}}\nrouting: [{path: /, service: held}]")
	last := g.current.Load()
	service := last.sorted()[0]
	status := g.fetch("/")
	<-h.arrived
	for _, text := range []string{"one", "two"} {
		if err := g.reload(respondWith(text)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-g.current.Load().before:
		t.Error("the generation between is over, and the first is not")
	case <-last.over:
		t.Error("a generation is over with a request in it")
	default:
	}
	if got := len(service.Status().Endpoints); got != 1 {
		t.Errorf("the service has %d endpoints, want 1", got)
	}
	close(h.answer)
	if got := <-status; got != http.StatusOK {
		t.Errorf("the request: status %d", got)
	}
	<-g.current.Load().before
	<-last.over
	eventually(t, "the service has stopped", func() bool { return len(service.Status().Endpoints) == 0 })
}

// A certificate may move: the files of the old configuration need not be there.
func TestCertificatesThatMove(t *testing.T) {
	ca := identitytest.NewCA(t)
	made := func(name string) (yaml string, remove func()) {
		certFile, keyFile := ca.Issue(t, identitytest.Leaf{DNS: []string{name}}).Write(t, t.TempDir(), "shop")
		roots := ca.Write(t, t.TempDir(), "roots")
		return fmt.Sprintf("server: {tls: {certs: [{cert_file: %s, key_file: %s}]}}\n"+
				"services: {secure: {url: https://127.0.0.1:3001, tls: {ca_file: %s}}}\n", certFile, keyFile, roots),
			func() { _, _, _ = os.Remove(certFile), os.Remove(keyFile), os.Remove(roots) }
	}
	yaml, remove := made("old.test")
	g := start(t, yaml)
	moved, removeMoved := made("new.test")
	remove()
	if err := g.reload(moved); err != nil {
		t.Fatalf("the files of the configuration that is given up are asked for:\n%v", err)
	}
	removeMoved()
	before := g.current.Load()
	if err := g.reload(moved + "# and nothing else\n"); err == nil {
		t.Error("certificates that are gone were not missed")
	}
	if g.current.Load() != before {
		t.Error("a configuration that was refused is in use")
	}
}

// A certificate that cannot be read keeps no other from being read, and nothing that
// is new in the refused configuration goes on.
func TestOneBrokenCertificateHidesNoOther(t *testing.T) {
	ca := identitytest.NewCA(t)
	dir := t.TempDir()
	issue := func(name string) (string, string) {
		return ca.Issue(t, identitytest.Leaf{DNS: []string{name}}).Write(t, dir, "shop")
	}
	certFile, keyFile := issue("old.test")
	roots := ca.Write(t, dir, "roots")
	clientCert, clientKey := ca.Issue(t, identitytest.Leaf{DNS: []string{"us"}}).Write(t, dir, "us")
	secure := fmt.Sprintf("server: {tls: {certs: [{cert_file: %s, key_file: %s}]}}\n"+
		"services: {a: {url: https://127.0.0.1:1, tls: {ca_file: %s}}, b: {url: https://127.0.0.1:1, tls: {cert_file: %s, key_file: %s}}}\n",
		certFile, keyFile, roots, clientCert, clientKey)
	g := start(t, secure)
	before := g.current.Load()
	issue("new.test")
	if err := os.Remove(clientKey); err != nil {
		t.Fatal(err)
	}
	write(t, roots, "no certificate")
	err := g.current.Load().rereadCertificates(before)
	for _, want := range []string{"services.a.tls: ", "services.b.tls: "} {
		if err == nil || strings.Count(err.Error(), want) != 1 || strings.Contains(err.Error(), "server.tls") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	got, err := before.tls.TLS().GetCertificate(hello("new.test"))
	if err != nil || got.Leaf.DNSNames[0] != "new.test" {
		t.Errorf("the gateway's own certificate is %v, %v", got.Leaf.DNSNames, err)
	}
}

// Everything that a reload changes is seen at once, and what is amiss is said.
func TestAReloadIsTold(t *testing.T) {
	g := start(t, respondWith("one"), func(o *Options) { o.Level = new(slog.LevelVar) })
	warned := "middleware: [auth, rate-limit]"
	warning := "services: {users: {url: http://127.0.0.1:3002}, auth-service: {url: http://127.0.0.1:3001}}\n" +
		"rate_limiting: {default: {requests_per_minute: 60}}\nlogging: {level: error}\nlimits: {connections: 1}\n" +
		"routing: [{path: /, service: users, " + warned + "}]\n"
	if err := g.reload(warning); err != nil {
		t.Fatal(err)
	}
	if g.log.count("acts in the order") == 0 {
		t.Errorf("the configuration's warning was not logged:\n%s", g.log.String())
	}
	if got := g.o.Level.Level(); got != slog.LevelError {
		t.Errorf("the level is %v, want error", got)
	}
	inside, outside := dial(t, g.where.Server), dial(t, g.where.Server)
	answers := bufio.NewReader(inside)
	for range 50 { // time enough to let the other in
		fmt.Fprint(inside, "GET /nowhere HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if got := g.connections(); got != 1 {
		t.Errorf("%d connections are inside, want 1", got)
	}
	inside.Close()
	eventually(t, "there is room for the other", func() bool { return g.connections() == 1 })
	outside.Close()
	if err := g.reload("routing: nonsense"); err == nil {
		t.Error("nonsense was taken over")
	}
	if g.log.count("the old one stays") == 0 || g.lastReload.Load().Error == "" {
		t.Errorf("the refusal was not told:\n%s", g.log.String())
	}
}
