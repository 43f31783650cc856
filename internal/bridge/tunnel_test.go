package bridge_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

const upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-Websocket-Key: x\r\n\r\n"

// switching returns a stack that switches to protocol over body.
func switching(protocol string, body io.ReadCloser) mesh.RoundTripFunc {
	return func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Body: body,
			Header: http.Header{
				"Connection": {"Upgrade, X-Hop"}, "Upgrade": {protocol}, "X-Hop": {"1"}, "X-End": {"1"}, "Sec-Websocket-Accept": {"y"},
			},
		}, nil
	}
}

// loopback returns the two ends of a TCP connection.
func loopback(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	a, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func TestUpgrade(t *testing.T) {
	ours, endpoint := loopback(t)
	p := serve(t, "h1", switching("WebSocket", ours))
	conn, r := p.dial(t)
	resp := exchange(t, conn, r, upgrade+"early") // the first bytes come with the head
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "WebSocket" || resp.Header.Get("Connection") != "Upgrade" ||
		resp.Header.Get("X-Hop") != "" || resp.Header.Get("X-End") != "1" || resp.Header.Get("Sec-Websocket-Accept") != "y" ||
		resp.Header.Get("Via") != "1.1 edge-1" {
		t.Fatalf("%d %q", resp.StatusCode, resp.Header)
	}
	expect(t, endpoint, "early")
	send(t, endpoint, "hello")
	expect(t, r, "hello")
	send(t, conn, "later")
	expect(t, endpoint, "later")

	// Half-close passes: the client has said all and still listens.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := endpoint.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the client's end reached the endpoint as %v", err)
	}
	send(t, endpoint, "bye")
	expect(t, r, "bye")
	endpoint.Close()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the endpoint's end reached the client as %v", err)
	}
	if got := await(t, p.ends); got != (mesh.Result{Status: http.StatusSwitchingProtocols, Received: 10, Sent: 8}) {
		t.Errorf("result %+v", got)
	}
}

func send(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestUpgradeEndsBothSides(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(client, endpoint *net.TCPConn, call *mesh.Call)
		want error
	}{
		{"reset by the client", func(c, _ *net.TCPConn, _ *mesh.Call) { _ = c.SetLinger(0); _ = c.Close() }, nil},
		{"reset by the endpoint", func(_, e *net.TCPConn, _ *mesh.Call) { _ = e.SetLinger(0); _ = e.Close() }, nil},
		{"call cancelled", func(_, _ *net.TCPConn, call *mesh.Call) { call.Cancel(errOver) }, errOver},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, endpoint := loopback(t)
			calls := make(chan *mesh.Call, 1)
			p := serve(t, "h1", func(req *http.Request) (*http.Response, error) {
				calls <- mesh.From(req)
				return switching("websocket", ours)(req)
			})
			conn, r := p.dial(t)
			if resp := exchange(t, conn, r, upgrade); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %d", resp.StatusCode)
			}
			tt.end(conn.(*net.TCPConn), endpoint, <-calls)
			if got := await(t, p.ends); got.Status != 101 || !errors.Is(got.Err, tt.want) {
				t.Errorf("result %+v", got)
			}
			if _, err := r.ReadByte(); err == nil {
				t.Error("the client's side is open still")
			}
			if _, err := endpoint.Read(make([]byte, 1)); err == nil {
				t.Error("the endpoint's side is open still")
			}
		})
	}
}

var errOver = errors.New("over")

// duplex is an endpoint's side that has no half-close.
type duplex struct{ net.Conn }

func TestUpgradeWithoutHalfClose(t *testing.T) {
	ours, endpoint := loopback(t)
	p := serve(t, "h1", switching("websocket", duplex{ours}))
	conn, r := p.dial(t)
	exchange(t, conn, r, upgrade)
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := endpoint.Read(make([]byte, 1)); err == nil {
		t.Error("the endpoint was not told")
	}
	if got := await(t, p.ends); got.Status != 101 {
		t.Errorf("result %+v", got)
	}
}

