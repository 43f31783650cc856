package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

// timed runs a test against a Server whose client is the other end of a pipe, in a
// bubble of its own time.
func timed(t *testing.T, c ServerConfig, test func(t *testing.T, k *talk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		s := NewServer(c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Serve(context.Background(), ours)
		}()
		test(t, &talk{Conn: theirs, r: bufio.NewReader(theirs), t: t})
		theirs.Close()
		<-done
		if s.taken.Load() != 0 {
			t.Error("a work is out")
		}
	})
}

// since checks how long it is since start.
func since(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("it took %v, want %v", got, want)
	}
}

func TestPatienceWithIdleConnections(t *testing.T) {
	timed(t, ServerConfig{Handler: answers(hello), IdleTimeout: time.Minute, ReadHeaderTimeout: 10 * time.Second}, func(t *testing.T, k *talk) {
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want(200, "GET /")
		start := time.Now()
		k.closed()
		since(t, start, time.Minute)
	})
	timed(t, ServerConfig{Handler: answers(hello), IdleTimeout: time.Minute, ReadHeaderTimeout: 10 * time.Second}, func(t *testing.T, k *talk) {
		start := time.Now() // of a connection that never says anything
		k.closed()
		since(t, start, 10*time.Second)
	})
	timed(t, ServerConfig{Handler: answers(hello), IdleTimeout: -1, ReadHeaderTimeout: -1}, func(t *testing.T, k *talk) {
		time.Sleep(2 * time.Hour)
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want(200, "GET /")
	})
}

// A head has its time from its first byte to its last, however it drips.
func TestPatienceWithHeads(t *testing.T) {
	timed(t, ServerConfig{Handler: answers(hello), ReadHeaderTimeout: 10 * time.Second}, func(t *testing.T, k *talk) {
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want(200, "GET /")
		time.Sleep(30 * time.Second) // idle
		start := time.Now()
		got := make(chan *http.Response)
		go func() {
			resp, _ := k.response("GET")
			got <- resp
		}()
		for _, b := range "GET / HTTP/1.1\r\nHost:" {
			if _, err := io.WriteString(k, string(b)); err != nil {
				break
			}
			time.Sleep(time.Second)
			if time.Since(start) >= 10*time.Second {
				break
			}
		}
		if resp := <-got; resp.StatusCode != http.StatusRequestTimeout || !resp.Close {
			t.Errorf("got %d, close %v", resp.StatusCode, resp.Close)
		}
		since(t, start, 10*time.Second)
		k.Close()
	})
}

func TestPatienceWithBodies(t *testing.T) {
	for _, tt := range []struct {
		name  string
		head  string
		every time.Duration // between bytes; zero: none come
		bytes int           // that come at a time
		want  time.Duration // until it is given up; zero: never
	}{
		{"nothing comes", "Content-Length: 1000\r\n", 0, 0, 10 * time.Second},
		{"it drips", "Content-Length: 1000\r\n", time.Second, 1, 10 * time.Second},
		{"slow, and fast enough", "Content-Length: 4000\r\n", 2 * time.Second, 400, 0},
		{"chunks come when they come", "Transfer-Encoding: chunked\r\n", 9 * time.Second, 1, 0},
		{"no chunk comes", "Transfer-Encoding: chunked\r\n", 0, 0, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			timed(t, ServerConfig{BodyTimeout: 10 * time.Second, Handler: answers(func(req *http.Request) (*http.Response, error) {
				if _, err := io.ReadAll(req.Body); err != nil {
					fault := mesh.AsFault(err)
					return text(fault.Kind.Status(), fault.Kind.Code()), fault
				}
				return text(200, "all"), nil
			})}, func(t *testing.T, k *talk) {
				start := time.Now()
				go func() {
					_, _ = io.WriteString(k, "POST / HTTP/1.1\r\nHost: a\r\n"+tt.head+"\r\n")
					chunked := strings.HasPrefix(tt.head, "T")
					for n := 0; tt.every > 0 && n < 10; n++ {
						piece := strings.Repeat("x", tt.bytes)
						if chunked {
							piece = "1\r\n" + piece + "\r\n"
						}
						time.Sleep(tt.every)
						if _, err := io.WriteString(k, piece); err != nil {
							return
						}
					}
					if chunked && tt.every > 0 {
						_, _ = io.WriteString(k, "0\r\n\r\n")
					}
				}()
				if tt.want == 0 {
					k.want(200, "all")
					return
				}
				if resp := k.want(408, "request_timeout"); !resp.Close {
					t.Error("the connection is to go on")
				}
				since(t, start, tt.want)
				k.Close()
			})
		})
	}
}

// A client that takes nothing is cut off, at the call's deadline at the latest.
func TestPatienceWithWrites(t *testing.T) {
	for _, tt := range []struct {
		name     string
		deadline time.Duration
		want     time.Duration
		kind     mesh.Kind
	}{
		{"stalls", 0, 15 * time.Second, mesh.ClientGone},
		{"deadline", 5 * time.Second, 5 * time.Second, mesh.ResponseTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ends chan mesh.Result // of the bubble
			timed(t, ServerConfig{StallTimeout: 10 * time.Second, Handler: answers(func(req *http.Request) (*http.Response, error) {
				call := mesh.From(req)
				call.OnEnd(func(r mesh.Result) { ends <- r })
				if tt.deadline > 0 {
					call.SetDeadline(time.Now().Add(tt.deadline), &mesh.Fault{Kind: mesh.ResponseTimeout})
				}
				return text(200, strings.Repeat("x", 1<<20)), nil
			})}, func(t *testing.T, k *talk) {
				ends = make(chan mesh.Result, 1)
				start := time.Now()
				k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				r := <-ends
				since(t, start, tt.want)
				var fault *mesh.Fault
				if !errors.As(r.Err, &fault) || fault.Kind != tt.kind {
					t.Errorf("ended with %v, want %v", r.Err, tt.kind)
				}
			})
		})
	}
}

// A client that is still sending when we close is read from for a second at most.
func TestPatienceWithTheUnheard(t *testing.T) {
	timed(t, ServerConfig{Handler: answers(hello)}, func(t *testing.T, k *talk) {
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := io.WriteString(k, "POST / HTTP/1.0\r\nContent-Length: 1000000000\r\n\r\n"); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		k.want(200, "POST /")
		k.closed()
		since(t, start, time.Second)
		<-done
	})
}
