package outbound_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound"
)

// TestFaults produces each kind of failure for real.
func TestFaults(t *testing.T) {
	refused := endpoint("http", closedPort(t))
	silent := listen(t, false, func(net.Conn) {})
	silent.Scheme = "https"
	_, plain := serve(t, "http", func(http.ResponseWriter, *http.Request) {})
	plain.Scheme = "https"
	foreign, cert := serve(t, "https", func(http.ResponseWriter, *http.Request) {})
	foreign.Config.ErrorLog = discard()
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	_, slow := serve(t, "http", hang)
	_, slow2 := serve(t, "h2c", hang)
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	_, cut := serve(t, "http", abort)
	_, cut2 := serve(t, "h2c", abort)
	write := func(s string) mesh.Endpoint {
		return listen(t, true, func(c net.Conn) { _, _ = io.WriteString(c, s) })
	}
	reset := listen(t, true, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
	half := listen(t, true, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ")
		_ = c.Close()
	})
	notH2 := write("HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat("x", 100))
	notH2.Scheme = "h2c"
	huge := write("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 300<<10))
	wrongName := func(string) *tls.Config { c := roots(foreign)(""); c.ServerName = "other.test"; return c }

	for _, c := range []struct {
		name      string
		cfg       outbound.Config
		endpoint  mesh.Endpoint
		method    string
		want      mesh.Kind
		retryable bool
	}{
		{"refused", outbound.Config{}, refused, "POST", mesh.Refused, true},
		{"connect timeout", outbound.Config{ConnectTimeout: 1}, plain, "POST", mesh.ConnectTimeout, true},
		{"handshake timeout", outbound.Config{ConnectTimeout: tiny}, silent, "POST", mesh.ConnectTimeout, true},
		{"unreachable", outbound.Config{}, endpoint("http", "127.0.0.1:99999"), "POST", mesh.Unreachable, true},
		{"tls to plain", outbound.Config{}, plain, "POST", mesh.TLSFailed, true},
		{"unknown authority", outbound.Config{}, cert, "POST", mesh.TLSCertificate, true},
		{"wrong name", outbound.Config{TLS: wrongName}, cert, "POST", mesh.TLSCertificate, true},
		{"reset", outbound.Config{}, reset, "GET", mesh.Reset, true},
		{"reset, not idempotent", outbound.Config{}, reset, "POST", mesh.Reset, false},
		{"closed", outbound.Config{}, cut, "GET", mesh.Reset, true},
		{"stream reset", outbound.Config{}, cut2, "GET", mesh.Reset, true},
		{"half a head", outbound.Config{}, half, "GET", mesh.Reset, true},
		{"response timeout", outbound.Config{Timeout: tiny}, slow, "GET", mesh.ResponseTimeout, false},
		{"response timeout, HTTP/2", outbound.Config{Timeout: tiny}, slow2, "GET", mesh.ResponseTimeout, false},
		{"per-try timeout", outbound.Config{PerTryTimeout: tiny}, slow, "GET", mesh.PerTryTimeout, true},
		{"per-try timeout, HTTP/2", outbound.Config{PerTryTimeout: tiny}, slow2, "POST", mesh.PerTryTimeout, false},
		{"garbage", outbound.Config{}, write("hello\r\n\r\n"), "GET", mesh.BadResponse, true},
		{"two lengths", outbound.Config{}, write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), "GET", mesh.BadResponse, true},
		{"not HTTP/2", outbound.Config{}, notH2, "GET", mesh.BadResponse, true},
		{"endless 1xx", outbound.Config{}, write(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100)), "GET", mesh.BadResponse, true},
		{"large head", outbound.Config{}, huge, "GET", mesh.ResponseTooLarge, true},
		{"no endpoints", outbound.Config{}, mesh.Endpoint{ID: "ill", Unhealthy: true}, "GET", mesh.NoEndpoints, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.cfg, c.endpoint)
			x := send(t, s.RoundTripper(outbound.Override{}), c.method, "/", nil)
			f := x.want(c.want)
			if f.Retryable != c.retryable {
				t.Errorf("Retryable %v, want %v", f.Retryable, c.retryable)
			}
			if c.want != mesh.NoEndpoints && f.Endpoint != c.endpoint.Address {
				t.Errorf("Endpoint %q, want %q", f.Endpoint, c.endpoint.Address)
			}
			if len(x.call.Attempts) != 1 || x.call.Attempts[0].Err == nil {
				t.Errorf("Attempts %+v", x.call.Attempts)
			}
		})
	}
}

