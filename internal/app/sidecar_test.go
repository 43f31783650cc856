package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

func TestInboundGuardsTheApp(t *testing.T) {
	app := echo(t)
	s := beside(t, app.URL, `
inbound:
  middleware: [rate-limit]
  routing:
    - {path: /hello, respond: {body: from the guard}}
    - {path: /old/**, rewrite: {path: /new/**}}
rate_limiting: {default: {requests_per_minute: 1, burst: 4}}
`)
	for _, want := range []struct{ path, text string }{
		{"/tea", "tea.test /tea"},
		{"/hello", "from the guard"},
		{"/old/x", "tea.test /new/x"},
	} {
		if got := s.ask(s.where.Inbound, http.MethodGet, want.path, "Host", "tea.test"); got.StatusCode != http.StatusOK || got.text != want.text {
			t.Errorf("%s: status %d, %q, want %q", want.path, got.StatusCode, got.text, want.text)
		}
	}
	s.ask(s.where.Inbound, http.MethodGet, "/tea")
	if got := s.ask(s.where.Inbound, http.MethodGet, "/tea"); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the fifth: status %d, want 429", got.StatusCode)
	}
	eventually(t, "the access log tells of five requests", func() bool { return s.access.count(`"direction":"inbound"`) == 5 })
}

// What a stranger says of himself goes no further than the guard.
func TestInboundBelievesNoStranger(t *testing.T) {
	s := beside(t, echo(t).URL, "")
	got := s.ask(s.where.Inbound, http.MethodGet, "/", "X-User-Id", "root", "X-Request-Id", "forged", "X-Forwarded-For", "1.1.1.1")
	if got.Header.Get("Saw-X-User-Id") != "" || got.Header.Get("Saw-X-Request-Id") == "forged" || got.Header.Get("Saw-X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the app saw %v", got.Header)
	}
}

func TestInboundShedsWhatIsTooMuch(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	app := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(arrived)
			<-release
		}
	})
	s := beside(t, app.URL, "inbound: {max_concurrent: 1}\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.askQuietly(s.where.Inbound, "/held")
	}()
	<-arrived
	got := s.ask(s.where.Inbound, http.MethodGet, "/")
	if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.text, `"code":"shed"`) || got.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, %v, %s", got.StatusCode, got.Header, got.text)
	}
	close(release)
	<-done
	eventually(t, "there is room again", func() bool { return s.ask(s.where.Inbound, http.MethodGet, "/").StatusCode == http.StatusOK })
}

// askQuietly sends a GET whose fate nobody asks about.
func (s *sidecar) askQuietly(at, path string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		return
	}
	if resp, err := s.client.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// A service is named in any of three ways: by Host, by a proxy request, by a port of
// its own.
func TestOutboundReachesServices(t *testing.T) {
	cake := echo(t)
	s := beside(t, echo(t).URL, fmt.Sprintf(`
services:
  cake: {url: %q, listen: "127.0.0.1:0"}
  milk: {url: %q, host: service}
routing:
  - {path: /special/**, hosts: [cake], service: milk}
  - {path: /shop/**, service: cake, strip_path: true}
`, cake.URL, cake.URL))
	out := s.where.Outbound
	at := strings.TrimPrefix(cake.URL, "http://")
	for _, want := range []struct {
		name, at, host, path, text string
	}{
		{"by Host", out, "cake", "/a", "cake /a"},
		{"by Host with a port", out, "CAKE:80", "/a", "CAKE:80 /a"},
		{"another's Host", out, "milk", "/a", at + " /a"},
		{"a rule for that Host", out, "cake", "/special/a", at + " /special/a"},
		{"a rule for all hosts", out, "whatever", "/shop/a", "whatever /a"},
		{"a service's own port", s.where.Services["cake"], "127.0.0.1", "/a", "cake /a"},
	} {
		got := s.ask(want.at, http.MethodGet, want.path, "Host", want.host)
		if got.StatusCode != http.StatusOK || got.text != want.text {
			t.Errorf("%s: status %d, %q, want %q", want.name, got.StatusCode, got.text, want.text)
		}
	}

	c := dial(t, out)
	fmt.Fprint(c, "GET http://cake/proxied HTTP/1.1\r\nHost: cake\r\nProxy-Connection: keep-alive\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(text) != "cake /proxied" {
		t.Errorf("a proxy request: status %d, %q", resp.StatusCode, text)
	}
}

