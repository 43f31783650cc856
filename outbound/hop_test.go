package outbound

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"outrider/internal/mesh"
)

// scripted answers each connection by hand: it reads the head, writes answer, and
// reports the head and whatever came after it until the connection ended.
func scripted(t *testing.T, answer string) (address string, heads chan *http.Request, rest chan []byte) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	heads, rest = make(chan *http.Request, 1), make(chan []byte, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		head, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		heads <- head
		_, _ = io.WriteString(c, answer)
		came, _ := io.ReadAll(r)
		rest <- came
	}()
	return ln.Addr().String(), heads, rest
}

// RFC 9110, section 10.1.1: a client that asks first and is refused is not told to
// continue, and its body goes nowhere.
func TestExpectationRefused(t *testing.T) {
	address, _, rest := scripted(t, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
	tr := newTransport(&dialer{endpoint: mesh.Endpoint{ID: "a", Scheme: "http", Address: address}}, "")
	req, call := request("POST", "only for who wants it")
	req.Header.Set("Expect", "100-continue")
	up := newUpload(req)
	a, err := new(retrier).begin(call, req, up)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(&a.req)
	if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	call.End(mesh.Result{})
	if came := <-rest; len(came) > 0 {
		t.Errorf("after its refusal the endpoint got %q", came)
	}
}

// RFC 9110, section 10.1.4: TE belongs to the connection, and says so.
func TestTENeedsConnection(t *testing.T) {
	address, heads, _ := scripted(t, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	tr := newTransport(&dialer{endpoint: mesh.Endpoint{ID: "a", Scheme: "http", Address: address}}, "")
	req, call := request("GET", "")
	req.Header.Set("Te", "trailers")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	call.End(mesh.Result{})
	if head := <-heads; head.Header.Get("Te") != "trailers" || head.Header.Get("Connection") != "TE" {
		t.Errorf("the endpoint got %v", head.Header)
	}
}
