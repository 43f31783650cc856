package outbound_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound"
)

func roots(srv *httptest.Server) func(string) *tls.Config {
	return func(name string) *tls.Config {
		pool := x509.NewCertPool()
		pool.AddCert(srv.Certificate())
		return &tls.Config{RootCAs: pool, ServerName: "example.com"} // httptest's certificate is for this name
	}
}

func TestProtocols(t *testing.T) {
	for _, c := range []struct {
		name, scheme, contentType string
		major                     int
		want                      string
	}{
		{"http", "http", "", 1, "HTTP/1.1"},
		{"http from an HTTP/2 client", "http", "", 2, "HTTP/1.1"},
		{"https", "https", "", 1, "HTTP/2.0"},
		{"h2c", "h2c", "", 1, "HTTP/2.0"},
		{"grpc to https", "https", "application/grpc", 2, "HTTP/2.0"},
		{"grpc-web to http", "http", "application/grpc-web", 2, "HTTP/1.1"},
		{"grpc over HTTP/1.1 to http", "http", "application/grpc", 1, "HTTP/1.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, e := serve(t, c.scheme, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				_, _ = fmt.Fprintf(w, "%s %s", r.Proto, b)
			})
			s := start(t, outbound.Config{TLS: tlsOf(srv)}, e)
			x := send(t, s.RoundTripper(outbound.Override{}), "POST", "/", body("hello"), func(r *http.Request) {
				r.ProtoMajor = c.major
				r.Header.Set("Content-Type", c.contentType)
			})
			if got, want := x.text(), c.want+" hello"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func tlsOf(srv *httptest.Server) func(string) *tls.Config {
	if srv.TLS == nil {
		return nil
	}
	return roots(srv)
}

func TestGRPCToPlainHTTPGoesByH2C(t *testing.T) {
	_, e := serve(t, "h2c", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, r.Proto+r.Header.Get("Te"))
		w.Header().Set("Grpc-Status", "0")
	})
	e.Scheme = "http"
	s := start(t, outbound.Config{Timeout: time.Minute, IdleTimeout: time.Minute}, e)
	x := send(t, s.RoundTripper(outbound.Override{}), "POST", "/pkg.Service/Method", body("x"), func(r *http.Request) {
		r.ProtoMajor = 2
		r.Header.Set("Content-Type", "application/grpc+proto")
		r.Header.Set("Te", "trailers")
	})
	if got := x.text(); got != "HTTP/2.0trailers" {
		t.Errorf("got %q", got)
	}
	if got := x.resp.Trailer.Get("Grpc-Status"); got != "0" {
		t.Errorf("grpc-status %q", got)
	}
	if !x.call.Deadline().IsZero() {
		t.Error("a gRPC stream still has a deadline")
	}
}

