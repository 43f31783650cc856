package outbound_test

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/discovery"
	"outrider/internal/mesh"
	"outrider/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint returns the endpoint of a test server's URL or address.
func endpoint(scheme, address string) mesh.Endpoint {
	return mesh.Endpoint{ID: scheme + "://" + address, Scheme: scheme, Address: address, Host: "orders.test"}
}

// start runs a service of these endpoints until the test ends.
func start(t *testing.T, cfg outbound.Config, endpoints ...mesh.Endpoint) *outbound.Service {
	t.Helper()
	cfg.Name = "orders"
	if cfg.Resolver == nil {
		cfg.Resolver = discovery.Static(endpoints)
	}
	s, err := outbound.NewService(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-s.Ready()
	return s
}

// exchange is a request on its way through a stack, ended as a server would end it.
type exchange struct {
	t    *testing.T
	call *mesh.Call
	req  *http.Request
	resp *http.Response
	err  error
}

// send sends a request; body may be nil.
func send(t *testing.T, rt http.RoundTripper, method, path string, body io.ReadCloser, edit ...func(*http.Request)) *exchange {
	t.Helper()
	x := prepare(context.Background(), t, method, path, body)
	for _, f := range edit {
		f(x.req)
	}
	x.resp, x.err = rt.RoundTrip(x.req)
	return x
}

func prepare(ctx context.Context, t *testing.T, method, path string, body io.ReadCloser) *exchange {
	t.Helper()
	req := httptest.NewRequest(method, "http://shop.test"+path, nil)
	req.RemoteAddr = ""
	if body != nil {
		req.Body, req.ContentLength = body, -1
	}
	x := &exchange{t: t, call: mesh.NewCall(ctx)}
	x.req = x.call.Bind(req)
	t.Cleanup(x.end)
	return x
}

// end ends the call in the server's order: upload, response, call.
func (x *exchange) end() {
	_ = x.req.Body.Close()
	if x.resp != nil && x.resp.Body != nil { // a test may have closed it, and what is closed is lent to another request
		_ = x.resp.Body.Close()
	}
	x.resp = nil
	x.call.End(mesh.Result{})
}

// text returns the response's body.
func (x *exchange) text() string {
	x.t.Helper()
	if x.err != nil {
		x.t.Fatal(x.err)
	}
	b, err := io.ReadAll(x.resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return string(b)
}

// want checks the Fault.
func (x *exchange) want(kind mesh.Kind) *mesh.Fault {
	x.t.Helper()
	return wantFault(x.t, x.err, kind)
}

func wantFault(t *testing.T, err error, kind mesh.Kind) *mesh.Fault {
	t.Helper()
	f, ok := err.(*mesh.Fault) //nolint:errorlint // a Fault itself is promised
	if !ok {
		t.Fatalf("got error %T %v, want a %v Fault", err, err, kind)
	}
	if f.Kind != kind {
		t.Fatalf("got %v, want %v (%v)", f.Kind, kind, f)
	}
	return f
}

// serve runs an HTTP server of the given protocol: http, https (HTTP/2) or h2c.
func serve(t *testing.T, scheme string, h http.HandlerFunc) (*httptest.Server, mesh.Endpoint) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	switch scheme {
	case "https":
		srv.EnableHTTP2 = true
		srv.StartTLS()
	case "h2c":
		srv.Config.Protocols = new(http.Protocols)
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
		srv.Start()
	default:
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv, endpoint(scheme, srv.Listener.Addr().String())
}

// listen runs f for each connection to a raw listener, after a request's head has
// been read where head is set.
func listen(t *testing.T, head bool, f func(net.Conn)) mesh.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var open []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			if head {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					continue
				}
			}
			f(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range open {
			_ = c.Close()
		}
	})
	return endpoint("http", l.Addr().String())
}

func body(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

const tiny = 50 * time.Millisecond // a timeout that is meant to pass

var always = outbound.Budget{Percent: 100, Min: 100}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }
