package http1

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// A request that takes long is no idleness: what was waited for before it is forgotten,
// and the request that came after it is served.
func TestPatienceBeginsAnewAfterARequest(t *testing.T) {
	const patience = 500 * time.Millisecond
	eachWay(t, func(t *testing.T, way string) {
		h := open(t, way, ServerConfig{
			ReadHeaderTimeout: patience, IdleTimeout: patience,
			Handler: answers(func(req *http.Request) (*http.Response, error) {
				_, _ = io.Copy(io.Discard, req.Body)
				if req.URL.Path == "/slow" {
					longer, cancel := context.WithTimeout(mesh.From(req).Context(), patience+patience/4)
					defer cancel()
					<-longer.Done()
				}
				return hello(req)
			}),
		})
		k := h.dial(t)
		k.send("POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want(200, "POST /slow")
		k.want(200, "GET /next")
	})
}

// readings is a body of so many reads.
type readings struct{ left int }

func (c *readings) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(p, "some of an answer"), nil
}

func (c *readings) Close() error { return nil }

// An answer is written while another goroutine reads the request's body.
func TestAnswerBesideUpload(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		var uploads sync.WaitGroup
		h := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
			body := req.Body
			uploads.Go(func() { _, _ = io.Copy(io.Discard, body) })
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: &readings{left: 5000}}, nil
		})})
		k := h.dial(t)
		k.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		var sender sync.WaitGroup
		sender.Go(func() {
			for {
				if _, err := fmt.Fprintf(k, "5\r\nhello\r\n"); err != nil {
					return
				}
			}
		})
		resp, text := k.response("POST")
		if resp.StatusCode != http.StatusOK || len(text) != 5000*len("some of an answer") {
			t.Errorf("%d, %d bytes", resp.StatusCode, len(text))
		}
		k.Close()
		sender.Wait()
		uploads.Wait()
	})
}

// Trailers that nobody was told of change nothing in a request that others look at while
// its body is read.
func TestUnannouncedTrailers(t *testing.T) {
	h := open(t, "raw", ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
		read := make(chan struct{})
		body := req.Body
		go func() {
			defer close(read)
			_, _ = io.Copy(io.Discard, body)
		}()
		before := *req
		<-read
		return text(200, fmt.Sprint(before.Trailer, req.Trailer)), nil
	})})
	k := h.dial(t)
	k.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n")
	k.want(200, "map[] map[]")
}

// Where not even the first line has ended within the limit, it is the target that is too
// long.
func TestEndlessTarget(t *testing.T) {
	h := open(t, "raw", ServerConfig{HeaderBytes: 1 << 10, Handler: answers(hello)})
	k := h.dial(t)
	k.send("GET /" + strings.Repeat("x", 1<<10))
	if resp, _ := k.response(http.MethodGet); resp.StatusCode != http.StatusRequestURITooLong {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// A request of very many fields leaves no large maps behind, to be cleared for everybody
// else's requests.
func TestManyFieldsAreForgotten(t *testing.T) {
	for _, tt := range []struct {
		fields int
		kept   bool
	}{{20, true}, {900, false}} {
		var b strings.Builder
		b.WriteString("GET / HTTP/1.1\r\nHost: a\r\n")
		for i := range tt.fields {
			fmt.Fprintf(&b, "X-%d: 1\r\n", i)
		}
		l := newLoan(t.Context())
		if _, fault := l.head.request([]byte(b.String()+"\r\n"), l.req); fault != nil {
			t.Fatal(fault)
		}
		if !l.forget() {
			t.Fatal("it is not forgotten")
		}
		if kept := l.head.header != nil; kept != tt.kept {
			t.Errorf("%d fields: kept %v", tt.fields, kept)
		}
	}
}
