package http1

import (
	"net/http"
	"testing"
)

const (
	typicalRequest = "GET /api/v1/orders?limit=20 HTTP/1.1\r\nhost: orders.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
		"Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\n" +
		"X-Request-Id: 0b3f4a52-7f0c-4e1b-8b39-0d8c2a5b9a01\r\nx-tenant: acme\r\nConnection: keep-alive\r\n\r\n"
	typicalAnswer = "HTTP/1.1 200 OK\r\nDate: Mon, 27 Jul 2009 12:28:53 GMT\r\nServer: origin\r\nContent-Type: application/json\r\n" +
		"Set-Cookie: a=b\r\nset-cookie: c=d\r\nX-Tenant: acme\r\nCache-Control: no-store\r\nContent-Length: 128\r\n\r\n"
)

// The budget: one allocation for the strings of a head, none for writing one or
// for decoding chunks.
func TestBudget(t *testing.T) {
	var h, answer head
	req, resp := new(http.Request), new(http.Response)
	buf := make([]byte, 0, 4<<10)
	text, answerText, body := []byte(typicalRequest), []byte(typicalAnswer), []byte("5\r\nhello\r\n0\r\n\r\n")
	var c chunks
	for _, tt := range []struct {
		name string
		want float64
		run  func() bool
	}{
		{"request", 1, func() bool {
			n, f := scan(text, 0, usual)
			_, g := h.request(text[:n], req)
			return f == nil && g == nil
		}},
		{"response", 1, func() bool {
			n, f := scan(answerText, 0, usual)
			_, g := answer.response(answerText[:n], req, resp)
			return f == nil && g == nil
		}},
		{"write request", 0, func() bool {
			_, f := appendRequest(buf, req, outgoing{length: 5, close: true})
			return f == nil
		}},
		{"write response", 0, func() bool {
			_, f := appendResponse(buf, resp, outgoing{length: 128})
			return f == nil
		}},
		{"decode chunks", 0, func() bool {
			c.reset(usual)
			_, _, done, _ := c.decode(buf[:100], body)
			return done
		}},
		{"write chunks", 0, func() bool {
			_, f := appendTrailer(appendChunk(buf, 1<<20), req.Header)
			return f == nil
		}},
	} {
		ok := true
		if got := testing.AllocsPerRun(100, func() { ok = ok && tt.run() }); got != tt.want || !ok {
			t.Errorf("%s: %v allocations, want %v; it went well: %v", tt.name, got, tt.want, ok)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	var h head
	req, text := new(http.Request), []byte(typicalRequest)
	b.ReportAllocs()
	for b.Loop() {
		n, _ := scan(text, 0, usual)
		if _, f := h.request(text[:n], req); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	var h head
	resp, text := new(http.Response), []byte(typicalAnswer)
	b.ReportAllocs()
	for b.Loop() {
		n, _ := scan(text, 0, usual)
		if _, f := h.response(text[:n], nil, resp); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	req, _, _, f := parseText(typicalRequest)
	if f != sound {
		b.Fatal(f)
	}
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, f := appendRequest(buf, req, outgoing{length: -1}); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	resp, _, _, f := parseAnswer("", typicalAnswer)
	if f != sound {
		b.Fatal(f)
	}
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, f := appendResponse(buf, resp, outgoing{length: 128}); f != nil {
			b.Fatal(f)
		}
	}
}
