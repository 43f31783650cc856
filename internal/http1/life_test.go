package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// eventually waits until what it is told holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("never: %s", what)
		}
		runtime.Gosched()
	}
}

// blocking returns a Handler that says when a request has come, and answers when told.
func blocking() (handle answers, come chan *mesh.Call, answer chan struct{}) {
	come, answer = make(chan *mesh.Call, 1), make(chan struct{})
	return func(req *http.Request) (*http.Response, error) {
		come <- mesh.From(req)
		<-answer
		return hello(req)
	}, come, answer
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func TestDrains(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		handle, come, answer := blocking()
		h := open(t, way, ServerConfig{Handler: handle})
		fresh, used, busy := h.dial(t), h.dial(t), h.dial(t)
		if way == "tls" {
			fresh.send("") // shakes hands
		}
		used.send(get)
		<-come
		answer <- struct{}{}
		used.want(200, "GET /")
		busy.send(get)
		<-come
		h.Drain()
		used.closed()
		short, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		cancel(stop)
		if err := h.Shutdown(short); !errors.Is(err, stop) {
			t.Errorf("Shutdown beside a request: %v", err)
		}
		done := make(chan error)
		go func() { done <- h.Shutdown(t.Context()) }()
		answer <- struct{}{}
		if resp := busy.want(200, "GET /"); !resp.Close {
			t.Error("the connection is to go on")
		}
		busy.closed()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		late := h.dial(t) // nobody serves it
		if _, err := late.r.ReadByte(); err == nil {
			t.Error("it is served")
		}
	})
}

// waiter is one who waits for an endpoint.
type waiter chan struct{}

func (w waiter) Interrupt() { close(w) }

// The call's end reaches who waits for an endpoint, with its reason, and the client has
// an answer where it is there to read it.
func TestCallsEndEarly(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(h *house, k *talk)
		want mesh.Kind
		last bool // the client hears of it
	}{
		{"life", func(h *house, _ *talk) { h.cut(&mesh.Fault{Kind: mesh.Shed}) }, mesh.Shed, true},
		{"life, for no given reason", func(h *house, _ *talk) { h.cut(nil) }, mesh.Draining, true},
		{"closed", func(h *house, _ *talk) { h.Close() }, mesh.Draining, false},
		{"client gone", func(_ *house, k *talk) { k.Close() }, mesh.ClientGone, false},
		{"client's half gone", func(_ *house, k *talk) { _ = k.Conn.(halfCloser).CloseWrite() }, mesh.ClientGone, true},
		{"client reset", func(_ *house, k *talk) { _ = k.Conn.(interface{ SetLinger(int) error }).SetLinger(0); k.Close() }, mesh.ClientGone, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				byClient := strings.HasPrefix(tt.name, "client")
				if byClient && way == "plain" || way == "tls" && strings.HasSuffix(tt.name, "half gone") || way == "tls" && tt.name == "client reset" {
					return // nothing is known there but by reading
				}
				come, ends := make(chan struct{}), make(chan mesh.Result, 1)
				h := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
					call := mesh.From(req)
					call.OnEnd(func(r mesh.Result) { ends <- r })
					w := make(waiter)
					if err := call.Attend(w); err != nil {
						t.Errorf("ended before it began: %v", err)
					}
					close(come)
					<-w
					call.Dismiss()
					fault := mesh.AsFault(call.Cause())
					return text(fault.Kind.Status(), ""), fault
				})})
				k := h.dial(t)
				k.send(get)
				<-come
				tt.end(h, k)
				if tt.last {
					if resp := k.want(tt.want.Status(), ""); strings.HasPrefix(tt.name, "life") && !resp.Close {
						t.Error("the connection is to go on")
					}
				}
				var fault *mesh.Fault
				if r := <-ends; !errors.As(r.Err, &fault) || fault.Kind != tt.want {
					t.Errorf("ended with %v, want %v", r.Err, tt.want)
				}
			})
		})
	}
}

// An idle connection ends with its life.
func TestIdleConnectionsEndWithTheirLife(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		h := open(t, way, ServerConfig{Handler: answers(hello)})
		k := h.dial(t)
		k.send(get)
		k.want(200, "GET /")
		h.cut(nil)
		k.closed()
	})
}

// A context of a call outlasts nothing: the next request has a call of its own.
func TestCallsWithAContextAreNotUsedAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		type seen struct {
			req  *http.Request
			call *mesh.Call
			ctx  context.Context
		}
		all := make(chan seen, 3)
		k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
			s := seen{req: req, call: mesh.From(req)}
			if req.URL.Path == "/context" {
				s.ctx = s.call.Context()
			}
			all <- s
			return hello(req)
		})}).dial(t)
		for _, path := range []string{"/", "/context", "/"} {
			k.send("GET " + path + " HTTP/1.1\r\nHost: a\r\nX: " + path + "\r\n\r\n")
			k.want(200, "GET "+path)
		}
		_, second, third := <-all, <-all, <-all
		if second.ctx.Err() == nil || second.call == third.call || second.req == third.req ||
			second.req.Header.Get("X") != "/context" || second.req.URL.Path != "/context" {
			t.Error("the call whose context is known was used again")
		}
	})
}

