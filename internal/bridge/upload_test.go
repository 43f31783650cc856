package bridge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// A Close beside a Read breaks it off, waits for it and may be repeated; the client
// still gets its answer.
func TestCloseBesideRead(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, proto string) {
		for _, fault := range []bool{false, true} {
			var readErr, after error
			waits := make(chan struct{})
			p := prepare(proto, func(req *http.Request) (*http.Response, error) {
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, readErr = io.ReadFull(req.Body, make([]byte, 6)) // of five: waits for ever
				}()
				select {
				case <-waits:
				case <-ended:
					t.Error("nothing was waited for")
				}
				req.Body.Close()
				req.Body.Close()
				<-ended
				_, after = req.Body.Read(make([]byte, 1))
				if err := context.Cause(mesh.From(req).Context()); err != nil {
					t.Errorf("closing the body ended the call: %v", err)
				}
				if fault {
					return nil, &mesh.Fault{Kind: mesh.ResponseTimeout}
				}
				return over(req)
			})
			handler := p.Config.Handler
			p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = &gate{ReadCloser: r.Body, left: 5, past: waits}
				handler.ServeHTTP(w, r)
			})
			p.start(t)
			r, w := io.Pipe()
			go func() { _, _ = io.WriteString(w, "hello") }() // and no end
			resp, err := p.client(t).Do(request(t, "POST", p.URL, r))
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{false: 200, true: 504}[fault]; resp.StatusCode != want {
				t.Errorf("fault %v: status %d", fault, resp.StatusCode)
			}
			resp.Body.Close()
			w.Close()
			if !errors.Is(readErr, http.ErrBodyReadAfterClose) || !errors.Is(after, http.ErrBodyReadAfterClose) {
				t.Errorf("the read ended with %v, the next with %v", readErr, after)
			}
			if r := await(t, p.ends); r.Received != 5 || r.Status != resp.StatusCode {
				t.Errorf("result %+v", r)
			}
		}
	})
}

// gate is a body that says when a read begins beyond the first bytes left.
type gate struct {
	io.ReadCloser
	left int
	past chan struct{}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.left == 0 {
		close(g.past) // a read beyond is never repeated
	}
	n, err := g.ReadCloser.Read(p)
	g.left -= n
	return n, err
}

// A client that is cut off is not waited for: net/http would, for the rest of its
// body.
func TestAbortWaitsForNobody(t *testing.T) {
	p := serve(t, "h1", func(*http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) })
	conn, r := p.dial(t)
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello"); err != nil {
		t.Fatal(err)
	}
	if b, err := r.ReadByte(); err == nil {
		t.Errorf("got %q", b)
	}
}

// The response goes out while the upload goes on; when the response has ended, so
// has the upload.
func TestEarlyAnswer(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		uploaded := make(chan error, 1)
		down, feed := io.Pipe()
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			go func() {
				_, err := io.Copy(feed, req.Body) // echoes, piece by piece
				uploaded <- err
			}()
			resp := reply(req, http.StatusOK, "")
			resp.Body, resp.ContentLength = down, -1
			return resp, nil
		})
		up, w := io.Pipe()
		resp, err := p.client(t).Do(request(t, "POST", p.URL, up)) // the head, before the body
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for _, part := range []string{"first", "again"} {
			if _, err := io.WriteString(w, part); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != part {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		feed.Close() // the endpoint has said all; the client has not
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Errorf("rest %q, %v", rest, err)
		}
		if err := await(t, uploaded); err == nil {
			t.Error("the upload outlived its response")
		}
		w.Close()
		if r := await(t, p.ends); r.Err != nil || r.Received != 10 || r.Sent != 10 {
			t.Errorf("result %+v", r)
		}
	})
}

// What is left of an upload that was broken off is never taken for a request.
func TestRestOfUploadIsNoRequest(t *testing.T) {
	asked := make(chan string, 8)
	p := serve(t, "h1", func(req *http.Request) (*http.Response, error) {
		asked <- req.URL.Path
		started, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.ReadFull(req.Body, make([]byte, 1))
			close(started)
			_, _ = io.Copy(io.Discard, req.Body)
		}()
		<-started
		req.Body.Close()
		<-ended
		return over(req)
	})
	conn, r := p.dial(t)
	resp := exchange(t, conn, r, "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")
	if resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
	}
	_, _ = io.WriteString(conn, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"+strings.Repeat("x", 1000))
	rest, _ := io.ReadAll(r) // a reset is as good an end as any
	if strings.Contains(string(rest), "HTTP/1.1") {
		t.Errorf("a second response: %q", rest)
	}
	p.Close()
	if <-asked; len(asked) > 0 {
		t.Errorf("the stack was asked for %s too", <-asked)
	}
}