func TestOutboundRefuses(t *testing.T) {
	s := beside(t, echo(t).URL, "services: {cake: {url: http://127.0.0.1:1}}\n")
	got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "coffee")
	if got.StatusCode != http.StatusNotFound || !strings.Contains(got.text, `No service is declared as \"coffee\".`) {
		t.Errorf("undeclared: status %d, %s", got.StatusCode, got.text)
	}
	got = s.ask(s.where.Outbound, http.MethodConnect, "", "Host", "cake:443")
	if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") == "" {
		t.Errorf("CONNECT: status %d, %v", got.StatusCode, got.Header)
	}
	got = s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "cake")
	if got.StatusCode != http.StatusBadGateway || !strings.Contains(got.text, `"code":"refused"`) {
		t.Errorf("nobody there: status %d, %s", got.StatusCode, got.text)
	}
}

// What the app was told with a request it may tell with its own, and no address of its
// own stands beside that. An app that copies Via makes no loop.
func TestOutboundBelievesTheApp(t *testing.T) {
	cake := echo(t)
	s := beside(t, echo(t).URL, "services: {cake: {url: "+cake.URL+"}}\n")
	in := s.ask(s.where.Inbound, http.MethodGet, "/")
	via := in.Header.Get("Saw-Via")
	got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "cake", "X-Request-Id", "one", "X-User-Id", "42", "X-Forwarded-For", "203.0.113.7", "Via", via)
	if got.StatusCode != http.StatusOK || got.Header.Get("Saw-X-Request-Id") != "one" || got.Header.Get("Saw-X-User-Id") != "42" ||
		got.Header.Get("Saw-X-Forwarded-For") != "203.0.113.7" {
		t.Errorf("status %d, the other service saw %v", got.StatusCode, got.Header)
	}
	if seen := strings.Join(got.Header.Values("Saw-Via"), ", "); !strings.HasPrefix(seen, via+", ") || !strings.HasSuffix(seen, "-out") {
		t.Errorf("Via: %q, want %q and the outbound's", seen, via)
	}
}

// What one route's auth vouches for, nobody can claim on another.
func TestInboundRemovesWhatAnyRouteVouchesFor(t *testing.T) {
	app := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Saw", r.Header.Get("X-Tenant")+r.Header.Get("X-User-Id"))
	})
	s := beside(t, app.URL, `
inbound:
  routing:
    - {path: /tenants/**, middleware: [auth], auth: {validate_url: "http://127.0.0.1:1/validate", headers: {tenant: X-Tenant}}}
`)
	if got := s.ask(s.where.Inbound, http.MethodGet, "/", "X-Tenant", "shop", "X-User-Id", "42"); got.Header.Get("Saw") != "" {
		t.Errorf("the app believes a stranger who claims %q", got.Header.Get("Saw"))
	}
}

func TestDiscoverFindsWhatNobodyDeclared(t *testing.T) {
	var m discovery.Memory
	cake := echo(t)
	m.Register("cake", mesh.Endpoint{ID: "1", Scheme: "http", Address: strings.TrimPrefix(cake.URL, "http://"), Host: "cake"})
	s := beside(t, echo(t).URL, "consul: {register: false}\noutbound: {undeclared: discover}\n", in(&m))
	if got := s.ask(s.where.Outbound, http.MethodGet, "/a", "Host", "Cake:8080"); got.StatusCode != http.StatusOK || got.text != "Cake:8080 /a" {
		t.Errorf("status %d, %q", got.StatusCode, got.text)
	}
	if got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "nobody"); got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.text, "no_endpoints") {
		t.Errorf("a name without instances: status %d, %s", got.StatusCode, got.text)
	}
	if got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "[::1]"); got.StatusCode != http.StatusNotFound {
		t.Errorf("what cannot be a name: status %d, %s", got.StatusCode, got.text)
	}
}

