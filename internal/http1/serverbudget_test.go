package http1

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// constant answers every request with the same response. It serves one at a time.
func constant(body string) answers {
	r := strings.NewReader(body)
	header := http.Header{"Content-Type": {"text/plain"}}
	resp := &http.Response{StatusCode: http.StatusOK, Header: header, ContentLength: int64(len(body))}
	content := io.NopCloser(r)
	return func(*http.Request) (*http.Response, error) {
		r.Reset(body)
		resp.Body = content
		return resp, nil
	}
}

// exchange sends a request and reads a response of so many bytes.
func (k *talk) exchange(request, in []byte) {
	if _, err := k.Write(request); err != nil {
		k.t.Error(err)
	}
	if _, err := io.ReadFull(k.Conn, in); err != nil {
		k.t.Error(err)
	}
}

// A request costs the server one allocation: the string that all of its head's are parts
// of.
func TestServerBudget(t *testing.T) {
	for _, tt := range []struct{ name, request string }{
		{"GET", "GET /path?query HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\nX-Custom: 1\r\n\r\n"},
		{"POST", "POST /path HTTP/1.1\r\nHost: shop.example\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"},
	} {
		for _, way := range []string{"raw", "plain"} {
			t.Run(tt.name+" "+way, func(t *testing.T) {
				k := open(t, way, ServerConfig{Handler: constant("hello")}).dial(t)
				in := make([]byte, len("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\nhello"))
				request := []byte(tt.request)
				k.exchange(request, in)
				if got := testing.AllocsPerRun(1000, func() { k.exchange(request, in) }); got > 1+dropped {
					t.Errorf("%v allocations, want 1", got)
				}
			})
		}
	}
}

func BenchmarkServer(b *testing.B) {
	for _, way := range []string{"raw", "plain"} {
		b.Run(way, func(b *testing.B) {
			k := open(b, way, ServerConfig{Handler: constant("hello")}).dial(b)
			in := make([]byte, len("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\nhello"))
			request := []byte("GET /path?query HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\nX-Custom: 1\r\n\r\n")
			b.ReportAllocs()
			for b.Loop() {
				k.exchange(request, in)
			}
		})
	}
}
