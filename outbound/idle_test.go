package outbound

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

// Where nothing else bounds an exchange, a client that keeps its body back is not
// waited for without end; but nobody is hurried who is not the client.
func TestUploadIsNotWaitedForWithoutEnd(t *testing.T) {
	const idle = 10 * time.Second
	read := func(req *http.Request) { _, _ = io.Copy(io.Discard, req.Body) }
	for _, c := range []struct {
		name     string
		media    string
		send     func(w *io.PipeWriter)
		endpoint func(req *http.Request)
		total    time.Duration
		kind     mesh.Kind // that ends it; zero: none
	}{
		{"nothing comes", "", func(*io.PipeWriter) {}, read, 0, mesh.RequestTimeout},
		{"nothing comes of a stream", "application/grpc", func(*io.PipeWriter) {}, read, 0, mesh.IdleTimeout},
		{"it stops", "", func(w *io.PipeWriter) { trickle(w, 3, 9*time.Second) }, read, 0, mesh.RequestTimeout},
		{"it comes slowly", "", func(w *io.PipeWriter) { trickle(w, 9, 9*time.Second); _ = w.Close() }, read, 0, 0},
		{"the endpoint takes its time to answer", "", func(w *io.PipeWriter) { _ = w.Close() },
			func(req *http.Request) { read(req); <-time.After(5 * idle) }, 0, 0},
		{"the endpoint takes its time to read", "", func(w *io.PipeWriter) { trickle(w, 3, 0); _ = w.Close() },
			func(req *http.Request) { <-time.After(5 * idle); read(req) }, 0, 0},
		{"something else bounds it", "", func(w *io.PipeWriter) { <-time.After(2 * idle); _ = w.Close() }, read, time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, call := request("POST", "")
				body, w := io.Pipe()
				defer func() { _ = body.Close() }()
				req.Header.Set("Content-Type", c.media)
				req.Body = body
				context.AfterFunc(call.Context(), func() { _ = body.Close() }) // as the transport does
				go c.send(w)
				resp, err := timeout(c.total, idle)(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
					c.endpoint(req)
					if cause := context.Cause(mesh.From(req).Context()); cause != nil {
						return nil, mesh.EndOf(cause)
					}
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
				})).RoundTrip(req)
				switch f := mesh.AsFault(err); {
				case c.kind == 0 && err != nil:
					t.Errorf("ended by %v", err)
				case c.kind != 0 && (err == nil || f.Kind != c.kind || !f.ByClient):
					t.Errorf("got %v, %v; want %v, by the client", resp, err, c.kind)
				}
				call.End(mesh.Result{})
			})
		})
	}
}

// trickle sends n bytes, each after a pause.
func trickle(w io.Writer, n int, pause time.Duration) {
	for range n {
		<-time.After(pause)
		if _, err := w.Write([]byte("x")); err != nil {
			return
		}
	}
}
