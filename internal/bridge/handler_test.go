package bridge_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// A Handler is for HTTP/2: another version is answered, and its connection ends.
func TestHandlerRefusesHTTP1(t *testing.T) {
	for _, message := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		refused := make(chan *mesh.Fault, 2)
		server := httptest.NewServer(bridge.New(bridge.Config{
			Stack: mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				t.Errorf("%q reached the stack", message)
				return over(req)
			}),
			Refused: func(_ *http.Request, f *mesh.Fault) { refused <- f },
		}))
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		resp := exchange(t, c, r, message)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusBadRequest || !resp.Close {
			t.Errorf("%q: status %d, close %v, %v", message, resp.StatusCode, resp.Close, err)
		}
		if _, err := r.ReadByte(); err == nil {
			t.Errorf("%q: the connection goes on", message)
		}
		c.Close()
		server.Close()
		if f := <-refused; f.Kind != mesh.Malformed || len(refused) > 0 {
			t.Errorf("%q: refused as %v, and %d more", message, f, len(refused))
		}
	}
}