// TestFaultsOfTheBody are those that come after a good head.
func TestFaultsOfTheBody(t *testing.T) {
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
	part := func(w http.ResponseWriter, contentType string) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, "part")
		flush(w)
	}
	for _, scheme := range []string{"http", "h2c"} {
		for _, c := range []struct {
			name string
			cfg  outbound.Config
			h    http.HandlerFunc
			want mesh.Kind
		}{
			{"cut", outbound.Config{}, func(w http.ResponseWriter, r *http.Request) {
				part(w, "text/plain")
				panic(http.ErrAbortHandler)
			}, mesh.Reset},
			{"deadline", outbound.Config{Timeout: tiny, IdleTimeout: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
				part(w, "text/plain")
				<-r.Context().Done()
			}, mesh.ResponseTimeout},
			{"event stream stands still", outbound.Config{Timeout: time.Minute, IdleTimeout: tiny}, func(w http.ResponseWriter, r *http.Request) {
				part(w, "Text/Event-Stream; charset=utf-8")
				<-r.Context().Done()
			}, mesh.IdleTimeout},
			{"no timeout, stands still", outbound.Config{IdleTimeout: tiny}, func(w http.ResponseWriter, r *http.Request) {
				part(w, "text/plain")
				<-r.Context().Done()
			}, mesh.IdleTimeout},
		} {
			t.Run(scheme+" "+c.name, func(t *testing.T) {
				_, e := serve(t, scheme, c.h)
				x := send(t, start(t, c.cfg, e).RoundTripper(outbound.Override{}), "GET", "/", nil)
				if x.err != nil {
					t.Fatal(x.err)
				}
				got, err := io.ReadAll(x.resp.Body)
				if string(got) != "part" {
					t.Errorf("got %q", got)
				}
				wantFault(t, err, c.want)
			})
		}
	}
	t.Run("bad chunk", func(t *testing.T) {
		e := listen(t, true, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
		})
		x := send(t, start(t, outbound.Config{}, e).RoundTripper(outbound.Override{}), "GET", "/", nil)
		_, err := io.ReadAll(x.resp.Body)
		wantFault(t, err, mesh.BadResponse)
	})
}

// failingBody fails as a server's body does.
type failingBody struct{ err error }

func (b failingBody) Read([]byte) (int, error) { return 0, b.err }
func (b failingBody) Close() error             { return nil }

func TestTheClientsOwnFailureWins(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		for _, c := range []struct {
			name string
			err  error
			want mesh.Kind
		}{
			{"too large", &mesh.Fault{Kind: mesh.BodyTooLarge}, mesh.BodyTooLarge},
			{"too slow", fmt.Errorf("read: %w", &mesh.Fault{Kind: mesh.RequestTimeout}), mesh.RequestTimeout},
			{"gone", io.ErrUnexpectedEOF, mesh.ClientGone},
		} {
			t.Run(scheme+" "+c.name, func(t *testing.T) {
				_, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						t.Error("the endpoint got a whole body")
					}
				})
				s := start(t, outbound.Config{Retry: outbound.Retry{Attempts: 3, On: []string{"connect", "reset"}, Budget: always}}, e)
				x := send(t, s.RoundTripper(outbound.Override{}), "PUT", "/", failingBody{c.err})
				x.want(c.want)
				if len(x.call.Attempts) != 1 {
					t.Errorf("%d attempts", len(x.call.Attempts))
				}
			})
		}
	}
}

func TestTheCallsCauseWins(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		for _, c := range []struct {
			name string
			end  func(*mesh.Call, context.CancelFunc)
			want mesh.Kind
		}{
			{"cancelled", func(c *mesh.Call, _ context.CancelFunc) { c.Cancel(&mesh.Fault{Kind: mesh.Draining}) }, mesh.Draining},
			{"connection ended", func(_ *mesh.Call, cancel context.CancelFunc) { cancel() }, mesh.ClientGone},
		} {
			t.Run(scheme+" "+c.name, func(t *testing.T) {
				arrived := make(chan struct{})
				_, e := serve(t, scheme, func(_ http.ResponseWriter, r *http.Request) {
					close(arrived)
					<-r.Context().Done()
				})
				rt := start(t, outbound.Config{}, e).RoundTripper(outbound.Override{})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				x := prepare(ctx, t, "GET", "/", nil)
				go func() {
					<-arrived
					c.end(x.call, cancel)
				}()
				_, x.err = rt.RoundTrip(x.req)
				x.want(c.want)
			})
		}
	}
}

func TestFaultWrapsItsCause(t *testing.T) {
	s := start(t, outbound.Config{}, endpoint("http", closedPort(t)))
	x := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil)
	var op *net.OpError
	if !errors.As(x.err, &op) {
		t.Errorf("no cause in %v", x.err)
	}
}