func TestWhatTheEndpointSees(t *testing.T) {
	for _, scheme := range []string{"http", "https", "h2c"} {
		for _, c := range []struct{ host, want string }{
			{"", "shop.test"}, {"preserve", "shop.test"}, {"service", "orders.test"}, {"literal.test:81", "literal.test:81"},
		} {
			t.Run(scheme+" "+c.host, func(t *testing.T) {
				srv, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) {
					_, agent := r.Header["User-Agent"]
					_, encoding := r.Header["Accept-Encoding"]
					_, _ = fmt.Fprint(w, r.Host, " ", r.RequestURI, " ", r.Header.Get("X-A"), " ", agent, encoding, r.Close)
				})
				s := start(t, outbound.Config{Host: c.host, TLS: tlsOf(srv)}, e)
				x := send(t, s.RoundTripper(outbound.Override{}), "GET", "/a%2Fb//c?d=e;f", nil, func(r *http.Request) {
					r.Header.Set("X-A", "1")
					r.Close = true // the client's connection ends; ours does not
				})
				if got, want := x.text(), c.want+" /a%2Fb//c?d=e;f 1 false false false"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// TestNoHost: a client of HTTP/1.0 need not send one, and learns no address of ours.
func TestNoHost(t *testing.T) {
	for _, scheme := range []string{"http", "https", "h2c"} {
		for host, want := range map[string]string{
			"": "orders.test", "preserve": "orders.test", "service": "orders.test", "literal.test": "literal.test",
		} {
			t.Run(scheme+" "+host, func(t *testing.T) {
				srv, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
				s := start(t, outbound.Config{Host: host, TLS: tlsOf(srv)}, e)
				x := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil, func(r *http.Request) { r.Host = "" })
				if got := x.text(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

func TestTrailersBothWays(t *testing.T) {
	for _, scheme := range []string{"http", "https", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			srv, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Trailer", "Sum")
				_, _ = io.WriteString(w, "x")
				w.Header().Set("Sum", r.Trailer.Get("Sum"))
			})
			s := start(t, outbound.Config{TLS: tlsOf(srv)}, e)
			trailer := http.Header{"Sum": nil}
			x := send(t, s.RoundTripper(outbound.Override{}), "POST", "/", &trailing{Reader: strings.NewReader("abc"), trailer: trailer},
				func(r *http.Request) { r.Trailer = trailer })
			_ = x.text()
			if got := x.resp.Trailer.Get("Sum"); got != "42" {
				t.Errorf("trailer %q", got)
			}
		})
	}
}

// trailing is a body that fills in the trailer at its end, as net/http's server does.
type trailing struct {
	io.Reader
	trailer http.Header
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.trailer.Set("Sum", "42")
	}
	return n, err
}

func (b *trailing) Close() error { return nil }

func TestUpgrade(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			srv, e := serve(t, scheme, echoUpgrade(t))
			s := start(t, outbound.Config{TLS: tlsOf(srv), Timeout: time.Minute, IdleTimeout: time.Minute}, e)
			x := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil, upgrade)
			if x.err != nil || x.resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(x.resp, x.err)
			}
			tunnel := x.resp.Body.(interface {
				io.ReadWriteCloser
				CloseWrite() error
			})
			if _, err := io.WriteString(tunnel, "ping"); err != nil {
				t.Fatal(err)
			}
			if err := tunnel.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(tunnel); string(got) != "early ping" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestIdleTunnelIsEnded(t *testing.T) {
	_, e := serve(t, "http", echoUpgrade(t))
	s := start(t, outbound.Config{Timeout: time.Minute, IdleTimeout: tiny}, e)
	x := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil, upgrade)
	if x.err != nil {
		t.Fatal(x.err)
	}
	_, err := io.ReadAll(x.resp.Body)
	wantFault(t, err, mesh.IdleTimeout)
}

func upgrade(r *http.Request) {
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
}

// echoUpgrade says "early " with the 101 already, and then what it hears.
func echoUpgrade(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
		_, _ = io.Copy(c, rw)
	}
}

func TestInterimResponses(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			_, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</a.css>")
				w.WriteHeader(http.StatusEarlyHints)
				_, _ = io.Copy(io.Discard, r.Body) // sends 100
				w.WriteHeader(http.StatusNoContent)
			})
			s := start(t, outbound.Config{}, e)
			x := prepare(context.Background(), t, "POST", "/", body("x"))
			x.req.Header.Set("Expect", "100-continue")
			var got []string
			x.call.Interim = func(status int, h http.Header) { got = append(got, fmt.Sprint(status, h["Link"])) }
			x.resp, x.err = s.RoundTripper(outbound.Override{}).RoundTrip(x.req)
			if x.err != nil || x.resp.StatusCode != http.StatusNoContent {
				t.Fatal(x.resp, x.err)
			}
			if len(got) != 1 || got[0] != "103 [</a.css>]" {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestConnectionsAreKept: the second request goes over the first one's connection.
func TestConnectionsAreKept(t *testing.T) {
	for _, scheme := range []string{"http", "https", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			srv, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
			rt := start(t, outbound.Config{TLS: tlsOf(srv)}, e).RoundTripper(outbound.Override{})
			var seen []string
			for range 3 {
				x := send(t, rt, "POST", "/", body("x"))
				seen = append(seen, x.text())
				x.end()
			}
			if seen[0] != seen[1] || seen[1] != seen[2] {
				t.Errorf("connections %v", seen)
			}
		})
	}
}

// TestKeptConnectionThatIsClosed: what a kept connection that turns out to be closed did
// not take is repeated without an attempt's being spent, bodies included.
func TestKeptConnectionThatIsClosed(t *testing.T) {
	var cut atomic.Bool
	e := listen(t, false, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			if string(b) == "second" && !cut.Swap(true) {
				_ = c.Close() // after the request has been written
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
			if string(b) == "second" {
				return
			}
		}
	})
	rt := start(t, outbound.Config{}, e).RoundTripper(outbound.Override{})
	for _, text := range []string{"first", "second"} {
		x := send(t, rt, "GET", "/", body(text))
		if got := x.text(); got != text || len(x.call.Attempts) != 1 {
			t.Errorf("got %q, want %q", got, text)
		}
		x.end()
	}
	if !cut.Load() {
		t.Error("the kept connection was not used")
	}
}
