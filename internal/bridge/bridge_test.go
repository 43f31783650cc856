package bridge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"outrider/internal/bridge"
	"outrider/internal/http1"
	"outrider/internal/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pseudonym = "edge-1"

// proxy is an Edge or a Handler on a real server, and how its calls ended.
type proxy struct {
	*httptest.Server
	proto  string
	ends   chan mesh.Result
	engine *engine // nil for HTTP/2
}

var protos = []string{"h1", "h2c", "h2"}

// eachProto runs f against a server of each protocol.
func eachProto(t *testing.T, f func(t *testing.T, proto string)) {
	for _, proto := range protos {
		t.Run(proto, func(t *testing.T) { f(t, proto) })
	}
}

// eachHTTP2 runs f against a server of each sort of HTTP/2.
func eachHTTP2(t *testing.T, f func(t *testing.T, proto string)) {
	for _, proto := range protos[1:] {
		t.Run(proto, func(t *testing.T) { f(t, proto) })
	}
}

// serve starts a server whose stack is origin.
func serve(t *testing.T, proto string, origin mesh.RoundTripFunc, change ...func(*bridge.Config)) *proxy {
	t.Helper()
	return prepare(proto, origin, change...).start(t)
}

// prepare returns a server that is yet to start.
func prepare(proto string, origin mesh.RoundTripFunc, change ...func(*bridge.Config)) *proxy {
	p := &proxy{proto: proto, ends: make(chan mesh.Result, 64)}
	if proto == "h1" {
		p.engine = &engine{life: context.Background()}
	}
	config := bridge.Config{
		Pseudonym: pseudonym,
		Stack: mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			mesh.From(req).OnEnd(func(r mesh.Result) { p.ends <- r })
			return origin(req)
		}),
	}
	for _, c := range change {
		c(&config)
	}
	p.Server = httptest.NewUnstartedServer(bridge.New(config))
	if proto == "h1" {
		p.engine.config = http1.ServerConfig{Handler: bridge.NewEdge(config), StallTimeout: config.StallTimeout}
	}
	p.Config.Protocols = new(http.Protocols)
	p.Config.Protocols.SetUnencryptedHTTP2(proto == "h2c")
	p.Config.Protocols.SetHTTP2(proto == "h2")
	return p
}

func (p *proxy) start(t *testing.T) *proxy {
	t.Helper()
	switch p.proto {
	case "h1":
		p.engine.start(p.Server)
	case "h2":
		p.EnableHTTP2 = true
		p.StartTLS()
	default:
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

// Close ends the server, and waits for its connections.
func (p *proxy) Close() {
	if p.engine != nil {
		p.engine.stop()
	}
	p.Server.Close()
}

// engine is internal/http1's server, in the place of an httptest.Server's own.
type engine struct {
	config  http1.ServerConfig
	life    context.Context
	server  *http1.Server
	ln      net.Listener
	serving sync.WaitGroup
}

// start serves what comes to s.
func (e *engine) start(s *httptest.Server) {
	e.server, e.ln = http1.NewServer(e.config), s.Listener
	s.URL = "http://" + e.ln.Addr().String()
	if s.TLS != nil {
		s.URL = "https://" + e.ln.Addr().String()
	}
	e.serving.Go(func() { e.accept(s.TLS) })
}

// accept lets everybody in until the listener is closed.
func (e *engine) accept(settings *tls.Config) {
	for {
		c, err := e.ln.Accept()
		if err != nil {
			return
		}
		e.serving.Go(func() {
			c = seenConn{c}
			if settings != nil {
				session := tls.Server(c, settings)
				if session.HandshakeContext(e.life) != nil {
					c.Close()
					return
				}
				c = session
			}
			e.server.Serve(e.life, c)
		})
	}
}

// seenConn is a connection by way of net alone, whose reads and writes order things for
// the race detector: it does not see the engine's own system calls.
type seenConn struct{ net.Conn }

// CloseWrite ends our half.
func (c seenConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// NetConn returns the connection, for the engine to see whether the client is there.
func (c seenConn) NetConn() net.Conn { return c.Conn }

// stop cuts all connections.
func (e *engine) stop() {
	e.ln.Close()
	e.server.Close()
	e.serving.Wait()
}

// client returns a client that speaks the server's protocol, and only that.
func (p *proxy) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetHTTP1(p.proto == "h1")
	transport.Protocols.SetUnencryptedHTTP2(p.proto == "h2c")
	transport.Protocols.SetHTTP2(p.proto == "h2")
	if p.proto == "h2" {
		transport.TLSClientConfig = p.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// do sends a request and returns the response with its whole body.
func (p *proxy) do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := p.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// dial opens a raw connection.
func (p *proxy) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, bufio.NewReader(conn)
}

// raw sends bytes and reads one response to them.
func (p *proxy) raw(t *testing.T, message string) *http.Response {
	t.Helper()
	conn, r := p.dial(t)
	return exchange(t, conn, r, message)
}

func exchange(t *testing.T, conn net.Conn, r *bufio.Reader, message string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(conn, message); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(message, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// reply makes a response as a transport would.
func reply(req *http.Request, status int, body string) *http.Response {
	resp := &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), Request: req,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	return resp
}

// pieces is a body that ends, or fails, when it is told to.
type pieces struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func newPieces(r io.Reader) *pieces { return &pieces{Reader: r, closed: make(chan struct{})} }

func (p *pieces) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func fails(err error) io.Reader {
	return readerFunc(func([]byte) (int, error) { return 0, err })
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// kindOf returns the kind of the Fault in err, -1 for none.
func kindOf(err error) mesh.Kind {
	var f *mesh.Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return -1
}

// await returns what ch brings within the test's life.
func await[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	var zero T
	select {
	case v, ok := <-ch:
		if !ok {
			return zero
		}
		return v
	case <-t.Context().Done():
		t.Fatal("the test ended first")
		return zero
	}
}

// over returns a stack's response to say nothing in particular.
func over(req *http.Request) (*http.Response, error) { return reply(req, http.StatusOK, "ok"), nil }
