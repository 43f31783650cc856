package http1_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/internal/http1"
	"outrider/internal/mesh"
)

// kinds are the sorts of connections that a Transport has to do with.
var kinds = []string{"raw", "plain", "tls"}

// origin is an endpoint that says what a test wants it to.
type origin struct {
	t      testing.TB
	ln     net.Listener
	kind   string
	client *tls.Config
	server *tls.Config
	serve  func(n int, c *peer) // n counts the connections from 0
	dials  atomic.Int64
	wg     sync.WaitGroup
	mu     sync.Mutex // protects open, closed
	open   []net.Conn
	closed bool
}

// peer is the endpoint's end of a connection.
type peer struct {
	net.Conn
	*bufio.Reader
	t testing.TB
}

func (p *peer) Read(b []byte) (int, error) { return p.Reader.Read(b) }

// request reads one request with its body; nil at the connection's end.
func (p *peer) request() (*http.Request, string) {
	req, err := http.ReadRequest(p.Reader)
	if err != nil {
		return nil, ""
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, string(body)
	}
	return req, string(body)
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

func newOrigin(t testing.TB, kind string, serve func(n int, c *peer)) *origin {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{t: t, ln: ln, kind: kind, serve: serve}
	if kind == "tls" {
		o.server, o.client = certificates(t)
	}
	o.wg.Go(o.accept)
	t.Cleanup(o.close)
	return o
}

func (o *origin) accept() {
	for n := 0; ; n++ {
		c, err := o.ln.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		if o.server != nil {
			c = tls.Server(c, o.server)
		}
		o.open = append(o.open, c)
		if o.closed {
			c.Close()
		}
		o.mu.Unlock()
		o.wg.Go(func() { o.serve(n, &peer{c, bufio.NewReader(c), o.t}) })
	}
}

// demandCertificate has the endpoint refuse clients without one.
func (o *origin) demandCertificate() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.server = o.server.Clone()
	o.server.ClientAuth = tls.RequireAnyClientCert
}

func (o *origin) close() {
	o.ln.Close()
	o.mu.Lock()
	o.closed = true
	for _, c := range o.open {
		c.Close()
	}
	o.mu.Unlock()
	o.wg.Wait()
}

// bare hides that a connection can be read below net.Conn.
type bare struct{ net.Conn }

func (b bare) CloseWrite() error { return b.Conn.(*net.TCPConn).CloseWrite() }

func (o *origin) dial(ctx context.Context) (net.Conn, error) {
	o.dials.Add(1)
	c, err := new(net.Dialer).DialContext(ctx, "tcp", o.ln.Addr().String())
	if err != nil {
		return nil, &mesh.Fault{Kind: mesh.Refused, Retryable: true, Err: err}
	}
	switch o.kind {
	case "plain":
		return bare{c}, nil
	case "tls":
		session := tls.Client(c, o.client)
		if err := session.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, &mesh.Fault{Kind: mesh.TLSFailed, Err: err}
		}
		return session, nil
	}
	return c, nil
}

// transport returns a Transport to o, which edit may configure.
func (o *origin) transport(edit ...func(*http1.TransportConfig)) *http1.Transport {
	c := http1.TransportConfig{Address: o.ln.Addr().String(), Dial: o.dial}
	for _, f := range edit {
		f(&c)
	}
	t := http1.NewTransport(c)
	o.t.Cleanup(t.Close)
	return t
}

func certificates(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"orders.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "orders.test"}
}

// each runs a test with every kind of connection.
func each(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// ask is a request of a call of its own.
func ask(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://shop.test"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body), -1
	}
	call := mesh.NewCall(context.Background())
	t.Cleanup(func() { call.End(mesh.Result{}) })
	return call.Bind(req)
}

// text reads a response to its end and closes it.
func text(t testing.TB, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("the body ended with %v", err)
	}
	return string(b)
}

// wantFault checks that err is a Fault itself, and its kind.
func wantFault(t testing.TB, err error, kind mesh.Kind) *mesh.Fault {
	t.Helper()
	f, ok := err.(*mesh.Fault) //nolint:errorlint // a Fault itself is promised
	if !ok {
		t.Fatalf("got error %T %v, want a %v Fault", err, err, kind)
	}
	if f.Kind != kind {
		t.Fatalf("got %v, want %v", f, kind)
	}
	return f
}