// Once one half has ended, the other may not stand still for ever.
func TestUpgradeHalfStandsStill(t *testing.T) {
	ours, endpoint := loopback(t)
	p := serve(t, "h1", switching("websocket", ours), func(c *bridge.Config) { c.StallTimeout = 20 * time.Millisecond })
	conn, r := p.dial(t)
	exchange(t, conn, r, upgrade)
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := r.ReadByte(); err == nil {
		t.Error("a byte from nowhere")
	}
	await(t, p.ends)
	endpoint.Close()
}

func TestUpgradeGoneWrong(t *testing.T) {
	plain := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tt := range []struct {
		name, message, protocol string
		writable                bool
	}{
		{"unasked", plain, "websocket", true},
		{"not what was asked", upgrade, "chat", true},
		{"not what was let through", upgrade, "h2c", true},
		{"two at once", upgrade, "websocket, chat", true},
		{"none", upgrade, "", true},
		{"no writer", upgrade, "websocket", false},
		{"body not sent", strings.Replace(upgrade, "\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n", 1), "websocket", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, endpoint := loopback(t)
			var body io.ReadCloser = ours
			if !tt.writable {
				body = struct{ io.ReadCloser }{ours}
			}
			p := serve(t, "h1", switching(tt.protocol, body))
			resp := p.raw(t, tt.message)
			if resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.Header.Get("Proxy-Status"), "http_upgrade_failed") {
				t.Errorf("%d %q", resp.StatusCode, resp.Header)
			}
			if got := await(t, p.ends); kindOf(got.Err) != mesh.UnsupportedUpgrade {
				t.Errorf("result %+v", got)
			}
			if _, err := endpoint.Read(make([]byte, 1)); err == nil {
				t.Error("the endpoint's side is open still")
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		ours, _ := loopback(t)
		p := serve(t, "h2c", switching("websocket", ours))
		if resp, _ := p.do(t, request(t, "GET", p.URL, nil)); resp.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

// An endpoint may decline an upgrade, and the connection serves on.
func TestUpgradeDeclined(t *testing.T) {
	p := serve(t, "h1", over)
	conn, r := p.dial(t)
	resp := exchange(t, conn, r, upgrade)
	if got, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(got) != "ok" {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
	again(t, conn, bufio.NewReader(r))
}

// An endpoint may insist on an upgrade, and says which.
func TestUpgradeRequired(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		status        int
		connection    []string
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426, []string{"Upgrade"}},
		{"the client closes", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 426, []string{"Upgrade, close"}},
		{"HTTP/1.0 has no upgrades", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 426, []string{"close"}},
		{"of another status it is no one's", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := serve(t, "h1", func(req *http.Request) (*http.Response, error) {
				resp := reply(req, tt.status, "")
				resp.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket", "foo/2"}}
				return resp, nil
			})
			conn, r := p.dial(t)
			if _, err := io.WriteString(conn, tt.message); err != nil {
				t.Fatal(err)
			}
			head := textproto.NewReader(r) // http.ReadResponse hides a Connection that closes
			status, err := head.ReadLine()
			if err != nil {
				t.Fatal(err)
			}
			header, err := head.ReadMIMEHeader()
			if err != nil {
				t.Fatal(err)
			}
			if got := header["Connection"]; !slices.Equal(got, tt.connection) {
				t.Errorf("Connection %q, want %q", got, tt.connection)
			}
			want := ""
			if strings.Contains(strings.Join(tt.connection, ""), "Upgrade") {
				want = "websocket, foo/2"
			}
			if got := header.Get("Upgrade"); got != want || !strings.Contains(status, strconv.Itoa(tt.status)) {
				t.Errorf("%s, Upgrade %q, want %q", status, got, want)
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		p := serve(t, "h2c", func(req *http.Request) (*http.Response, error) {
			resp := reply(req, http.StatusUpgradeRequired, "")
			resp.Header = http.Header{"Upgrade": {"websocket"}}
			return resp, nil
		})
		if resp, _ := p.do(t, request(t, "GET", p.URL, nil)); resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Upgrade") != "" {
			t.Errorf("status %d, Upgrade %q", resp.StatusCode, resp.Header.Get("Upgrade"))
		}
	})
}
