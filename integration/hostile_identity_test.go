package integration_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"outrider/integration/meshtest"
)

// spoof marks every value that a client sends under a name that is not its own. It is
// fit for all of the fields.
const spoof = "192.0.2.66"

// spoofs are the header lines of a client that lies.
var spoofs = []string{
	"X-User-Id: " + spoof,
	"x-user-id: " + spoof,
	"X-USER-ROLE: " + spoof,
	"X_User_Id: " + spoof,
	"X-User_Role: " + spoof,
	"x.user.id: " + spoof,
	"X-User-Id: 1\r\nx-user-id: " + spoof,
	"X-User-Id:\r\nX_USER_ID: " + spoof,
	"X-User-Id: 1\r\n\t" + spoof, // folded
	"X-Outrider-Attempt: " + spoof,
	"x_outrider_drain: " + spoof,
	"X-Outrider-: " + spoof,
	"X-Forwarded-For: " + spoof,
	"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: " + spoof,
	"X_Forwarded_For: " + spoof,
	"X-Forwarded-Proto: " + spoof,
	"X-Forwarded-Host: " + spoof,
	"X-Forwarded-Port: " + spoof,
	"X-Forwarded-Prefix: /" + spoof,
	"X-Forwarded-User: " + spoof,
	"Forwarded: for=" + spoof + ";proto=https",
	"Forwarded: for=\"" + spoof,
	"X-Real-Ip: " + spoof,
	"X-Request-Id: " + spoof,
	"X_Request_Id: " + spoof,
	"X-Gateway-Timestamp: " + spoof,
	"X-Original-Url: /" + spoof,
	"X-Rewrite-Url: /" + spoof,
	"X-Envoy-Original-Path: /" + spoof,
	"Connection: X-User-Id\r\nX-User-Id: " + spoof,
	"Proxy-Authorization: " + spoof,
	"Keep-Alive: " + spoof,
	"Proxy-Connection: " + spoof,
	"Connection: X-Hop\r\nX-Hop: " + spoof,
	"Connection: close, x-hop\r\nX-HOP: " + spoof,
}

// witness is an endpoint that keeps each request as it came, byte by byte.
type witness struct {
	*meshtest.RawEndpoint
	mu   sync.Mutex // protects seen
	seen []string
}