// As many names as a client can think of are not as many services.
func TestDiscoverIsBounded(t *testing.T) {
	var m discovery.Memory
	s := beside(t, echo(t).URL, "consul: {register: false}\noutbound: {undeclared: discover}\n", in(&m))
	for n := range maxFound {
		if got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", fmt.Sprintf("n%d", n)); got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.text, "no_endpoints") {
			t.Fatalf("name %d: status %d, %s", n, got.StatusCode, got.text)
		}
	}
	if got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "one-more"); !strings.Contains(got.text, `"code":"overflow"`) {
		t.Errorf("one more: status %d, %s", got.StatusCode, got.text)
	}
	// Names that are nobody's do not keep others out for long, nor fill the metrics.
	f := slices.Collect(maps.Values(s.current.Load().finders))[0]
	eventually(t, "the requests are over", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return !slices.ContainsFunc(slices.Collect(maps.Values(f.known)), func(known *found) bool { return known.busy > 0 })
	})
	if _, err := f.find("cake", time.Now().Add(foundVoid)); err != nil {
		t.Errorf("later: %v", err)
	}
	if got := len(f.services()); got != 1 {
		t.Errorf("%d services are kept, want the one that was asked for last", got)
	}
	if got := s.ask(s.where.Admin, http.MethodGet, "/metrics"); strings.Contains(got.text, `"n1"`) || !strings.Contains(got.text, undeclaredLabel) {
		t.Error("the metrics have names that clients made up")
	}
}

// A service that is there keeps its place as long as it is used.
func TestDiscoverKeepsWhatIsThere(t *testing.T) {
	var m discovery.Memory
	m.Register("cake", mesh.Endpoint{ID: "1", Scheme: "http", Address: strings.TrimPrefix(echo(t).URL, "http://"), Host: "cake"})
	s := beside(t, echo(t).URL, "consul: {register: false}\noutbound: {undeclared: discover}\n", in(&m))
	if got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "cake"); got.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %s", got.StatusCode, got.text)
	}
	f := slices.Collect(maps.Values(s.current.Load().finders))[0]
	eventually(t, "the request is over", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.known["cake"].busy == 0
	})
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{foundVoid, 1}, {foundIdle - time.Second, 1}, {foundIdle + time.Second, 0}} {
		f.mu.Lock()
		f.makeRoom(time.Now().Add(tt.after))
		f.mu.Unlock()
		if got := len(f.services()); got != tt.want {
			t.Errorf("after %v: %d services, want %d", tt.after, got, tt.want)
		}
	}
	if got := s.ask(s.where.Admin, http.MethodGet, "/metrics"); strings.Contains(got.text, `service="cake"`) || !strings.Contains(got.text, `service="(undeclared)"`) {
		t.Error("the metrics do not have the one name of all undeclared services")
	}
}

func TestRegistersWhenReady(t *testing.T) {
	var m discovery.Memory
	ill := make(chan bool, 1)
	ill <- false
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		is := <-ill
		ill <- is
		if is {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := beside(t, app.URL, "consul: {}\n", in(&m))
	well := func() bool {
		all := instances(t, &m, "tea")
		return len(all) == 1 && !all[0].Unhealthy && all[0].Address == s.where.Inbound
	}
	eventually(t, "it is registered and well", well)
	<-ill
	ill <- true
	eventually(t, "its app is ill", func() bool {
		all := instances(t, &m, "tea")
		return len(all) == 1 && all[0].Unhealthy && strings.Contains(all[0].HealthNote, "500")
	})
	<-ill
	ill <- false
	eventually(t, "it is well again", well)
	if err := s.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if left := instances(t, &m, "tea"); len(left) != 0 {
		t.Errorf("it left %v behind", left)
	}
}

// The order of a drain: callers leave, the app's last requests end, the app goes, and
// only then what it calls by.
func TestDrainOfASidecar(t *testing.T) {
	var m discovery.Memory
	cake := echo(t)
	release, arrived := make(chan struct{}), make(chan struct{})
	app := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(arrived)
			<-release
		}
	})
	var s *sidecar
	var steps []string
	s = beside(t, app.URL, "consul: {}\nservices: {cake: {url: "+cake.URL+"}}\n", in(&m), func(o *Options) {
		o.Guarded = func(context.Context) {
			if _, err := new(net.Dialer).DialContext(context.Background(), "tcp", s.where.Inbound); err == nil {
				steps = append(steps, "the inbound is still open")
			}
			steps = append(steps, "guarded: "+s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "cake").Status)
		}
	})
	eventually(t, "it is registered", func() bool { return len(instances(t, &m, "tea")) == 1 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.askQuietly(s.where.Inbound, "/held")
	}()
	<-arrived
	s.drain()
	eventually(t, "it is deregistered", func() bool { return len(instances(t, &m, "tea")) == 0 })
	got := s.ask(s.where.Inbound, http.MethodGet, "/late")
	if got.StatusCode != http.StatusOK || !got.Close {
		t.Errorf("a caller that has not heard yet: status %d, close %v, want an answer and to be sent away", got.StatusCode, got.Close)
	}
	close(release)
	if err := s.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	<-done
	if want := "guarded: 200 OK"; len(steps) != 1 || steps[0] != want {
		t.Errorf("%q, want %q", steps, want)
	}
}

