package bridge_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// seen is what a stack was given.
type seen struct {
	method, uri, host, body string
	length                  int64
	header, trailer         http.Header
	call                    *mesh.Call
}

// kept returns the call of req, which is nobody else's after it: one whose context was
// asked for is not used again.
func kept(req *http.Request) *mesh.Call {
	call := mesh.From(req)
	_ = call.Context()
	return call
}

// record returns a stack that keeps what it sees and says ok.
func record(into *seen) mesh.RoundTripFunc {
	return func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		*into = seen{
			method: req.Method, uri: req.RequestURI, host: req.Host, body: string(body), length: req.ContentLength,
			header: req.Header.Clone(), trailer: req.Trailer.Clone(), call: kept(req),
		}
		return reply(req, http.StatusOK, "ok"), nil
	}
}

func TestRequestReachesStack(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		var got seen
		p := serve(t, proto, record(&got))
		req := request(t, "POST", p.URL+"/a?b=c", strings.NewReader("hello"))
		req.Host = "orders"
		req.Header.Set("X-One", "1")
		resp, body := p.do(t, req)
		if resp.StatusCode != http.StatusOK || body != "ok" {
			t.Fatalf("%d %q", resp.StatusCode, body)
		}
		if got.method != "POST" || got.host != "orders" || got.body != "hello" || got.length != 5 || got.uri != "" || got.header.Get("X-One") != "1" {
			t.Errorf("stack saw %+v", got)
		}
		if c := got.call; c.Start.IsZero() || !c.Peer.Addr().IsLoopback() || c.Secure != (proto == "h2") || c.Source != "" || c.Interim == nil {
			t.Errorf("call: start %v, peer %v, secure %v, source %q", c.Start, c.Peer, c.Secure, c.Source)
		}
		want := map[string]string{"h1": "1.1 edge-1", "h2c": "2.0 edge-1", "h2": "2.0 edge-1"}[proto]
		if v := got.header.Get("Via"); v != want {
			t.Errorf("Via %q, want %q", v, want)
		}
		r := await(t, p.ends)
		if r != (mesh.Result{Status: http.StatusOK, Received: 5, Sent: 2}) {
			t.Errorf("result %+v", r)
		}
	})
}

func TestEmptyBodyIsNoBody(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		bodies := make(chan io.ReadCloser, 1)
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			bodies <- req.Body
			return over(req)
		})
		p.do(t, request(t, "GET", p.URL, nil))
		if b := await(t, bodies); b != http.NoBody {
			t.Errorf("body is %T", b)
		}
	})
}

func TestHopByHopFieldsOfRequest(t *testing.T) {
	tests := []struct {
		name, fields string
		gone         []string
		kept         []string
	}{
		{"plain", "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nProxy-Connection: 1\r\nProxy-Authorization: 1\r\nX-End: 1\r\n",
			[]string{"Connection", "X-Hop", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization"}, []string{"X-End"}},
		{"several lines", "Connection: x-a\r\nConnection: , x-b ,\r\nX-A: 1\r\nX-B: 1\r\n", []string{"X-A", "X-B", "Connection"}, nil},
		{"protected", "Connection: X-Forwarded-For, Authorization, content-type, Host, Via, x-user-id, x_user_id, Content-Length, Cookie\r\n" +
			"X-Forwarded-For: 1.2.3.4\r\nAuthorization: x\r\nContent-Type: a/b\r\nX-User-Id: 7\r\nCookie: a=b\r\n",
			[]string{"Connection"}, []string{"X-Forwarded-For", "Authorization", "Content-Type", "X-User-Id", "Via", "Cookie"}},
		{"te", "Connection: TE\r\nTE: gzip, trailers;q=1\r\n", []string{"Connection"}, []string{"Te"}},
		{"te without trailers", "Connection: TE\r\nTE: gzip\r\n", []string{"Connection", "Te"}, nil},
		{"upgrade without connection", "Upgrade: websocket\r\n", []string{"Upgrade", "Connection"}, nil},
		{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
			[]string{"Upgrade", "Connection", "Http2-Settings"}, nil},
		{"upgrade", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket, h2c, HTTP/2.0, TLS/1.2\r\n", nil, []string{"Upgrade", "Connection"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got seen
			p := serve(t, "h1", record(&got), func(c *bridge.Config) { c.Protected = []string{"X-User-*"} })
			p.raw(t, "GET / HTTP/1.1\r\nHost: a\r\n"+tt.fields+"\r\n")
			await(t, p.ends)
			for _, name := range tt.gone {
				if v, ok := got.header[name]; ok {
					t.Errorf("%s: %q is still there", name, v)
				}
			}
			for _, name := range tt.kept {
				if _, ok := got.header[name]; !ok {
					t.Errorf("%s is gone", name)
				}
			}
			if v := got.header.Get("Te"); v != "" && v != "trailers" {
				t.Errorf("TE %q", v)
			}
			if v := got.header.Get("Upgrade"); v != "" && v != "websocket" {
				t.Errorf("Upgrade %q", v)
			}
		})
	}
	t.Run("upgrade over 1.0", func(t *testing.T) {
		var got seen
		p := serve(t, "h1", record(&got))
		p.raw(t, "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		await(t, p.ends)
		if got.header.Get("Upgrade") != "" || got.call.Interim != nil {
			t.Errorf("HTTP/1.0 got Upgrade %q, Interim set: %v", got.header.Get("Upgrade"), got.call.Interim != nil)
		}
		if v := got.header.Get("Via"); v != "1.0 edge-1" {
			t.Errorf("Via %q", v)
		}
	})
}

func TestRefusedBeforeStack(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		for _, tt := range []struct {
			name   string
			change func(*http.Request)
			want   mesh.Kind
		}{
			{"connect", func(r *http.Request) { r.Method = "CONNECT"; r.URL.Path = "" }, mesh.MethodNotAllowed},
			{"malformed", func(r *http.Request) { r.Host = "a,b" }, mesh.Malformed},
			{"loop", func(r *http.Request) { r.Header.Set("Via", "1.0 other, 1.1\tEDGE-1 (a comment)") }, mesh.Loop},
		} {
			t.Run(tt.name, func(t *testing.T) {
				refused := make(chan mesh.Kind, 1)
				calls := make(chan *mesh.Call, 1)
				ended := make(chan mesh.Result, 1)
				p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
					t.Error("the stack was asked")
					return over(req)
				}, func(c *bridge.Config) {
					c.Refused = func(req *http.Request, f *mesh.Fault) {
						mesh.From(req).OnEnd(func(r mesh.Result) { ended <- r })
						calls <- kept(req)
						refused <- f.Kind
					}
				})
				req := request(t, "GET", p.URL, nil)
				tt.change(req)
				resp, err := p.client(t).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != tt.want.Status() {
					t.Errorf("status %d, want %d", resp.StatusCode, tt.want.Status())
				}
				if k := await(t, refused); k != tt.want {
					t.Errorf("refused as %v", k)
				}
				if c := await(t, calls); c.ID == "" || c.ID != resp.Header.Get("X-Request-Id") || !c.Client.IsLoopback() || c.Trusted {
					t.Errorf("id %q, the answer's %q, client %v, trusted %v", c.ID, resp.Header.Get("X-Request-Id"), c.Client, c.Trusted)
				}
				if allowed := resp.Header.Get("Allow"); (allowed == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS") != (tt.want == mesh.MethodNotAllowed) {
					t.Errorf("Allow %q", allowed)
				}
				if r := await(t, ended); r.Status != tt.want.Status() || kindOf(r.Err) != tt.want {
					t.Errorf("result %+v", r)
				}
			})
		}
	})
}