// newWitness answers each request on each connection with 200.
func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{}
	w.RawEndpoint = meshtest.RawOrigin(t, func(c net.Conn) {
		var text strings.Builder
		r := bufio.NewReader(io.TeeReader(c, &text))
		for {
			text.Reset()
			req, err := http.ReadRequest(r)
			if err == nil {
				_, err = io.Copy(io.Discard, req.Body)
			}
			if text.Len() > 0 {
				w.mu.Lock()
				w.seen = append(w.seen, text.String())
				w.mu.Unlock()
			}
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	return w
}

// last returns the requests since the last time.
func (w *witness) last() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// guardedBy is a gateway with a path that needs a token and one that does not, which
// both lead to the witness.
func guardedBy(t *testing.T, w *witness, further string) *meshtest.Running {
	t.Helper()
	auth := meshtest.Origin(t, meshtest.Says(http.StatusOK, `{"id":"42","role":"admin"}`))
	return meshtest.Gateway(t, fmt.Sprintf(`
services: {app: {url: "http://%s"}}
routing:
  - {path: /guarded, service: app, middleware: [auth]}
  - {path: /open, service: app}
auth: {validate_url: %q}
%s`, w.Addr, auth.URL+"/validate", further))
}

// TestSpoofedHeaders holds that what a stranger says of itself under the names that
// the gateway vouches for never reaches an endpoint, on any route, in the header or
// in the trailers.
func TestSpoofedHeaders(t *testing.T) {
	w := newWitness(t)
	g := guardedBy(t, w, "")
	for _, lines := range spoofs {
		for _, target := range []string{"/open", "/guarded"} {
			head := "POST " + target + " HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer t\r\n"
			got := g.Raw(head + lines + "\r\nContent-Length: 0\r\n\r\n")
			told(t, w, target, lines, got.StatusCode)

			name, _, _ := strings.Cut(lines, ":")
			if strings.Contains(lines, "Connection:") || strings.Contains(lines, "\r\n\t") {
				continue // has no place in a trailer section; is refused when its beginning has gone on
			}
			got = g.Raw(head + "Transfer-Encoding: chunked\r\nTrailer: " + name + ", X-Sum\r\n\r\n2\r\nhi\r\n0\r\n" + lines + "\r\nX-Sum: 1\r\n\r\n")
			told(t, w, target, "in a trailer: "+lines, got.StatusCode)
		}
	}
}

// told holds what the endpoint was told of a lying client, if it was asked at all.
func told(t *testing.T, w *witness, target, lines string, status int) {
	t.Helper()
	seen := w.last()
	if strings.Contains(lines, "\r\n\t") && status == http.StatusBadRequest && len(seen) == 0 {
		return
	}
	if status != http.StatusOK || len(seen) != 1 {
		t.Errorf("%s with %q: %d, and the endpoint saw %q", target, lines, status, seen)
		return
	}
	if trailers := strings.HasPrefix(lines, "in a trailer"); trailers != strings.HasSuffix(seen[0], "\r\nX-Sum: 1\r\n\r\n") {
		t.Errorf("%s with %q: the endpoint saw %q, with its trailers: %v", target, lines, seen[0], !trailers)
	}
	if strings.Contains(seen[0], spoof) {
		t.Errorf("%s with %q: the endpoint saw %q", target, lines, seen[0])
	}
	for _, field := range []string{"\r\nX-User-Id: 42\r\n", "\r\nX-User-Role: admin\r\n"} {
		if vouched := strings.Contains(seen[0], field); vouched != (target == "/guarded") {
			t.Errorf("%s with %q: the endpoint saw %q, want %q: %v", target, lines, seen[0], field, !vouched)
		}
	}
	if n := strings.Count(strings.ToLower(seen[0]), "x-user-id"); n > 1 {
		t.Errorf("%s with %q: the endpoint saw an identity %d times: %q", target, lines, n, seen[0])
	}
	for _, field := range []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.test"} {
		if !strings.Contains(seen[0], "\r\n"+field+"\r\n") {
			t.Errorf("%s with %q: the endpoint saw %q, without %q", target, lines, seen[0], field)
		}
	}
}

// TestTrustedProxies holds what is believed of a peer in trusted_proxies, and what is
// not even then.
func TestTrustedProxies(t *testing.T) {
	w := newWitness(t)
	g := guardedBy(t, w, "trusted_proxies: [127.0.0.0/8]")
	for _, tt := range []struct {
		name, target, lines string
		want, not           []string // whole lines
	}{
		{"the chain grows", "/open", "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: front.test\r\nX-Forwarded-Port: 444",
			[]string{"X-Forwarded-For: 192.0.2.1, 192.0.2.2, 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: front.test", "X-Forwarded-Port: 444"}, nil},
		{"the request ID stays", "/open", "X-Request-Id: from-the-front", []string{"X-Request-Id: from-the-front"}, nil},
		{"two request IDs", "/open", "X-Request-Id: one\r\nX-Request-Id: two", nil, []string{"X-Request-Id: one", "X-Request-Id: two"}},
		{"identity passes where nobody checks it", "/open", "X-User-Id: 7", []string{"X-User-Id: 7"}, nil},
		{"and is replaced where somebody does", "/guarded", "X-User-Id: 7\r\nx-user-id: 8", []string{"X-User-Id: 42"}, []string{"X-User-Id: 7", "X-User-Id: 8"}},
		{"no other spelling", "/open", "X_User_Id: 7\r\nX_Forwarded_For: 192.0.2.9", nil, []string{"X_User_Id: 7", "X_Forwarded_For: 192.0.2.9"}},
		{"no hop-by-hop removal", "/guarded", "Connection: X-User-Id, X-Forwarded-For, X-Request-Id\r\nX-Forwarded-For: 192.0.2.1",
			[]string{"X-User-Id: 42", "X-Forwarded-For: 192.0.2.1, 127.0.0.1"}, nil},
		{"no nonsense", "/open", "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/b\r\nX-Forwarded-Port: 99999",
			[]string{"X-Forwarded-Proto: http", "X-Forwarded-Host: shop.test", "X-Forwarded-Port: 80"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := g.Raw("GET " + tt.target + " HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer t\r\n" + tt.lines + "\r\n\r\n")
			seen := strings.Join(w.last(), "")
			if got.StatusCode != http.StatusOK {
				t.Errorf("%d %s", got.StatusCode, got.Text)
			}
			for _, line := range tt.want {
				if !strings.Contains(seen, "\r\n"+line+"\r\n") {
					t.Errorf("the endpoint saw %q, without %q", seen, line)
				}
			}
			for _, line := range tt.not {
				if strings.Contains(seen, "\r\n"+line+"\r\n") {
					t.Errorf("the endpoint saw %q, with %q", seen, line)
				}
			}
		})
	}
	eventually(t, "the log has a line of the chain", func() bool {
		for _, line := range g.Access.Lines(t) {
			if line["path"] == "/open" {
				if line["client"] != "192.0.2.2" { // the last that no trusted proxy is
					t.Errorf("the log of the chain has the client %v, want 192.0.2.2", line["client"])
				}
				return true
			}
		}
		return false
	})
}

// TestTrustEndsAtTheLimit holds that a limit counts the client behind trusted
// proxies, and that a client which makes a chain up gains nothing by it.
func TestTrustEndsAtTheLimit(t *testing.T) {
	const limit = "rate_limiting: {paths: {/**: {requests_per_minute: 1, burst: 1}}}"
	e := meshtest.Origin(t, meshtest.Says(http.StatusOK, ""))
	for _, tt := range []struct {
		name, trusted, first, second string
		want                         int
	}{
		{"two clients behind a trusted proxy", "[127.0.0.1]", "192.0.2.1", "192.0.2.2", http.StatusOK},
		{"one client that makes up others", "[127.0.0.1]", "192.0.2.7, 192.0.2.1", "192.0.2.8, 192.0.2.1", http.StatusTooManyRequests},
		{"one behind two trusted proxies", "[127.0.0.1, 192.0.2.0/24]", "198.51.100.1, 192.0.2.1", "198.51.100.1, 192.0.2.2", http.StatusTooManyRequests},
		{"a stranger that makes up others", "[192.0.2.0/24]", "192.0.2.1", "192.0.2.2", http.StatusTooManyRequests},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := meshtest.Gateway(t, to(e.URL, "", limit, "trusted_proxies: "+tt.trusted))
			if got := g.Get("/x", "X-Forwarded-For", tt.first); got.StatusCode != http.StatusOK {
				t.Errorf("the first: %d", got.StatusCode)
			}
			if got := g.Get("/x", "X-Forwarded-For", tt.second); got.StatusCode != tt.want {
				t.Errorf("the second: %d, want %d", got.StatusCode, tt.want)
			}
		})
	}
}
