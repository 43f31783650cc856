package integration_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// smuggled is what follows a request that two servers might delimit differently.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"

// ambiguous are requests, from the line after Host, whose end is a matter of opinion.
var ambiguous = []struct{ name, start, rest string }{
	{"two lengths", "POST /x HTTP/1.1", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
	{"a list of lengths", "POST /x HTTP/1.1", "Content-Length: 5, 6\r\n\r\nhello"},
	{"a signed length", "POST /x HTTP/1.1", "Content-Length: +5\r\n\r\nhello"},
	{"a negative length", "POST /x HTTP/1.1", "Content-Length: -5\r\n\r\nhello"},
	{"a hexadecimal length", "POST /x HTTP/1.1", "Content-Length: 0x5\r\n\r\nhello"},
	{"a huge length", "POST /x HTTP/1.1", "Content-Length: 18446744073709551621\r\n\r\nhello"},
	{"an empty length", "POST /x HTTP/1.1", "Content-Length:\r\n\r\nhello"},
	{"a space before the colon", "POST /x HTTP/1.1", "Content-Length : 5\r\n\r\nhello"},
	{"a folded length", "POST /x HTTP/1.1", "Content-Length: 5\r\n 0\r\n\r\nhello"},
	{"a folded field", "GET /x HTTP/1.1", "X-A: b\r\n c\r\n\r\n"},
	{"the same length twice", "POST /x HTTP/1.1", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
	{"a length before a coding", "POST /x HTTP/1.1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"a coding before a length", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
	{"a coding in HTTP/1.0", "POST /x HTTP/1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"a chunk extension", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"},
	{"a fragment", "GET /x#y HTTP/1.1", "\r\n"},
	{"an asterisk for GET", "GET * HTTP/1.1", "\r\n"},
	{"an unknown coding", "POST /x HTTP/1.1", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
	{"another coding first", "POST /x HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{"chunked first", "POST /x HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
	{"chunked twice", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"chunked and a vertical tab", "POST /x HTTP/1.1", "Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n"},
	{"a NUL in a name", "POST /x HTTP/1.1", "Transfer\x00-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"a bare CR", "POST /x HTTP/1.1", "X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"a space before the first field", "POST /x HTTP/1.1", " Content-Length: 5\r\n\r\nhello"},
	{"a line without a colon", "POST /x HTTP/1.1", "Content-Length\r\n\r\nhello"},
	{"a second host", "GET /x HTTP/1.1", "Host: other.test\r\n\r\n"},
	{"a chunk size that is none", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"},
	{"a negative chunk size", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"},
	{"a chunk size with a prefix", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
	{"a chunk size that overflows", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"},
	{"a chunk that is too long", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"},
	{"a chunk line of a bare LF", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
	{"an extension with a bare LF", "POST /x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n"},
	{"HTTP/0.9", "GET /x", "\r\n"},
	{"HTTP/2.0", "GET /x HTTP/2.0", "\r\n"},
	{"an unknown protocol", "GET /x HTTPS/1.1", "\r\n"},
	{"a space in the target", "GET /x y HTTP/1.1", "\r\n"},
}

// TestAmbiguousRequests holds that such a request is refused and the connection
// closed, so that what follows is never served: neither by us nor by the endpoint.
func TestAmbiguousRequests(t *testing.T) {
	for _, tt := range ambiguous {
		t.Run(tt.name, func(t *testing.T) {
			oneAtMost(t, tt.start+"\r\nHost: shop.test\r\n"+tt.rest)
		})
	}
	t.Run("no host", func(t *testing.T) { oneAtMost(t, "GET /x HTTP/1.1\r\n\r\n") })
	t.Run("an invalid host", func(t *testing.T) { oneAtMost(t, "GET /x HTTP/1.1\r\nHost: a b\r\n\r\n") })
	t.Run("bare LF", func(t *testing.T) {
		oneAtMost(t, "POST /x HTTP/1.1\nHost: shop.test\nContent-Length: 5\n\nhello")
	})
}

// oneAtMost sends message and then another request on the same connection, and holds
// that the first is refused and the second not served.
func oneAtMost(t *testing.T, message string) {
	t.Helper()
	w := newWitness(t)
	g := meshtest.Gateway(t, to("http://"+w.Addr, "retries: 0"))
	c := g.Dial()
	c.Send(message + smuggled + "GET /x HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
	answers := c.Rest()
	if n := strings.Count(answers, "HTTP/1.1 "); n != 1 {
		t.Errorf("%d answers, want one: %q", n, answers)
	}
	if !strings.HasPrefix(answers, "HTTP/1.1 400 ") || !strings.Contains(answers, `"code":"malformed"`) || !strings.Contains(answers, "Proxy-Status: ") {
		t.Errorf("answered with %q, want our refusal", answers)
	}
	for _, request := range w.last() {
		if _, body, _ := strings.Cut(request, "\r\n\r\n"); !strings.Contains(request, "chunked") || strings.HasSuffix(body, "0\r\n\r\n") || strings.Contains(request, "GET /smuggled") {
			t.Errorf("the endpoint saw %q", request) // of chunks, a beginning may have come
		}
	}
}

// TestOddButSound holds what RFC 9112 lets a server make sense of: the endpoint gets
// it in the one form that nobody can misread.
func TestOddButSound(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		want          []string // of the endpoint's request
	}{
		{"absolute form", "GET http://other.test/x HTTP/1.1\r\nHost: shop.test\r\n\r\n", []string{"GET /x HTTP/1.1\r\nHost: other.test\r\n", "\r\nX-Forwarded-Host: other.test\r\n"}},
		{"a body of a GET", "GET /x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello", []string{"\r\nContent-Length: 5\r\n", "\r\n\r\nhello"}},
		{"an unknown method", "BREW /x HTTP/1.1\r\nHost: shop.test\r\n\r\n", []string{"BREW /x HTTP/1.1\r\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWitness(t)
			g := meshtest.Gateway(t, to("http://"+w.Addr, ""))
			c := g.Dial()
			c.Send(tt.message)
			if got := c.Reply(http.MethodPost); got.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", got.StatusCode, got.Text)
			}
			seen := w.last()
			if len(seen) != 1 {
				t.Fatalf("the endpoint saw %d requests: %q", len(seen), seen)
			}
			for _, part := range tt.want {
				if !strings.Contains(seen[0], part) {
					t.Errorf("the endpoint saw %q, without %q", seen[0], part)
				}
			}
			if n := strings.Count(seen[0], "Content-Length") + strings.Count(seen[0], "Transfer-Encoding"); n > 1 {
				t.Errorf("the endpoint saw %d lengths: %q", n, seen[0])
			}
		})
	}
}

// TestSpecialMethods holds what becomes of requests that are about the gateway rather
// than a service.
func TestSpecialMethods(t *testing.T) {
	w := newWitness(t)
	g := guardedBy(t, w, "")
	for _, tt := range []struct {
		name, message, code string
		status              int
	}{
		{"CONNECT", "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n", "method_not_allowed", http.StatusMethodNotAllowed},
		{"CONNECT to a path", "CONNECT /open HTTP/1.1\r\nHost: shop.test\r\n\r\n", "malformed", http.StatusBadRequest},
		{"TRACE, which would echo who calls", "TRACE /open HTTP/1.1\r\nHost: shop.test\r\n\r\n", "method_not_allowed", http.StatusMethodNotAllowed},
		{"OPTIONS where a token is needed", "OPTIONS /guarded HTTP/1.1\r\nHost: shop.test\r\n\r\n", "unauthenticated", http.StatusUnauthorized},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", "no_route", http.StatusNotFound},
		{"GET *", "GET * HTTP/1.1\r\nHost: shop.test\r\n\r\n", "malformed", http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			logged := len(g.Access.Lines(t))
			if got := g.Raw(tt.message); got.StatusCode != tt.status || !strings.Contains(got.Text, `"code":"`+tt.code+`"`) {
				t.Fatalf("%d %s, want %d %s", got.StatusCode, got.Text, tt.status, tt.code)
			}
			if seen := w.last(); len(seen) > 0 {
				t.Errorf("the endpoint saw %q", seen)
			}
			eventually(t, "a line in the access log", func() bool { return len(g.Access.Lines(t)) == logged+1 })
		})
	}
}

// TestHopByHop holds that what is about one connection stays there, both ways.
func TestHopByHop(t *testing.T) {
	hops := "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n" +
		"Upgrade: h2c\r\nHttp2-Settings: AAAA\r\nTe: trailers, gzip\r\nX-End: 1\r\n"
	e := meshtest.RawOrigin(t, meshtest.Bytes("HTTP/1.1 200 OK\r\n"+hops+"Content-Length: 0\r\n\r\n"))
	g := meshtest.Gateway(t, to("http://"+e.Addr, ""))
	got := g.Raw("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Connection", "Upgrade", "Http2-Settings", "Connection"} {
		if v := got.Header.Get(name); v != "" {
			t.Errorf("the client got %s: %s", name, v)
		}
	}
	if got.Header.Get("X-End") != "1" {
		t.Error("the client lacks X-End")
	}
	w := newWitness(t)
	g = meshtest.Gateway(t, to("http://"+w.Addr, ""))
	_ = g.Raw("GET /x HTTP/1.1\r\nHost: a\r\n" + hops + "Proxy-Authorization: Basic YTpi\r\n\r\n")
	seen := strings.ToLower(strings.Join(w.last(), ""))
	for _, name := range []string{"x-hop", "keep-alive", "proxy-connection", "upgrade", "http2-settings", "proxy-authorization"} {
		if strings.Contains(seen, "\r\n"+name+":") {
			t.Errorf("the endpoint got %s: %q", name, seen)
		}
	}
	for _, line := range []string{"x-end: 1", "te: trailers", "connection: te"} { // TE is of the next connection, and says so
		if !strings.Contains(seen, "\r\n"+line+"\r\n") {
			t.Errorf("the endpoint lacks %s: %q", line, seen)
		}
	}
}

// TestLoops holds that a gateway which is its own endpoint, at once or by way of
// another, notices.
func TestLoops(t *testing.T) {
	a := meshtest.Gateway(t, to("http://127.0.0.1:1", "retries: 0"))
	b := meshtest.Gateway(t, to(a.URL, "retries: 0"))
	if err := a.Reload(to(b.URL, "retries: 0")); err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]*meshtest.Running{"a": a, "b": b} {
		got := g.Do(http.MethodPost, "/x", "hello")
		if got.StatusCode != http.StatusLoopDetected || got.JSON(t)["code"] != "loop" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.Text)
		}
		eventually(t, "the loop is counted once where it is noticed", func() bool {
			return g.Metric(`outrider_faults_total{code="loop",direction="ingress"}`) == "1"
		})
	}
	got := a.Get("/x", "Via", "1.1 another, 1.1 outrider-000000000000")
	if got.StatusCode != http.StatusLoopDetected { // by now it is one
		t.Errorf("%d", got.StatusCode)
	}
	alone := meshtest.Gateway(t, to(meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header["Via"], ", "))
	}).URL, ""))
	if got := alone.Get("/x", "Via", "1.1 another, 1.1 outrider-000000000000"); got.StatusCode != http.StatusOK ||
		!strings.HasPrefix(got.Text, "1.1 another, 1.1 outrider-000000000000, 1.1 outrider-") {
		t.Errorf("others on the way are no loop: %d %s", got.StatusCode, got.Text)
	}
}