// Another's name in Via is no loop, however close.
func TestOtherVias(t *testing.T) {
	var got seen
	p := serve(t, "h1", record(&got))
	req := request(t, "GET", p.URL, nil)
	req.Header["Via"] = []string{"1.1 edge-11, 1.1 x-edge-1", "1.1 other (edge-1)"}
	if resp, _ := p.do(t, req); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	want := []string{"1.1 edge-11, 1.1 x-edge-1", "1.1 other (edge-1)", "1.1 edge-1"}
	if v := got.header["Via"]; !slices.Equal(v, want) {
		t.Errorf("Via %q", v)
	}
}

func TestRequestTrailers(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		var got seen
		p := serve(t, proto, record(&got))
		req := request(t, "POST", p.URL, io.NopCloser(strings.NewReader("hello")))
		req.Trailer = http.Header{"X-Sum": nil, "X-Other": nil}
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("hello"), readerFunc(func([]byte) (int, error) {
			req.Trailer.Set("X-Sum", "5")
			return 0, io.EOF
		})))
		p.do(t, req)
		if v := got.trailer.Get("X-Sum"); v != "5" {
			t.Errorf("trailer %q in %q", v, got.trailer)
		}
	})
	t.Run("forbidden", func(t *testing.T) {
		var got seen
		p := serve(t, "h1", record(&got))
		p.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Authorization\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\nAuthorization: x\r\nConnection: y\r\n\r\n")
		await(t, p.ends)
		if len(got.trailer) != 1 || got.trailer.Get("X-Sum") != "5" {
			t.Errorf("trailers %q", got.trailer)
		}
	})
}

func TestPanics(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		var log bytes.Buffer
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			switch req.URL.Path {
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/body":
				resp := reply(req, http.StatusOK, "")
				resp.ContentLength, resp.Body = -1, io.NopCloser(readerFunc(func([]byte) (int, error) { panic("in a body") }))
				return resp, nil
			case "/nothing":
				return nil, nil
			}
			panic("in a layer")
		}, func(c *bridge.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })

		resp, body := p.do(t, request(t, "GET", p.URL, nil))
		if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(body, `"code":"internal"`) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if r := await(t, p.ends); r.Status != 500 || kindOf(r.Err) != mesh.Internal {
			t.Errorf("result %+v", r)
		}
		if !strings.Contains(log.String(), "in a layer") || !strings.Contains(log.String(), "request_test.go") {
			t.Errorf("log %q", log.String())
		}

		resp, _ = p.do(t, request(t, "GET", p.URL+"/nothing", nil))
		if r := await(t, p.ends); resp.StatusCode != http.StatusInternalServerError || kindOf(r.Err) != mesh.Internal {
			t.Errorf("neither response nor error: %d, %+v", resp.StatusCode, r)
		}

		if resp, err := p.client(t).Do(request(t, "GET", p.URL+"/abort", nil)); err == nil {
			resp.Body.Close()
			t.Errorf("ErrAbortHandler was answered with %d", resp.StatusCode)
		}
		if r := await(t, p.ends); r.Status != 0 || !errors.Is(r.Err, http.ErrAbortHandler) {
			t.Errorf("result %+v", r)
		}

		broken, err := p.client(t).Do(request(t, "GET", p.URL+"/body", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer broken.Body.Close()
		if _, err := io.ReadAll(broken.Body); err == nil {
			t.Error("a body that panicked ended cleanly")
		}
		if r := await(t, p.ends); r.Status != 200 || kindOf(r.Err) != mesh.Internal {
			t.Errorf("result %+v", r)
		}
	})
}

func TestNewWithoutStack(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a Handler without a stack was made")
		}
	}()
	bridge.New(bridge.Config{})
}