func TestPanicsCutTheConnection(t *testing.T) {
	for _, tt := range []struct {
		value any
		logs  bool
	}{{"by mistake", true}, {http.ErrAbortHandler, false}} {
		eachWay(t, func(t *testing.T, way string) {
			var log bytes.Buffer
			ends := make(chan mesh.Result, 1)
			h := open(t, way, ServerConfig{Log: slog.New(slog.NewTextHandler(&log, nil)), Handler: answers(func(req *http.Request) (*http.Response, error) {
				mesh.From(req).OnEnd(func(r mesh.Result) { ends <- r })
				panic(tt.value)
			})})
			k := h.dial(t)
			k.send(get)
			k.closed()
			if r := <-ends; mesh.AsFault(r.Err).Kind != mesh.Internal || r.Status != 0 {
				t.Errorf("result %+v", r)
			}
			h.alone()
			if strings.Contains(log.String(), "by mistake") != tt.logs {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}

// An idle connection holds no buffer, nor anything else that a request needs.
func TestIdleConnectionsHoldNothing(t *testing.T) {
	for _, way := range []string{"raw", "plain"} {
		t.Run(way, func(t *testing.T) {
			h := open(t, way, ServerConfig{Handler: answers(hello)})
			const many = 500
			for range many {
				k := h.dial(t)
				k.send(get)
				k.want(200, "GET /")
			}
			eventually(t, "no work is out", func() bool { return h.taken.Load() == 0 })
			h.mu.Lock()
			n := len(h.clients)
			h.mu.Unlock()
			if n != many {
				t.Errorf("%d clients, want %d", n, many)
			}
		})
	}
}

// A client that closes right after its request is not waited for.
func TestSeesAnEndThatCameWithTheRequest(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		handle, come, answer := blocking()
		h := open(t, way, ServerConfig{Handler: handle, IdleTimeout: -1, ReadHeaderTimeout: -1})
		k := h.dial(t)
		k.send(get)
		<-come
		if err := k.Conn.(halfCloser).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer <- struct{}{}
		k.want(200, "GET /")
		k.closed()
		h.alone()
	})
}

func TestHandsHTTP2Over(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		const rest = "SM\r\n\r\nframes"
		got := make(chan string, 1)
		h := open(t, way, ServerConfig{Handler: answers(hello), HTTP2: func(c net.Conn) {
			defer c.Close()
			b, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			got <- string(b)
		}})
		k := h.dial(t)
		k.send(string(preface[:5]))
		k.send(string(preface[5:]) + rest)
		if err := k.Conn.(halfCloser).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != string(preface)+rest {
			t.Errorf("got %q", s)
		}
		k = h.dial(t)
		k.send(get + string(preface) + rest) // too late
		k.want(200, "GET /")
		k.response("GET")
		k.closed()
	})
	k := open(t, "raw", ServerConfig{Handler: answers(hello)}).dial(t)
	k.send(string(preface))
	k.response("GET")
	k.closed()
}

// A request that has come as its life ends is cancelled, too.
func TestCallsThatBeginAfterTheirLife(t *testing.T) {
	s, _ := pair(t)
	life, cut := context.WithCancelCause(t.Context())
	cut(&mesh.Fault{Kind: mesh.Shed})
	c := newClient(life, NewServer(ServerConfig{Handler: answers(hello)}), s.conn)
	c.state.Store(busy)
	c.perish()
	call := mesh.NewCall(c)
	call.Renew(c)
	c.enterStack(call)
	if mesh.AsFault(call.Cause()).Kind != mesh.Shed || !c.ending() {
		t.Errorf("the call goes on, or the connection: %v", call.Cause())
	}
}

// A 1xx that comes too late is not written into the final response.
func TestLateInterimResponsesAreDropped(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
			resp := text(200, "hello")
			resp.Body = io.NopCloser(late1xx{resp.Body, mesh.From(req)})
			return resp, nil
		})}).dial(t)
		for range 2 {
			k.send(get)
			k.want(200, "hello")
		}
	})
}

// late1xx is a body that sends a 1xx response.
type late1xx struct {
	io.Reader
	call *mesh.Call
}

func (b late1xx) Read(p []byte) (int, error) {
	b.call.Interim(103, nil)
	return b.Reader.Read(p)
}
