package identity_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/identity"
	"outrider/internal/identity/identitytest"
)

// tcp returns both ends of a connection.
func tcp(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestSplitTellsTLS(t *testing.T) {
	for _, tt := range []struct {
		sent   string
		secure bool
	}{
		{"\x16\x03\x01\x02\x00", true},
		{"\x16", true},
		{"GET / HTTP/1.1\r\n", false},
		{"PRI * HTTP/2.0\r\n", false},
		{"\r\n", false},
		{"\x00", false},
		{"\x80\x2e\x01", false}, // SSL 2
		{"\x15\x03\x01", false}, // an alert begins nothing
	} {
		for name, ends := range map[string]func() (net.Conn, net.Conn){
			"tcp":  func() (net.Conn, net.Conn) { return tcp(t) },
			"pipe": net.Pipe,
		} {
			client, server := ends()
			var writing sync.WaitGroup
			writing.Go(func() {
				_, _ = io.WriteString(client, tt.sent)
				client.Close()
			})
			secure, replay, err := identity.Split(t.Context(), server, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(replay)
			if secure != tt.secure || string(got) != tt.sent || err != nil {
				t.Errorf("%s: %q: TLS %v, then %q, %v", name, tt.sent, secure, got, err)
			}
			replay.Close()
			writing.Wait()
		}
	}
}

// What a TCP connection can besides stays within reach, also inside the caller's own
// type, whose Close is called.
func TestSplitKeepsTCP(t *testing.T) {
	client, server := tcp(t)
	wrapped := &counted{TCPConn: server}
	if _, err := io.WriteString(client, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, replay, err := identity.Split(t.Context(), wrapped, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	n, err := replay.(io.WriterTo).WriteTo(&got)
	if n != 5 || err != nil || got.String() != "hello" {
		t.Errorf("WriteTo: %d, %v, %q", n, err, got.String())
	}
	if _, err := replay.(io.ReaderFrom).ReadFrom(strings.NewReader("bye")); err != nil {
		t.Error(err)
	}
	if err := replay.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if answer, err := io.ReadAll(client); string(answer) != "bye" || err != nil {
		t.Errorf("the client read %q, %v", answer, err)
	}
	if replay.Close(); wrapped.closed != 1 {
		t.Errorf("Close was passed on %d times", wrapped.closed)
	}

	pipe, far := net.Pipe()
	go func() { _, _ = far.Write([]byte("x")); far.Close() }()
	_, replay, err = identity.Split(t.Context(), pipe, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := replay.(io.ReaderFrom); ok {
		t.Error("a pipe claims what it cannot")
	}
	replay.Close()
}

// counted is what a door makes of a connection.
type counted struct {
	*net.TCPConn
	closed int
}

func (c *counted) Close() error { c.closed++; return c.TCPConn.Close() }

// A client that sends nothing is waited for no longer than allowed; one that sends
// its first byte in time has no deadline from then on.
func TestSplitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		silent, server := net.Pipe()
		_, replay, err := identity.Split(t.Context(), server, 10*time.Second)
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != 10*time.Second || replay != nil {
			t.Errorf("%v after %v", err, took)
		}
		if _, err := silent.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection is open still: %v", err)
		}

		slow, server := net.Pipe()
		go func() {
			<-time.After(9 * time.Second) // of the bubble's time
			_, _ = slow.Write([]byte("G"))
			<-time.After(time.Hour)
			_, _ = slow.Write([]byte("ET"))
			slow.Close()
		}()
		_, replay, err = identity.Split(t.Context(), server, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(replay); string(got) != "GET" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

func TestSplitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := errors.New("the door is closing")
		ctx, cancel := context.WithCancelCause(t.Context())
		silent, server := net.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, _, err := identity.Split(ctx, server, 0)
			ended <- err
		}()
		synctest.Wait()
		cancel(stopping)
		if err := <-ended; !errors.Is(err, stopping) {
			t.Errorf("got %v", err)
		}
		if _, err := silent.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection is open still: %v", err)
		}
	})
	client, server := net.Pipe()
	client.Close()
	if _, _, err := identity.Split(t.Context(), server, time.Minute); !errors.Is(err, io.EOF) {
		t.Errorf("a client that left: %v", err)
	}
}

// hall is a listener that others feed.
type hall struct {
	net.Listener
	conns chan net.Conn
}

func (h hall) Accept() (net.Conn, error) {
	if c, ok := <-h.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (h hall) Close() error { return nil }

// TestOnePortServesBoth is how permissive works: whoever accepts splits, and two
// servers serve, of which one speaks TLS.
func TestOnePortServesBoth(t *testing.T) {
	ca := identitytest.NewCA(t)
	orders, users := member(t, ca, spiffe("orders")), member(t, ca, spiffe("users"))
	address := serveBoth(t, orders)
	for _, tt := range []struct {
		name, scheme string
		protocols    func(*http.Protocols)
		mesh         *identity.Mesh
		want         string
	}{
		{"TLS, HTTP/2", "https", func(p *http.Protocols) { p.SetHTTP2(true) }, users, "HTTP/2.0 " + string(users.ID())},
		{"TLS, HTTP/1.1", "https", func(p *http.Protocols) { p.SetHTTP1(true) }, users, "HTTP/1.1 " + string(users.ID())},
		{"plain HTTP/1.1", "http", func(p *http.Protocols) { p.SetHTTP1(true) }, nil, "HTTP/1.1 "},
		{"plain HTTP/2", "http", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, nil, "HTTP/2.0 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transport := &http.Transport{Protocols: new(http.Protocols)}
			tt.protocols(transport.Protocols)
			if tt.mesh != nil {
				transport.TLSClientConfig = tt.mesh.ClientTLS("orders")
			}
			defer transport.CloseIdleConnections()
			for range 2 { // the second on the same connection
				resp, err := (&http.Client{Transport: transport}).Post(tt.scheme+"://"+address, "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(body) != tt.want+" hello" || err != nil {
					t.Errorf("got %q, %v; want %q", body, err, tt.want+" hello")
				}
			}
		})
	}
	t.Run("a stranger", func(t *testing.T) {
		stranger := member(t, identitytest.NewCA(t), spiffe("users"))
		transport := &http.Transport{TLSClientConfig: stranger.ClientTLS("orders")}
		defer transport.CloseIdleConnections()
		if resp, err := (&http.Client{Transport: transport}).Get("https://" + address); err == nil {
			resp.Body.Close()
			t.Error("was served")
		}
	})
}

// serveBoth serves with and without TLS on one port, whose address it returns.
func serveBoth(t *testing.T, m *identity.Mesh) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+string(identity.Peer(r.TLS))+" ")
		_, _ = io.Copy(w, r.Body)
	})
	var running, splitting sync.WaitGroup
	rooms := map[bool]hall{}
	var servers []*http.Server
	for _, secure := range []bool{false, true} {
		server := &http.Server{Handler: handler, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetHTTP2(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		room := hall{ln, make(chan net.Conn)}
		rooms[secure], servers = room, append(servers, server)
		running.Go(func() {
			if secure {
				server.TLSConfig = m.ServerTLS()
				_ = server.ServeTLS(room, "", "")
				return
			}
			_ = server.Serve(room)
		})
	}
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			splitting.Go(func() {
				if secure, c, err := identity.Split(ctx, c, time.Minute); err == nil {
					rooms[secure].conns <- c
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		cancel()
		splitting.Wait()
		for _, r := range rooms {
			close(r.conns) // Server.Close waits for Accept
		}
		for _, s := range servers {
			_ = s.Close()
		}
		running.Wait()
	})
	return ln.Addr().String()
}