// echo answers each request with what it was.
func echo(_ int, c *peer) {
	for {
		req, body := c.request()
		if req == nil {
			return
		}
		answer := fmt.Sprintf("%s %s %s %s", req.Method, req.RequestURI, req.Host, body)
		c.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer))
	}
}

func TestConnectionsAreKept(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		o := newOrigin(t, kind, echo)
		rt := o.transport()
		for i := range 5 {
			target := fmt.Sprintf("/a%%2Fb/%d?c=d;e", i)
			resp, err := rt.RoundTrip(ask(t, "GET", target, nil))
			if got, want := text(t, resp, err), "GET "+target+" shop.test "; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if n := o.dials.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// buffered is a body that is all there.
type buffered struct {
	io.Reader
	all []byte
}

func (b *buffered) Close() error             { return nil }
func (b *buffered) Buffered() ([]byte, bool) { return b.all, true }

func whole(s string) *buffered { return &buffered{errReader{}, []byte(s)} }

// errReader must not be read.
type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("was read") }

func TestBodies(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 20<<10)
	each(t, func(t *testing.T, kind string) {
		o := newOrigin(t, kind, echo)
		rt := o.transport()
		for _, c := range []struct {
			name   string
			body   io.ReadCloser
			length int64
			want   string
		}{
			{"none", nil, 0, ""},
			{"all there", whole("hello"), 5, "hello"},
			{"all there, chunked", whole("hello"), -1, "hello"},
			{"all there, empty", whole(""), -1, ""},
			{"streamed", io.NopCloser(strings.NewReader("hello")), 5, "hello"},
			{"streamed, chunked", io.NopCloser(strings.NewReader("hello")), -1, "hello"},
			{"large", io.NopCloser(strings.NewReader(large)), int64(len(large)), large},
			{"large, chunked", io.NopCloser(strings.NewReader(large)), -1, large},
			{"large, all there", &buffered{strings.NewReader(large), []byte(large)}, int64(len(large)), large},
		} {
			req := ask(t, "POST", "/", nil)
			req.Body, req.ContentLength = c.body, c.length
			resp, err := rt.RoundTrip(req)
			if got := text(t, resp, err); got != "POST / shop.test "+c.want {
				t.Errorf("%s: got %d bytes, want %d", c.name, len(got), len(c.want))
			}
		}
		if n := o.dials.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// answers are responses of every framing, each with what it says.
var answers = []struct {
	name, method, said, want string
	status                   int
	again                    bool // the connection is used again
}{
	{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, true},
	{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, true},
	{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello", 200, true},
	{"trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nhello\r\n0\r\nSum: 1\r\n\r\n", "hello", 200, true},
	{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", 200, false},
	{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, false},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, false},
	{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, true},
	{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", 200, true},
	{"HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", 200, true},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, true},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 304, true},
	{"interim", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, true},
}

// TestAnswers: each is understood however it is cut up, and the connection is used
// again where that is safe.
func TestAnswers(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		for _, c := range answers {
			t.Run(c.name, func(t *testing.T) {
				o := newOrigin(t, kind, func(_ int, p *peer) {
					defer p.Close()
					for i := 0; ; i++ {
						if req, _ := p.request(); req == nil {
							return
						}
						if i == 0 {
							p.say(c.said)
						} else {
							for _, b := range []byte(c.said) {
								_, _ = p.Write([]byte{b})
							}
						}
						if !c.again {
							return
						}
					}
				})
				rt := o.transport()
				for range 3 {
					resp, err := rt.RoundTrip(ask(t, c.method, "/", nil))
					if err != nil {
						t.Fatal(err)
					}
					if resp.StatusCode != c.status {
						t.Errorf("status %d, want %d", resp.StatusCode, c.status)
					}
					got, err := io.ReadAll(resp.Body)
					if string(got) != c.want || err != nil {
						t.Errorf("got %q, %v, want %q", got, err, c.want)
					}
					if c.name == "trailers" && resp.Trailer.Get("Sum") != "1" {
						t.Errorf("trailer %v", resp.Trailer)
					}
					resp.Body.Close()
				}
				want := int64(1)
				if !c.again {
					want = 3
				}
				if n := o.dials.Load(); n != want {
					t.Errorf("%d connections, want %d", n, want)
				}
			})
		}
	})
}
