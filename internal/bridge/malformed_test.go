package bridge_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// What came is counted before the bridge or the forwarding layer adds to it, or
// takes away what belongs to the connection.
func TestHeaderIsMeasuredAsItCame(t *testing.T) {
	for _, tt := range []struct {
		name, fields string
		lines, bytes int
	}{
		{"nothing", "", 0, 0},
		{"one", "X-A: 1\r\n", 1, 8},
		{"several of a name", "X-A: 1\r\nx-a: 22\r\nX-B:\r\n", 3, 8 + 9 + 7},
		{"of the connection", "Connection: x-hop\r\nX-Hop: 1\r\n", 2, 19 + 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *mesh.Call, 1)
			p := serve(t, "h1", mesh.Stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				calls <- kept(req)
				return over(req)
			}), bridge.Forward(trusting())).RoundTrip)
			p.raw(t, "GET / HTTP/1.1\r\nHost: a\r\n"+tt.fields+"\r\n")
			if call := await(t, calls); call.Fields != tt.lines || call.FieldBytes != tt.bytes {
				t.Errorf("%d lines of %d bytes, want %d of %d", call.Fields, call.FieldBytes, tt.lines, tt.bytes)
			}
		})
	}
}

// HTTP/2 could carry these; no next hop on HTTP/1.1 could read them.
func TestMalformed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"query", func(r *http.Request) { r.URL.RawQuery = "a=%20&é" }, 200},
		{"space in the query", func(r *http.Request) { r.URL.RawQuery = "a b" }, 400},
		{"line break in the query", func(r *http.Request) { r.URL.RawQuery = "a\r\nb" }, 400},
		{"NUL in the query", func(r *http.Request) { r.URL.RawQuery = "\x00" }, 400},
		{"DEL in the query", func(r *http.Request) { r.URL.RawQuery = "a\x7f" }, 400},
		{"trailer", func(r *http.Request) { r.Trailer = http.Header{"X-Sum": nil} }, 200},
		{"space in a trailer's name", func(r *http.Request) { r.Trailer = http.Header{"X-Sum": nil, "a b": nil} }, 400},
		{"so in one that would be removed", func(r *http.Request) { r.Trailer = http.Header{"Content Type": nil} }, 400},
		{"trailer without a name", func(r *http.Request) { r.Trailer = http.Header{"": nil} }, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.ProtoMajor, req.ProtoMinor = 2, 0
			tt.change(req)
			w := httptest.NewRecorder()
			bridge.New(bridge.Config{Stack: mesh.RoundTripFunc(over)}).ServeHTTP(w, req)
			if w.Code != tt.want {
				t.Errorf("status %d, want %d", w.Code, tt.want)
			}
		})
	}
}
