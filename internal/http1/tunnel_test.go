package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"outrider/internal/mesh"
)

const upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// endpoint returns the two ends of a connection to an endpoint.
func endpoint(t testing.TB) (ours, theirs net.Conn) {
	s, peer := pair(t)
	return s.conn, peer
}

// switching returns a Handler that switches to body, and where the calls' ends go.
func switching(status int, body io.ReadCloser) (answers, chan mesh.Result) {
	ends := make(chan mesh.Result, 1)
	return func(req *http.Request) (*http.Response, error) {
		mesh.From(req).OnEnd(func(r mesh.Result) { ends <- r })
		resp := &http.Response{StatusCode: status, Header: http.Header{"X-End": {"1"}}, Body: body}
		if status == 101 {
			resp.Header["Upgrade"] = []string{"websocket"}
		}
		return resp, nil
	}, ends
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestTunnels(t *testing.T) {
	for _, tt := range []struct {
		request string
		status  int
		head    string
	}{
		{upgrade, 101, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 200, "HTTP/1.1 200 OK\r\nX-End: 1\r\n\r\n"},
	} {
		eachWay(t, func(t *testing.T, way string) {
			ours, theirs := endpoint(t)
			handle, ends := switching(tt.status, ours.(io.ReadWriteCloser))
			h := open(t, way, ServerConfig{Handler: handle})
			k := h.dial(t)
			k.send(tt.request + "early")
			expect(t, k.r, tt.head)
			for tt.status == 101 {
				if line, err := k.r.ReadString('\n'); err != nil || line == "\r\n" {
					break
				}
			}
			expect(t, theirs, "early")
			_, _ = io.WriteString(theirs, "hello")
			expect(t, k.r, "hello")
			k.send("later")
			expect(t, theirs, "later")
			if err := h.Shutdown(t.Context()); err != nil { // does not wait for it
				t.Fatal(err)
			}
			if err := k.Conn.(halfCloser).CloseWrite(); err != nil { // has said all, and still listens
				t.Fatal(err)
			}
			if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatalf("the client's end arrived as %v", err)
			}
			_, _ = io.WriteString(theirs, "bye")
			expect(t, k.r, "bye")
			theirs.Close()
			k.closed()
			if got := <-ends; got != (mesh.Result{Status: tt.status, Received: 10, Sent: 8}) {
				t.Errorf("result %+v", got)
			}
			h.alone()
		})
	}
}

func TestTunnelsEnd(t *testing.T) {
	over := error(&mesh.Fault{Kind: mesh.ResponseTimeout})
	for _, tt := range []struct {
		name string
		end  func(h *house, k *talk, theirs net.Conn, call *mesh.Call)
		want error
	}{
		{"reset by the endpoint", func(_ *house, _ *talk, e net.Conn, _ *mesh.Call) { _ = e.(*net.TCPConn).SetLinger(0); e.Close() }, nil},
		{"call cancelled", func(_ *house, _ *talk, _ net.Conn, c *mesh.Call) { c.Cancel(over) }, over},
		{"deadline", func(_ *house, _ *talk, _ net.Conn, c *mesh.Call) { c.SetDeadline(time.Now(), mesh.AsFault(over)) }, over},
		{"life", func(h *house, _ *talk, _ net.Conn, _ *mesh.Call) { h.cut(over) }, over},
		{"closed", func(h *house, _ *talk, _ net.Conn, _ *mesh.Call) { h.Close() }, context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				ours, theirs := endpoint(t)
				handle, ends := switching(101, ours.(io.ReadWriteCloser))
				calls := make(chan *mesh.Call, 1)
				h := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
					calls <- mesh.From(req)
					return handle(req)
				})})
				k := h.dial(t)
				k.send(upgrade)
				if resp, err := http.ReadResponse(k.r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Fatal(err)
				}
				tt.end(h, k, theirs, <-calls)
				if _, err := k.r.ReadByte(); err == nil {
					t.Error("the client's side goes on")
				}
				if _, err := theirs.Read(make([]byte, 1)); err == nil {
					t.Error("the endpoint's side goes on")
				}
				r := <-ends
				if tt.want == nil && r.Err != nil || tt.name != "closed" && tt.want != nil && !errors.Is(r.Err, tt.want) || r.Err == nil && tt.want != nil {
					t.Errorf("ended with %v", r.Err)
				}
			})
		})
	}
}

// What is no tunnel is not made one.
func TestRefusesToSwitch(t *testing.T) {
	ours, _ := endpoint(t)
	for _, tt := range []struct {
		name, request string
		body          io.ReadCloser
	}{
		{"unasked", get, ours},
		{"no connection", upgrade, io.NopCloser(http.NoBody)},
		{"before the body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n", ours},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				handle, ends := switching(101, tt.body)
				k := open(t, way, ServerConfig{Handler: handle}).dial(t)
				k.send(tt.request)
				k.closed()
				if r := <-ends; r.Status != 0 || mesh.AsFault(r.Err).Kind != mesh.UnsupportedUpgrade {
					t.Errorf("result %+v", r)
				}
			})
		})
	}
}

// An upgrade that is not taken up leaves the connection as it was.
func TestServesOnAfterAnUpgradeThatWasNotTaken(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		k := open(t, way, ServerConfig{Handler: answers(hello)}).dial(t)
		for range 2 {
			k.send(upgrade)
			k.want(200, "GET /ws")
			k.send(get)
			k.want(200, "GET /")
		}
	})
}
