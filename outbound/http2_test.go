package outbound

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"outrider/internal/mesh"
)

// TestBrokenHTTP2Connection: net/http has words for the end of a connection that no
// type tells from nonsense.
func TestBrokenHTTP2Connection(t *testing.T) {
	settled := func() *conn {
		c := &conn{}
		c.settings.Store(true)
		return c
	}
	for _, c := range []struct {
		name   string
		conn   *conn
		headed bool
		want   mesh.Kind
	}{
		{"agreed on in TLS", &conn{agreed: true}, false, mesh.Reset},
		{"settled", settled(), false, mesh.Reset},
		{"after a head", settled(), true, mesh.BadResponse},
		{"never HTTP/2", &conn{}, false, mesh.BadResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &exchange{ctx: t.Context(), method: "GET", conn: c.conn, headed: c.headed}
			f := x.fault(errors.New("http2: client conn could not be established"))
			if f.Kind != c.want || f.ByClient {
				t.Errorf("got %v, ByClient %v; want %v", f.Kind, f.ByClient, c.want)
			}
		})
	}
}

// TestHTTP2KeepsNoHead: the connection remembers strings, none of which may be a
// piece of what the client sent.
func TestHTTP2KeepsNoHead(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	e := mesh.Endpoint{Scheme: "h2c", Address: server.Listener.Addr().String()}
	via := newTransport(&dialer{endpoint: e}, HostPreserve)
	defer via.CloseIdleConnections()

	var head []byte
	piece := func(s string) string { // the next one of the head
		head = append(head, s...)
		return unsafe.String(&head[len(head)-len(s)], len(s))
	}
	head = make([]byte, 0, 1<<10)
	var mu sync.Mutex
	sent := map[string]bool{}
	check := func(s string) {
		if p := uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.SliceData(head))); p < uintptr(cap(head)) {
			t.Errorf("%q is a piece of the head", s)
		}
	}
	trace := &httptrace.ClientTrace{WroteHeaderField: func(name string, values []string) {
		mu.Lock()
		defer mu.Unlock()
		sent[name] = true
		check(name)
		for _, v := range values {
			check(v)
		}
	}}
	req := (&http.Request{
		Method: piece("PROPFIND"), Host: piece("shop.test"),
		URL:    &url.URL{Scheme: "http", Host: e.Address, Path: piece("/tea")},
		Header: http.Header{piece("X-Key"): {piece("somebody")}, piece("0"): {piece("digit")}},
	}).WithContext(httptrace.WithClientTrace(t.Context(), trace))
	resp, err := via.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{":method", ":authority", ":path", "x-key", "0"} {
		if !sent[name] {
			t.Errorf("%s was not seen", name)
		}
	}
}

// TestOpenStreamOwesNothing: a gRPC call may be one that reads and writes at once.
func TestOpenStreamOwesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newSlowBody()
		req, call := request("POST", "")
		req.Body, req.ContentLength = client, -1
		req.Header.Set("Content-Type", "application/grpc")
		endpoint := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			return newExchange("a", req).run(carrier(-1))
		})
		stack := mesh.Stack(endpoint, timeout(time.Second, 0), func(next http.RoundTripper) http.RoundTripper {
			return layer(Retry{}, next, &recorder{})
		})
		_, err := stack.RoundTrip(req)
		if f := mesh.AsFault(err); f.Kind != mesh.ResponseTimeout || f.ByClient {
			t.Errorf("got %v, ByClient %v", f, f.ByClient)
		}
		_ = client.Close()
		call.End(mesh.Result{})
	})
}
