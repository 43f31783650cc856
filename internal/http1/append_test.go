package http1

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"outrider/internal/mesh"
)

// sorted returns the lines of a head, all but the first sorted: fields are written
// in no order.
func sorted(head string) []string {
	l := strings.SplitAfter(head, "\r\n")
	slices.Sort(l[1:])
	return l
}

func TestAppendRequest(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  http.Request
		how  outgoing
		want string
	}{
		{"nothing special", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/b", RawQuery: "c=d"}, Header: http.Header{"Accept": {"x", "y"}}},
			outgoing{length: -1}, lines("GET /b?c=d HTTP/1.1", "Host: a", "Accept: x", "Accept: y")},
		{"host of the URL", http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "[::1]:80"}},
			outgoing{length: -1}, lines("GET / HTTP/1.1", "Host: [::1]:80")},
		{"length", http.Request{Method: http.MethodPut, Host: "a", URL: &url.URL{Path: "/"}, Header: http.Header{"Content-Length": {"7"}}},
			outgoing{length: 5}, lines("PUT / HTTP/1.1", "Host: a", "Content-Length: 5")},
		{"no length", http.Request{Method: http.MethodPut, Host: "a", URL: &url.URL{Path: "/"}},
			outgoing{}, lines("PUT / HTTP/1.1", "Host: a", "Content-Length: 0")},
		{"chunks and trailer", http.Request{Method: http.MethodPut, Host: "a", URL: &url.URL{Path: "/"}, Trailer: http.Header{"X": nil}},
			outgoing{length: 5, chunked: true}, lines("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: X")},
		{"fields that are the engine's", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/"}, Header: http.Header{
			"Host": {"b"}, "host": {"b"}, "Content-Length": {"1", "2"}, "content-length": {"1"}, "TRANSFER-ENCODING": {"chunked"},
			"Transfer-Encoding": {"chunked"}, "Connection": {"close"}, "Keep-Alive": {"x"}, "Proxy-Connection": {"x"}, "Upgrade": {"x"}, "Trailer": {"x"}, "A": {}}},
			outgoing{length: -1}, lines("GET / HTTP/1.1", "Host: a")},
		{"upgrade", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/"}, Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
			outgoing{length: -1, upgrade: true}, lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket")},
		{"options", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/"}, Header: http.Header{"Te": {"trailers"}}},
			outgoing{length: -1, close: true}, lines("GET / HTTP/1.1", "Host: a", "Connection: TE, close", "Te: trailers")},
		{"asterisk", http.Request{Method: http.MethodOptions, Host: "a", URL: &url.URL{Path: "*"}}, outgoing{length: -1}, lines("OPTIONS * HTTP/1.1", "Host: a")},
		{"asterisk from the absolute form", http.Request{Method: http.MethodOptions, Host: "a", URL: &url.URL{Scheme: "http", Host: "a"}}, outgoing{length: -1}, lines("OPTIONS * HTTP/1.1", "Host: a")},
		{"authority", http.Request{Method: http.MethodConnect, Host: "a:1", URL: &url.URL{Host: "a:1"}}, outgoing{length: -1}, lines("CONNECT a:1 HTTP/1.1", "Host: a:1")},
		{"escapes", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/a b\u00e4\r\n?#"}}, outgoing{length: -1}, lines("GET /a%20b%C3%A4%0D%0A%3F%23 HTTP/1.1", "Host: a")},
		{"escapes as they came", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/a/b(c)", RawPath: "/a%2fb(c)"}}, outgoing{length: -1}, lines("GET /a%2fb(c) HTTP/1.1", "Host: a")},
		{"a raw path that is another", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/b", RawPath: "/a\r\n"}}, outgoing{length: -1}, lines("GET /b HTTP/1.1", "Host: a")},
		{"empty query", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/", ForceQuery: true}}, outgoing{length: -1}, lines("GET /? HTTP/1.1", "Host: a")},
		{"query of HTTP/2", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/", RawQuery: "a#\u00e4%zz\"|"}}, outgoing{length: -1}, lines("GET /?a%23%C3%A4%zz\"| HTTP/1.1", "Host: a")},
		{"two slashes", http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "//b/c"}}, outgoing{length: -1}, lines("GET //b/c HTTP/1.1", "Host: a")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, f := appendRequest([]byte("x"), &tt.req, tt.how)
			if f != nil || !slices.Equal(sorted(string(got)), sorted("x"+tt.want)) {
				t.Errorf("%v\ngot  %q\nwant %q", f, got, tt.want)
			}
			if !strings.HasPrefix(string(got), "x"+tt.want[:strings.Index(tt.want, "\r\nHost: ")+len("\r\nHost: ")]) {
				t.Errorf("the Host is not first: %q", got)
			}
		})
	}
}

func TestAppendResponse(t *testing.T) {
	for _, tt := range []struct {
		name string
		resp http.Response
		how  outgoing
		want string
	}{
		{"length", http.Response{StatusCode: http.StatusOK, Status: "200 Fine", Header: http.Header{"A": {"b", "c"}}}, outgoing{length: 1}, lines("HTTP/1.1 200 OK", "Content-Length: 1", "A: b", "A: c")},
		{"chunks and trailer", http.Response{StatusCode: http.StatusOK, Trailer: http.Header{"X": nil}}, outgoing{chunked: true, close: true}, lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Connection: close", "Trailer: X")},
		{"keep-alive", http.Response{StatusCode: http.StatusOK}, outgoing{length: 0, keep: true}, lines("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: keep-alive")},
		{"close is stronger", http.Response{StatusCode: http.StatusOK}, outgoing{length: 0, keep: true, close: true}, lines("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")},
		{"unknown status", http.Response{StatusCode: 799}, outgoing{length: -1}, lines("HTTP/1.1 799 ")},
		{"switch", http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Upgrade": {"x"}, "Connection": {"Upgrade"}}}, outgoing{length: -1, upgrade: true},
			lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: x")},
		{"fields that are the engine's", http.Response{StatusCode: http.StatusNoContent, Header: http.Header{"Content-Length": {"1"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"x"}, "Trailer": {"y"}}},
			outgoing{length: -1}, lines("HTTP/1.1 204 No Content")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, f := appendResponse([]byte("x"), &tt.resp, tt.how)
			if f != nil || !slices.Equal(sorted(string(got)), sorted("x"+tt.want)) {
				t.Errorf("%v\ngot  %q\nwant %q", f, got, tt.want)
			}
		})
	}
	got, f := appendInterim(nil, http.StatusEarlyHints, http.Header{"Link": {"a"}, "Content-Length": {"1"}})
	if want := lines("HTTP/1.1 103 Early Hints", "Link: a"); f != nil || string(got) != want {
		t.Errorf("interim: got %q, want %q, %v", got, want, f)
	}
}

// What no head can have is not written, whoever has put it there.
func TestAppendRefuses(t *testing.T) {
	get := func(change func(*http.Request)) *http.Request {
		req := &http.Request{Method: http.MethodGet, Host: "a", URL: &url.URL{Path: "/"}, Header: http.Header{}}
		change(req)
		return req
	}
	chunked := outgoing{chunked: true}
	for _, tt := range []struct {
		name string
		req  *http.Request
	}{
		{"no method", get(func(r *http.Request) { r.Method = "" })},
		{"method with a space", get(func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" })},
		{"no host", get(func(r *http.Request) { r.Host = "" })},
		{"host with a line end", get(func(r *http.Request) { r.Host = "a\r\nB: c" })},
		{"host with a space", get(func(r *http.Request) { r.Host = "a b" })},
		{"path without a slash", get(func(r *http.Request) { r.URL.Path = "a" })},
		{"asterisk", get(func(r *http.Request) { r.URL.Path = "*" })},
		{"opaque", get(func(r *http.Request) { r.URL.Opaque = "//b" })},
		{"query with a space", get(func(r *http.Request) { r.URL.RawQuery = "a b" })},
		{"query with a line end", get(func(r *http.Request) { r.URL.RawQuery = "a\r\nb" })},
		{"authority", get(func(r *http.Request) { r.Method, r.URL.Host = http.MethodConnect, "a\r\n" })},
		{"no authority", get(func(r *http.Request) { r.Method = http.MethodConnect })},
		{"value with CR", get(func(r *http.Request) { r.Header["A"] = []string{"b\rc"} })},
		{"value with LF", get(func(r *http.Request) { r.Header["A"] = []string{"b", "b\nc"} })},
		{"value with NUL", get(func(r *http.Request) { r.Header["A"] = []string{"0123456789\x00"} })},
		{"no name", get(func(r *http.Request) { r.Header[""] = []string{"b"} })},
		{"name with a colon", get(func(r *http.Request) { r.Header["A:"] = []string{"b"} })},
		{"name with a line end", get(func(r *http.Request) { r.Header["A\r\nB"] = []string{"b"} })},
		{"name with a space", get(func(r *http.Request) { r.Header["A "] = []string{"b"} })},
		{"trailer that frames", get(func(r *http.Request) { r.Trailer = http.Header{"content-Length": nil} })},
		{"trailer with a comma", get(func(r *http.Request) { r.Trailer = http.Header{"a,b": nil} })},
		{"trailer without a name", get(func(r *http.Request) { r.Trailer = http.Header{"": nil} })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, f := appendRequest([]byte("x"), tt.req, chunked)
			refused(t, got, f)
			if len(tt.req.Header) == 0 && tt.req.Trailer == nil {
				return
			}
			got, f = appendResponse([]byte("x"), &http.Response{StatusCode: http.StatusOK, Header: tt.req.Header, Trailer: tt.req.Trailer}, chunked)
			refused(t, got, f)
			if tt.req.Trailer == nil {
				got, f = appendTrailer([]byte("x"), tt.req.Header)
				refused(t, got, f)
				got, f = appendInterim([]byte("x"), http.StatusEarlyHints, tt.req.Header)
				refused(t, got, f)
			}
		})
	}
	for _, status := range []int{-1, 0, 99, 1000} {
		got, f := appendResponse([]byte("x"), &http.Response{StatusCode: status}, chunked)
		refused(t, got, f)
	}
	for _, name := range []string{"Content-Length", "transfer-encoding", "Trailer"} {
		got, f := appendTrailer([]byte("x"), http.Header{name: {"1"}})
		refused(t, got, f)
	}
}

func refused(t *testing.T, got []byte, f *mesh.Fault) {
	t.Helper()
	if f == nil || f.Kind != mesh.Internal || errors.Unwrap(f) == nil || string(got) != "x" {
		t.Errorf("%v, and %q", f, got)
	}
}

func TestAppendChunks(t *testing.T) {
	b := append(appendChunk(nil, 26), "abcdefghijklmnopqrstuvwxyz\r\n"...)
	b, f := appendTrailer(b, http.Header{"A": {"b", "c"}, "Host": {"x"}})
	if want := "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nA: b\r\nA: c\r\n\r\n"; f != nil || string(b) != want {
		t.Errorf("got %q, want %q, %v", b, want, f)
	}
	if b, f = appendTrailer(nil, nil); f != nil || string(b) != "0\r\n\r\n" {
		t.Errorf("%q, %v", b, f)
	}
}