func TestClientGone(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		t.Run("while the stack waits", func(t *testing.T) {
			entered := make(chan struct{})
			cause := make(chan error, 1)
			p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
				ctx := mesh.From(req).Context()
				close(entered)
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return nil, ctx.Err() // as a transport would
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-entered; cancel() }()
			resp, err := p.client(t).Do(request(t, "GET", p.URL, nil).WithContext(ctx))
			if err == nil {
				resp.Body.Close()
				t.Errorf("status %d", resp.StatusCode)
			}
			if err := await(t, cause); kindOf(err) != mesh.ClientGone {
				t.Errorf("cause %v", err)
			}
			if r := await(t, p.ends); r.Status != 499 || kindOf(r.Err) != mesh.ClientGone {
				t.Errorf("result %+v", r)
			}
		})
		t.Run("while it sends", func(t *testing.T) {
			p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
				_, err := io.Copy(io.Discard, req.Body)
				if kindOf(err) != mesh.ClientGone {
					t.Errorf("the body ended with %v", err)
				}
				return nil, err
			})
			r, w := io.Pipe()
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _, _ = io.WriteString(w, "hello"); cancel(); w.CloseWithError(context.Canceled) }()
			resp, err := p.client(t).Do(request(t, "POST", p.URL, r).WithContext(ctx))
			if err == nil {
				resp.Body.Close()
				t.Errorf("status %d", resp.StatusCode)
			}
			w.Close()
			if r := await(t, p.ends); r.Status != 499 || kindOf(r.Err) != mesh.ClientGone {
				t.Errorf("result %+v", r)
			}
		})
		t.Run("while it receives", func(t *testing.T) {
			r, w := io.Pipe()
			p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
				resp := reply(req, http.StatusOK, "")
				resp.Body, resp.ContentLength = r, -1
				context.AfterFunc(mesh.From(req).Context(), func() { w.CloseWithError(context.Canceled) })
				return resp, nil
			})
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := p.client(t).Do(request(t, "GET", p.URL, nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			resp.Body.Close()
			if r := await(t, p.ends); r.Status != 200 || kindOf(r.Err) != mesh.ClientGone {
				t.Errorf("result %+v", r)
			}
		})
	})
}

// A server that is stopped for a reason says so.
func TestServerStops(t *testing.T) {
	ctx, stop := context.WithCancelCause(context.Background())
	stop(&mesh.Fault{Kind: mesh.Draining})
	p := prepare("h2c", func(req *http.Request) (*http.Response, error) {
		ctx := mesh.From(req).Context()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	base := p.Config.Handler
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { base.ServeHTTP(w, r.WithContext(ctx)) })
	p.start(t)
	if resp, _ := p.do(t, request(t, "GET", p.URL, nil)); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestBodyErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(http.ResponseWriter, *http.Request)
		want mesh.Kind
	}{
		{"too large", func(w http.ResponseWriter, r *http.Request) { r.Body = http.MaxBytesReader(w, r.Body, 3) }, mesh.BodyTooLarge},
		{"a fault of a layer's", func(_ http.ResponseWriter, r *http.Request) {
			r.Body = io.NopCloser(fails(&mesh.Fault{Kind: mesh.Limited}))
		}, mesh.Limited},
		{"too slow", func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		}, mesh.RequestTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := prepare("h2c", func(req *http.Request) (*http.Response, error) {
				_, err := io.ReadAll(req.Body)
				return nil, err
			})
			base := p.Config.Handler
			p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tt.wrap(w, r)
				base.ServeHTTP(w, r)
			})
			p.start(t)
			r, w := io.Pipe()
			go func() { _, _ = io.WriteString(w, "hello") }()
			resp, err := p.client(t).Do(request(t, "POST", p.URL, r))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			w.Close()
			if resp.StatusCode != tt.want.Status() {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.want.Status())
			}
		})
	}
}
