package bridge_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

var hosts = []struct {
	host  string
	valid bool
}{
	{"shop.example", true}, {"shop.example.", true}, {"shop.example:8443", true}, {"a_b-c", true}, {"127.0.0.1:0", true},
	{"[::1]", true}, {"[2001:db8::1]:65535", true}, {strings.Repeat("a", 255), true},
	{"", false}, {".", false}, {"shop.example..", false}, {".shop", false}, {"a..b", false}, {":80", false},
	{"a:", false}, {"a:65536", false}, {"a:-1", false}, {"a:8x", false}, {"a:1:2", false}, {"::1", false},
	{"[::1", false}, {"[::1]]", false}, {"[fe80::1%eth0]", false}, {"[127.0.0.1]", false}, {"[]", false}, {"[::1]80", false},
	{"a,b", false}, {"a'b", false}, {"a;b", false}, {"a(b)", false}, {"a%2eb", false}, {"a@b", false}, {"a/b", false},
	{"a b", false}, {"é", false}, {strings.Repeat("a", 256), false},
}

func TestHost(t *testing.T) {
	for _, tt := range hosts {
		asked := 0
		config := bridge.Config{Stack: mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			asked++
			return over(req)
		})}
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Host, req.ProtoMajor, req.ProtoMinor = tt.host, 2, 0
		w := httptest.NewRecorder()
		bridge.New(config).ServeHTTP(w, req)
		req, _ = arrive(t, http.MethodGet, nil, nil)
		req.Host = tt.host
		resp, _ := bridge.NewEdge(config).Handle(req)
		want, times := http.StatusBadRequest, 0
		if tt.valid {
			want, times = http.StatusOK, 2
		}
		if w.Code != want || resp.StatusCode != want || asked != times {
			t.Errorf("%q: status %d over HTTP/2 and %d over HTTP/1.1, want %d; the stack was asked %d times", tt.host, w.Code, resp.StatusCode, want, asked)
		}
	}
}

func TestForwardedHost(t *testing.T) {
	for _, tt := range hosts {
		if strings.Contains(tt.host, ",") {
			continue // a list, of which the first counts
		}
		req, _, _ := forward(trusting(), proxied, http.Header{"X-Forwarded-Host": {tt.host}})
		want := "shop.example"
		if tt.valid {
			want = tt.host
		}
		if got := req.Header.Get("X-Forwarded-Host"); got != want {
			t.Errorf("%q became %q, want %q", tt.host, got, want)
		}
	}
}

func TestEmptyHostOnTheWire(t *testing.T) {
	p := serve(t, "h1", over)
	if resp := p.raw(t, "GET / HTTP/1.1\r\nHost:\r\n\r\n"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// What HTTP/1.0 leaves out is the address that the client reached.
func TestHTTP10(t *testing.T) {
	var got seen
	p := serve(t, "h1", mesh.Stack(record(&got), bridge.Forward(trusting())).RoundTrip)
	for _, message := range []string{
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	} {
		resp := p.raw(t, message)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%q: status %d", message, resp.StatusCode)
		}
		await(t, p.ends)
		if want := p.Listener.Addr().String(); got.host != want {
			t.Errorf("host %q, want %q", got.host, want)
		} else if host, port := got.header.Get("X-Forwarded-Host"), got.header.Get("X-Forwarded-Port"); host != want || !strings.HasSuffix(want, ":"+port) {
			t.Errorf("the endpoint is told host %q, port %q, want those of %q", host, port, want)
		}
	}
}

func TestMethods(t *testing.T) {
	for _, tt := range []struct {
		method string
		want   int
	}{
		{"GET", 200}, {"M-SEARCH", 200}, {"x", 200}, {"TRACE", 405}, {"CONNECT", 405},
		{"GET /admin?", 400}, {"GET\r\nX: y", 400}, {"G(T", 400}, {"é", 400},
	} {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Method, req.ProtoMajor, req.ProtoMinor = tt.method, 2, 0
		w := httptest.NewRecorder()
		bridge.New(bridge.Config{Stack: mesh.RoundTripFunc(over)}).ServeHTTP(w, req)
		if w.Code != tt.want {
			t.Errorf("%q: status %d, want %d", tt.method, w.Code, tt.want)
		}
	}
}

func TestMaxForwards(t *testing.T) {
	for _, tt := range []struct {
		method string
		in     []string
		out    string
		here   bool // whether we answer
	}{
		{"OPTIONS", []string{"0"}, "0", true},
		{"OPTIONS", []string{"1"}, "0", false},
		{"OPTIONS", []string{"10"}, "9", false},
		{"OPTIONS", []string{"-1"}, "", false},
		{"OPTIONS", []string{"x"}, "", false},
		{"OPTIONS", []string{""}, "", false},
		{"OPTIONS", []string{"0", "5"}, "", false},
		{"OPTIONS", nil, "", false},
		{"GET", []string{"0"}, "0", false}, // it means nothing there
	} {
		asked := false
		stack := mesh.Stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			asked = true
			if got := strings.Join(req.Header["Max-Forwards"], "|"); got != tt.out {
				t.Errorf("%s %q became %q, want %q", tt.method, tt.in, got, tt.out)
			}
			return over(req)
		}), bridge.Forward(trusting()))
		req := httptest.NewRequest(tt.method, "/", nil)
		req.ProtoMajor, req.ProtoMinor = 2, 0
		if tt.in != nil {
			req.Header["Max-Forwards"] = tt.in
		}
		w := httptest.NewRecorder()
		bridge.New(bridge.Config{Stack: stack}).ServeHTTP(w, req)
		if w.Code != 200 || asked == tt.here {
			t.Errorf("%s %q: status %d, stack asked: %v", tt.method, tt.in, w.Code, asked)
		}
		if tt.here && (w.Header().Get("Content-Length") != "0" || w.Header().Get("X-Request-Id") != "new-id") {
			t.Errorf("answered with %q", w.Header())
		}
	}
}
