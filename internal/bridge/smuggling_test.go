package bridge_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// The bytes of a message that means two things to two servers end before the
// stack, and what follows them is never taken for a request.
func TestSmuggling(t *testing.T) {
	const follow = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tt := range []struct{ name, head string }{
		{"two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
		{"signed length", "Content-Length: +5\r\n\r\nhello"},
		{"list length", "Content-Length: 5, 5\r\n\r\nhello"},
		{"space before colon", "Content-Length : 5\r\n\r\nhello"},
		{"unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
		{"chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
		{"length beside chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"no host twice", "Host: b\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := serve(t, "h1", func(req *http.Request) (*http.Response, error) {
				t.Errorf("the stack got %s", req.URL)
				return over(req)
			})
			conn, r := p.dial(t)
			resp := exchange(t, conn, r, "POST / HTTP/1.1\r\nHost: a\r\n"+tt.head+follow)
			if resp.StatusCode < 400 || !resp.Close {
				t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
			}
		})
	}
	t.Run("bad chunk", func(t *testing.T) {
		var got seen
		p := serve(t, "h1", record(&got))
		resp := p.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"+follow)
		if resp.StatusCode != http.StatusBadRequest || !resp.Close {
			t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
		}
	})
	t.Run("HTTP/2 length", func(t *testing.T) {
		// net/http's own HTTP/2 sender would not send this; its server takes it
		// for a length of zero.
		for _, values := range [][]string{{"abc"}, {"5", "5"}, {"-1"}, {"7"}} {
			stack := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				t.Errorf("the stack got length %q", values)
				return over(req)
			})
			req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("hello"))
			req.ProtoMajor, req.ProtoMinor = 2, 0
			req.Header["Content-Length"] = values
			w := httptest.NewRecorder()
			bridge.New(bridge.Config{Stack: stack}).ServeHTTP(w, req)
			if w.Code != http.StatusBadRequest {
				t.Errorf("%q: status %d", values, w.Code)
			}
		}
	})
}
