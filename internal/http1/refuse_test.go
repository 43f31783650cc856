package http1

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/internal/mesh"
)

// What two parsers could read differently is answered and ends the connection: nothing
// that follows is served.
func TestRefusesAndCloses(t *testing.T) {
	const next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tt := range []struct {
		name, request string
		want          int
	}{
		{"CL.TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
		{"TE.TE", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
		{"TE before 1.1", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		{"signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400},
		{"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
		{"obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400},
		{"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01", 400},
		{"long target", "GET /" + strings.Repeat("a", 2000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"long field", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 2000) + "\r\n\r\n", 431},
		{"many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: a\r\n", 50) + "\r\n", 431},
		{"long head", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("a", 900)+"\r\n", 10) + "\r\n", 431},
		{"endless head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 1<<20), 431},
		{"chunk extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;x\r\n\r\n", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				ends := make(chan mesh.Result, 2)
				h := open(t, way, ServerConfig{HeaderBytes: 8 << 10, LineBytes: 1 << 10, StartBytes: 1 << 10, Fields: 20, Handler: watching{answers(hello), ends}})
				k := h.dial(t)
				k.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n" + tt.request + next)
				k.want(200, "GET /first")
				if resp, _ := k.response("GET"); resp.StatusCode != tt.want || !resp.Close {
					t.Fatalf("got %d, close %v, want %d", resp.StatusCode, resp.Close, tt.want)
				}
				k.closed()
				<-ends
				if r := <-ends; r.Status != tt.want || tt.want != 200 && mesh.AsFault(r.Err).Kind.Status() != tt.want {
					t.Errorf("result %+v", r)
				}
			})
		})
	}
}

// watching sees the ends of calls.
type watching struct {
	answers
	ends chan<- mesh.Result
}

func (w watching) Handle(req *http.Request) (*http.Response, error) {
	mesh.From(req).OnEnd(func(r mesh.Result) { w.ends <- r })
	return w.answers(req)
}

func (w watching) Refuse(req *http.Request, fault *mesh.Fault) (*http.Response, error) {
	mesh.From(req).OnEnd(func(r mesh.Result) { w.ends <- r })
	return w.answers.Refuse(req, fault)
}

// Wherever a client resets the connection, nothing is left behind, and no request is
// served that has not come whole.
func TestResetAtEveryByte(t *testing.T) {
	const request = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, way := range []string{"raw", "plain"} {
		t.Run(way, func(t *testing.T) {
			var begun, ended atomic.Int64
			h := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
				begun.Add(1)
				mesh.From(req).OnEnd(func(mesh.Result) { ended.Add(1) })
				return echo(req)
			})})
			before := descriptors(t)
			for n := range len(request) + 1 {
				for _, reset := range []bool{false, true} {
					k := h.dial(t)
					k.send(request[:n])
					if reset {
						_ = k.Conn.(*net.TCPConn).SetLinger(0)
					}
					k.Close()
				}
			}
			if err := h.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.alone()
			if after := descriptors(t); after > before {
				t.Errorf("%d descriptors are open, were %d", after, before)
			}
			if begun.Load() != ended.Load() || h.taken.Load() != 0 {
				t.Errorf("%d calls began, %d ended, %d works are out", begun.Load(), ended.Load(), h.taken.Load())
			}
		})
	}
}

// descriptors returns how many files and sockets are open, where the system tells.
func descriptors(t *testing.T) int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(open)
}

// Whether a head or body comes in one piece or byte by byte makes no difference.
func TestRequestsInPieces(t *testing.T) {
	const request = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	eachWay(t, func(t *testing.T, way string) {
		k := open(t, way, ServerConfig{Handler: answers(echo)}).dial(t)
		for n := range len(request) {
			k.send(request[:n])
			k.send(request[n:])
			k.want(200, `5 "hello" []`)
		}
		for i := range len(request) {
			k.send(request[i : i+1])
		}
		k.want(200, `5 "hello" []`)
	})
}

// What the server knows stands in the call and the request.
func TestIntroducesTheClient(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		h := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
			call := mesh.From(req)
			return text(200, fmt.Sprint(call.Peer, req.RemoteAddr, call.Secure, req.TLS != nil, call.Fields, call.FieldBytes, call.Start.IsZero(), call.Interim != nil, req.Host, req.RequestURI)), nil
		})})
		k := h.dial(t)
		peer, secure := k.LocalAddr().String(), way == "tls"
		for range 2 {
			k.send("GET /x?y HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nA: b\r\n\r\n")
			k.want(200, fmt.Sprint(peer, peer, secure, secure, 2, len("Accept: */*\r\nA: b\r\n"), false, true, "shop.example", "/x?y"))
		}
		k.send("GET / HTTP/1.0\r\n\r\n")
		k.want(200, fmt.Sprint(peer, peer, secure, secure, 0, 0, false, false, "", "/"))
	})
}
