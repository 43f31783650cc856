package integration_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"outrider/discovery"
	"outrider/internal/bridge"
	"outrider/internal/door"
	"outrider/internal/mesh"
	"outrider/outbound"
)

// protocol is one that a client and an endpoint speak.
type protocol struct {
	name   string
	scheme string // of an endpoint
	set    func(*http.Protocols)
}

var protocols = []protocol{
	{"HTTP/1.1", "http", func(p *http.Protocols) { p.SetHTTP1(true) }},
	{"HTTP/2", "h2c", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
}

// onBoth holds a clause on either protocol, which is spoken on both sides.
func onBoth(t *testing.T, clause func(t *testing.T, p protocol)) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) { clause(t, p) })
	}
}

// client returns a client that speaks p and nothing else.
func (p protocol) client(t *testing.T) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, ExpectContinueTimeout: patience}
	p.set(transport.Protocols)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// endpoint starts an endpoint that speaks p, and returns its URL.
func (p protocol) endpoint(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	return p.scheme + "://" + p.server(t, handler).Listener.Addr().String()
}

func (p protocol) server(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	p.set(s.Config.Protocols)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// edge is a gateway of which a test chooses the layers: the bridge, those layers, and
// a service below.
type edge struct {
	URL    string
	Client *http.Client
	Ended  chan struct{} // gets an element when a call has ended
}

// serve starts an edge before the endpoints, which speak p as its clients do.
func (p protocol) serve(t *testing.T, service outbound.Config, endpoints []string, layers ...mesh.Layer) *edge {
	t.Helper()
	service.Name, service.Resolver = "orders", static(t, endpoints)
	orders, err := outbound.NewService(service)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- orders.Run(ctx) }()
	<-orders.Ready()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the service: %v", err)
		}
	})
	e := &edge{Client: p.client(t), Ended: make(chan struct{}, 1000)}
	ended := func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			mesh.From(req).OnEnd(func(mesh.Result) { e.Ended <- struct{}{} })
			return next.RoundTrip(req)
		})
	}
	layers = append([]mesh.Layer{ended}, layers...)
	config := bridge.Config{Stack: mesh.Stack(orders.RoundTripper(outbound.Override{}), layers...)}
	e.URL = behindDoor(t, passage{bridge.NewEdge(config), bridge.New(config)})
	return e
}

// passage is an edge for both protocols.
type passage struct {
	*bridge.Edge
	http.Handler
}

// behindDoor serves h at an address of its own, and returns its URL.
func behindDoor(t *testing.T, h door.Handler) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	d := door.New(life, ln, door.Config{})
	d.Enter(door.Settings{}, h)
	var accepting sync.WaitGroup
	accepting.Go(func() { d.Accept(life) })
	t.Cleanup(func() {
		grace, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := d.Close(grace); err != nil {
			t.Errorf("the edge: %v", err)
		}
		end()
		accepting.Wait()
	})
	return "http://" + ln.Addr().String()
}

// static is a fixed set of endpoints.
func static(t *testing.T, urls []string) discovery.Static {
	t.Helper()
	var set discovery.Static
	for _, u := range urls {
		address, err := discovery.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		ip, ok := address.IP()
		if !ok {
			t.Fatalf("%s is not an IP", u)
		}
		set = append(set, address.Endpoint(ip))
	}
	return set
}

// patiently repeats up to twice, at once and whatever else was repeated.
func patiently() outbound.Config {
	return outbound.Config{
		Timeout: patience,
		Retry:   outbound.Retry{Attempts: 2, On: []string{"connect", "reset", "503"}, Budget: outbound.Budget{Percent: 100, Min: 1000}},
	}
}

// await waits for one element, within patience.
func await[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case got := <-from:
		return got
	case <-ctx.Done():
		t.Fatalf("this never came: %s", what)
		panic("unreachable")
	}
}

// request returns a request that ends with the test.
func request(t *testing.T, method, url string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return req
}

// poisoned reports whether anything of r was written by spoil.
func poisoned(r *http.Request) bool {
	text := r.Method + r.URL.String() + r.Host
	for name, values := range r.Header {
		text += name + strings.Join(values, "")
	}
	return strings.Contains(strings.ToLower(text), "poison")
}
