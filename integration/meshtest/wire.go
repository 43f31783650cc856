package meshtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// wireLife bounds everything that happens on one raw connection, so that a test whose
// bytes never come fails and does not hang.
const wireLife = 30 * time.Second

// Wire is a client's connection to the gateway, for bytes that no HTTP client would
// send.
type Wire struct {
	*net.TCPConn
	Reader *bufio.Reader // what the gateway sends
	t      testing.TB
}

// Dial opens a connection and closes it when the test ends.
func (g *Running) Dial() *Wire {
	g.t.Helper()
	_, addr, _ := strings.Cut(g.URL, "://")
	c, err := new(net.Dialer).DialContext(g.t.Context(), "tcp", addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(wireLife))
	return &Wire{TCPConn: c.(*net.TCPConn), Reader: bufio.NewReader(c), t: g.t}
}

// Raw opens a connection, sends message and reads one whole response.
func (g *Running) Raw(message string) Reply {
	g.t.Helper()
	w := g.Dial()
	defer func() { _ = w.Close() }() // only to be done with it
	w.Send(message)
	method, _, _ := strings.Cut(message, " ")
	return w.Reply(method)
}

// Send writes bytes as they are.
func (w *Wire) Send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		w.t.Fatalf("the gateway takes no more: %v", err)
	}
}

// Head reads the head of the next response, which may be a 1xx, to a request of that
// method. The body is the caller's to read.
func (w *Wire) Head(method string) *http.Response {
	w.t.Helper()
	resp, err := http.ReadResponse(w.Reader, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("no response: %v", err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// Reply reads the next response to its end.
func (w *Wire) Reply(method string) Reply {
	w.t.Helper()
	resp := w.Head(method) //nolint:bodyclose // Head sees to that
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("body: %v", err)
	}
	return Reply{resp, string(text)}
}

// Expect reads exactly text, on an upgraded connection.
func (w *Wire) Expect(text string) {
	w.t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(w.Reader, got); err != nil || string(got) != text {
		w.t.Fatalf("got %q, %v; want %q", got[:n], err, text)
	}
}

// Rest reads until the gateway closes the connection, and returns what came. A reset
// is an end, too.
func (w *Wire) Rest() string {
	w.t.Helper()
	rest, err := io.ReadAll(w.Reader)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatalf("the gateway keeps the connection open; it sent %q", rest)
	}
	return string(rest)
}

// RawEndpoint is an endpoint that speaks bytes.
type RawEndpoint struct {
	Addr string

	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex // protects conns, over
	conns []net.Conn
	over  bool
}

// RawOrigin starts an endpoint that calls speak for each connection, which it closes
// when speak returns or the test ends.
func RawOrigin(t testing.TB, speak func(net.Conn)) *RawEndpoint {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &RawEndpoint{Addr: ln.Addr().String(), listener: ln}
	e.done.Go(func() { e.accept(speak) })
	t.Cleanup(e.stop)
	return e
}

func (e *RawEndpoint) accept(speak func(net.Conn)) {
	for {
		c, err := e.listener.Accept()
		if err != nil {
			return
		}
		e.mu.Lock()
		if e.over {
			_ = c.Close()
		}
		e.conns = append(e.conns, c)
		e.mu.Unlock()
		e.done.Go(func() {
			defer c.Close()
			speak(c)
		})
	}
}

func (e *RawEndpoint) stop() {
	_ = e.listener.Close()
	e.mu.Lock()
	e.over = true
	for _, c := range e.conns {
		_ = c.Close()
	}
	e.mu.Unlock()
	e.done.Wait()
}

// Bytes answers each request that has no body with this text, whatever it is, and
// closes the connection.
func Bytes(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, text)
		}
	}
}