// Requests that outlast the grace leave the app a moment to end in.
func TestTheAppHasTimeToEnd(t *testing.T) {
	h := holding(t)
	var had error
	s := beside(t, h.URL, "shutdown: {grace: 1ms}\n", func(o *Options) {
		o.Guarded = func(ctx context.Context) { had = ctx.Err() }
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.askQuietly(s.where.Inbound, "/held")
	}()
	<-h.arrived
	if err := s.stop(); err == nil {
		t.Error("the request was not cut")
	}
	<-done
	if had != nil {
		t.Errorf("it had no time left: %v", had)
	}
}

// What is left of the grace is the app's.
func TestTheAppHasTheRestOfTheGrace(t *testing.T) {
	var until time.Time
	p := New(Options{Guarded: func(ctx context.Context) { until, _ = ctx.Deadline() }})
	p.life = t.Context()
	within, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	end, _ := within.Deadline()
	if p.part(within); !until.Equal(end) {
		t.Errorf("it has until %v, want %v", until, end)
	}
}

// Who only leaves serves on: it is no longer ready nor in the registry, and sends
// callers away.
func TestLeave(t *testing.T) {
	var m discovery.Memory
	s := beside(t, echo(t).URL, "consul: {}\nservices: {cake: {url: "+echo(t).URL+"}}\n", in(&m))
	eventually(t, "it is registered", func() bool { return len(instances(t, &m, "tea")) == 1 })
	if got := s.ask(s.where.Admin, http.MethodPost, "/leave", "Host", "localhost"); got.StatusCode != http.StatusAccepted {
		t.Fatalf("status %d, %s", got.StatusCode, got.text)
	}
	eventually(t, "it is deregistered", func() bool { return len(instances(t, &m, "tea")) == 0 })
	if got := s.ask(s.where.Admin, http.MethodGet, "/ready", "Host", "localhost"); got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.text, "leaving") {
		t.Errorf("ready: status %d, %s", got.StatusCode, got.text)
	}
	if got := s.ask(s.where.Inbound, http.MethodGet, "/"); got.StatusCode != http.StatusOK || !got.Close {
		t.Errorf("inbound: status %d, close %v", got.StatusCode, got.Close)
	}
	if got := s.ask(s.where.Outbound, http.MethodGet, "/", "Host", "cake"); got.StatusCode != http.StatusOK {
		t.Errorf("outbound: status %d", got.StatusCode)
	}
	s.Leave() // once more is no harm
	if err := s.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// The admin port's drain is that of SIGTERM.
func TestDrainAskedForAtTheAdminPort(t *testing.T) {
	s := beside(t, echo(t).URL, "")
	ended := make(chan error, 1)
	go func() {
		<-s.life.Done()
		ended <- s.stop()
	}()
	s.ask(s.where.Admin, http.MethodPost, "/drain", "Host", "localhost")
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
}
