package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

// answers is a Handler that is a function.
type answers func(*http.Request) (*http.Response, error)

func (a answers) Handle(req *http.Request) (*http.Response, error) { return a(req) }

// Refuse answers with the status and the text of the Fault.
func (a answers) Refuse(req *http.Request, fault *mesh.Fault) (*http.Response, error) {
	return text(fault.Kind.Status(), fault.Text()), fault
}

func (a answers) Fail(_ *http.Request, err error) *mesh.Fault { return mesh.AsFault(err) }

// text returns a response whose body is s.
func text(status int, s string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Date": {"now"}}, ContentLength: int64(len(s)), Body: io.NopCloser(strings.NewReader(s)),
	}
}

// hello answers every request with its method and path.
func hello(req *http.Request) (*http.Response, error) {
	return text(200, req.Method+" "+req.URL.Path), nil
}

// ways are the paths that bytes take through a Server.
var ways = []string{"raw", "plain", "tls"}

func eachWay(t *testing.T, test func(t *testing.T, way string)) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) { test(t, way) })
	}
}

// hidden is a connection of which nothing is known but that it is a TCP one.
type hidden struct{ net.Conn }

func (h hidden) CloseWrite() error           { return h.Conn.(*net.TCPConn).CloseWrite() }
func (h hidden) SetLinger(seconds int) error { return h.Conn.(*net.TCPConn).SetLinger(seconds) }

// house is a Server with its address.
type house struct {
	*Server
	way    string
	addr   string
	ln     net.Listener
	roots  *tls.Config
	life   context.Context
	cut    context.CancelCauseFunc
	served sync.WaitGroup
}

// open starts a Server, which is closed when the test ends.
func open(t testing.TB, way string, c ServerConfig) *house {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Server: NewServer(c), way: way, addr: ln.Addr().String()}
	h.life, h.cut = context.WithCancelCause(context.Background())
	var secure *tls.Config
	if way == "tls" {
		secure, h.roots = certified(t)
	}
	h.served.Go(func() { h.accept(ln, secure) })
	h.ln = ln
	t.Cleanup(func() {
		h.Close()
		h.alone()
		h.cut(nil)
	})
	return h
}

// alone waits until nobody is served any more, nor will be.
func (h *house) alone() {
	h.ln.Close()
	h.served.Wait()
}

func (h *house) accept(ln net.Listener, secure *tls.Config) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		switch h.way {
		case "plain":
			c = hidden{c}
		case "tls":
			session := tls.Server(c, secure)
			if session.HandshakeContext(h.life) != nil {
				c.Close()
				continue
			}
			c = session
		}
		h.served.Go(func() { h.Serve(h.life, c) })
	}
}

// dial opens a connection, which is closed when the test ends.
func (h *house) dial(t testing.TB) *talk {
	t.Helper()
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	if h.way == "tls" {
		c = tls.Client(c, h.roots)
	}
	t.Cleanup(func() { c.Close() })
	return &talk{Conn: c, r: bufio.NewReader(c), t: t}
}

// certified returns the two ends' configurations for TLS.
func certified(t testing.TB) (server, client *tls.Config) {
	ca := identitytest.NewCA(t)
	leaf := ca.Issue(t, identitytest.Leaf{DNS: []string{"shop.example"}})
	server = &tls.Config{Certificates: []tls.Certificate{leaf.TLS(t)}, MinVersion: tls.VersionTLS13}
	return server, &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.example", MinVersion: tls.VersionTLS13}
}

// talk is a client's end.
type talk struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

// send writes what it is given.
func (k *talk) send(s string) {
	k.t.Helper()
	if _, err := io.WriteString(k, s); err != nil {
		k.t.Fatal(err)
	}
}

// response reads a response to a request with method.
func (k *talk) response(method string) (*http.Response, string) {
	k.t.Helper()
	resp, err := http.ReadResponse(k.r, &http.Request{Method: method})
	if err != nil {
		k.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatalf("after %q: %v", body, err)
	}
	resp.Body.Close()
	return resp, string(body)
}

// want reads a response to GET, and checks status and body.
func (k *talk) want(status int, body string) *http.Response {
	k.t.Helper()
	resp, got := k.response(http.MethodGet)
	if resp.StatusCode != status || got != body {
		k.t.Fatalf("got %d %q, want %d %q", resp.StatusCode, got, status, body)
	}
	return resp
}

// closed checks that nothing more comes.
func (k *talk) closed() {
	k.t.Helper()
	if b, err := io.ReadAll(k.r); err != nil || len(b) > 0 {
		k.t.Fatalf("got %q, %v, want the end", b, err)
	}
}

func TestServesOneRequestAfterAnother(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		h := open(t, way, ServerConfig{Handler: answers(hello)})
		k := h.dial(t)
		for range 3 {
			k.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
			if resp := k.want(200, "GET /a"); resp.Close {
				t.Error("it closes")
			}
		}
		k.send("GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if resp := k.want(200, "GET /b"); !resp.Close {
			t.Error("it does not say that it closes")
		}
		k.closed()
	})
}
