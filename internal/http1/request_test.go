package http1

import (
	"net/http"
	"testing"
)

// usual are the limits of tests that are not about limits.
var usual = limits{head: 64 << 10, start: 8 << 10, line: 32 << 10, fields: 100}

func TestRequest(t *testing.T) {
	const text = "GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\naccept: */*\r\nx-own-name: 1\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nGET"
	b := []byte(text)
	n, f := scan(b, 0, usual)
	if f != nil || n != len(text)-3 {
		t.Fatalf("%d %v", n, f)
	}
	var h head
	req := new(http.Request)
	frame, f := h.request(b[:n], req)
	if f != nil {
		t.Fatal(f)
	}
	if frame != (framing{}) || req.Method != "GET" || req.URL.Path != "/a/b" || req.URL.RawQuery != "c=d" || req.Host != "example.com" {
		t.Errorf("%+v %+v", frame, req)
	}
	out, f := appendRequest(nil, req, outgoing{length: -1})
	t.Logf("%s %v %v %d %d", out, f, req.Header, h.fields, h.fieldBytes)
}

func TestHeadsCostOneAllocation(t *testing.T) {
	text := []byte("GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\naccept: */*\r\nx-own-name: 1\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n")
	var h head
	req := new(http.Request)
	if n := testing.AllocsPerRun(100, func() {
		if n, f := scan(text, 0, usual); f != nil || n != len(text) {
			t.Fatal(f)
		}
		if _, f := h.request(text, req); f != nil {
			t.Fatal(f)
		}
	}); n != 1 {
		t.Errorf("%v allocations", n)
	}
	resp := new(http.Response)
	text = []byte("HTTP/1.1 200 OK\r\nDate: now\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 5\r\nX-Own: 5\r\n\r\n")
	if n := testing.AllocsPerRun(100, func() {
		if _, f := h.response(text, req, resp); f != nil {
			t.Fatal(f)
		}
	}); n != 1 {
		t.Errorf("%v allocations", n)
	}
	buf := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() {
		if _, f := appendRequest(buf, req, outgoing{chunked: true, close: true}); f != nil {
			t.Fatal(f)
		}
		if _, f := appendResponse(buf, resp, outgoing{length: 5, keep: true}); f != nil {
			t.Fatal(f)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestChunks(t *testing.T) {
	var c chunks
	c.reset(usual)
	dst := make([]byte, 100)
	w, n, done, f := c.decode(dst, []byte("5\r\nhello\r\n0\r\nA: b\r\n\r\nGET"))
	t.Log(w, n, done, f, c.trailer, string(dst[:w]))
}

func BenchmarkRequest(b *testing.B) {
	text := []byte("GET /api/v1/orders?limit=20 HTTP/1.1\r\nHost: orders.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
		"Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\n" +
		"X-Request-Id: 0b3f4a52-7f0c-4e1b-8b39-0d8c2a5b9a01\r\nX-Tenant: acme\r\nConnection: keep-alive\r\n\r\n")
	var h head
	req := new(http.Request)
	b.ReportAllocs()
	for b.Loop() {
		n, f := scan(text, 0, usual)
		if f != nil {
			b.Fatal(f)
		}
		if _, f := h.request(text[:n], req); f != nil {
			b.Fatal(f)
		}
	}
}
