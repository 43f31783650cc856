package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"outrider/internal/mesh"
)

// raw reads all that comes, as it is.
func (k *talk) raw() (string, error) {
	b, err := io.ReadAll(k.r)
	return string(b), err
}

func TestFramesResponses(t *testing.T) {
	const get, get10 = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"
	// Each response has three bytes of body to send, where it may.
	dated := func(status int, length int64) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Date": {"now"}}, ContentLength: length}
	}
	with := func(resp *http.Response, name string, values ...string) *http.Response {
		resp.Header[name] = values
		return resp
	}
	none := func(resp *http.Response) *http.Response {
		resp.Body = http.NoBody
		return resp
	}
	for _, tt := range []struct {
		name, request string
		resp          *http.Response
		want          string
	}{
		{"length", get, dated(200, 3), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nDate: now\r\n\r\nabc"},
		{"no body", get, none(dated(200, 0)), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\nDate: now\r\n\r\n"},
		{"chunked", get, dated(200, -1), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nDate: now\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"},
		{"chunked and empty", get, none(dated(200, -1)), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nDate: now\r\n\r\n0\r\n\r\n"},
		{"until close", get10, dated(200, -1), "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: now\r\n\r\nabc"},
		{"length in 1.0", get10, dated(200, 3), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nDate: now\r\n\r\nabc"},
		{"HEAD", "HEAD" + get[3:], dated(200, 3), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nDate: now\r\n\r\n"},
		{"HEAD of no known length", "HEAD" + get[3:], dated(200, -1), "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: now\r\n\r\n"},
		{"HEAD of which nothing is said", "HEAD" + get[3:], dated(200, 0), "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: now\r\n\r\n"},
		{"204", get, none(dated(204, 0)), "HTTP/1.1 204 No Content\r\nConnection: close\r\nDate: now\r\n\r\n"},
		{"304", get, with(none(dated(304, 9)), "Content-Length", "9"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nConnection: close\r\nDate: now\r\n\r\n"},
		{"events", get, &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}, "Date": nil}, ContentLength: -1}, ""},
		{"426", get, &http.Response{StatusCode: http.StatusUpgradeRequired, Header: http.Header{"Upgrade": {"websocket"}}, Body: http.NoBody}, ""},
		{"what others say of framing", get, with(dated(200, 3), "Transfer-Encoding", "gzip"), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nDate: now\r\n\r\nabc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				resp := *tt.resp
				if resp.Body == nil {
					resp.Body = io.NopCloser(iotest.OneByteReader(strings.NewReader("abc")))
				}
				k := open(t, way, ServerConfig{Handler: answers(func(*http.Request) (*http.Response, error) { return &resp, nil })}).dial(t)
				k.send(tt.request)
				got, err := k.raw()
				if err != nil {
					t.Fatal(err)
				}
				switch tt.name {
				case "events":
					if !strings.Contains(got, "\r\nDate: ") || !strings.HasSuffix(got, "GMT\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n") {
						t.Errorf("got %q", got)
					}
				case "426":
					if !strings.Contains(got, "\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nDate: ") {
						t.Errorf("got %q", got)
					}
				default:
					if got != tt.want {
						t.Errorf("got\n%q, want\n%q", got, tt.want)
					}
				}
			})
		})
	}
}

func TestKeepsAnOldClientThatAsksForIt(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		k := open(t, way, ServerConfig{Handler: answers(hello)}).dial(t)
		for range 2 {
			k.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
			if resp := k.want(200, "GET /a"); resp.Header.Get("Connection") != "keep-alive" {
				t.Errorf("got %v", resp.Header)
			}
		}
	})
}

// A body goes on as it comes, with trailers at its end.
func TestStreams(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		r, w := io.Pipe()
		k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/next" {
				return hello(req)
			}
			resp := text(200, "")
			resp.ContentLength, resp.Trailer, resp.Body = -1, http.Header{"X-End": nil}, trailed{r, resp}
			return resp, nil
		})}).dial(t)
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(k.r, nil) // before anything of the body has come
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, _ = io.WriteString(w, "event")
			var got [5]byte
			if _, err := io.ReadFull(resp.Body, got[:]); err != nil || string(got[:]) != "event" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		w.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) > 0 || resp.Trailer.Get("X-End") != "yes" {
			t.Errorf("the end came as %q, %v, %v", b, err, resp.Trailer)
		}
		k.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want(200, "GET /next")
	})
}

// trailed is a body whose end brings a trailer.
type trailed struct {
	io.ReadCloser
	resp *http.Response
}

func (b trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.resp.Trailer["X-End"] = []string{"yes"}
	}
	return n, err
}

// Half an answer never looks whole.
func TestCutsWhatIsNotWhole(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name    string
		request string
		length  int64
		body    io.Reader
		want    error
	}{
		{"short", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 5, strings.NewReader("abc"), io.ErrUnexpectedEOF},
		{"long", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2, strings.NewReader("abc"), nil},
		{"broken", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 5, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), broken},
		{"broken chunks", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", -1, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), broken},
		{"broken until close", "GET / HTTP/1.0\r\n\r\n", -1, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), broken},
		{"panics", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", -1, panics{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				all := replayed(tt.body)
				ends := make(chan mesh.Result, 1)
				k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
					mesh.From(req).OnEnd(func(r mesh.Result) { ends <- r })
					resp := text(200, "")
					resp.ContentLength, resp.Body = tt.length, io.NopCloser(all())
					return resp, nil
				})}).dial(t)
				k.send(tt.request)
				resp, err := http.ReadResponse(k.r, nil)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
				}
				if err == nil {
					t.Error("the answer looks whole")
				}
				if r := <-ends; r.Err == nil || tt.want != nil && !errors.Is(r.Err, tt.want) {
					t.Errorf("the call ended with %v, want %v", r.Err, tt.want)
				}
			})
		})
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("at reading") }

// replayed returns a function that returns a reader of what r has.
func replayed(r io.Reader) func() io.Reader {
	if _, ok := r.(panics); ok {
		return func() io.Reader { return r }
	}
	b, err := io.ReadAll(r)
	return func() io.Reader {
		if err == nil {
			return bytes.NewReader(b)
		}
		return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(err))
	}
}

// counted counts the writes to a connection.
type counted struct {
	net.Conn
	mu     sync.Mutex // protects writes
	writes []int
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, len(p))
	return c.Conn.Write(p)
}

// The head and what there is of the body go in one write.
func TestWritesAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length int64
		body   io.Reader
		want   int
	}{
		{"small", 5, strings.NewReader("hello"), 1},
		{"none", 0, http.NoBody, 1},
		{"chunked and ready", -1, &prompt{strings.NewReader("hello")}, 1},
		{"chunked", -1, strings.NewReader("hello"), 3},
		{"64 KiB", 64 << 10, strings.NewReader(strings.Repeat("x", 64<<10)), 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			c := &counted{Conn: ours}
			s := NewServer(ServerConfig{Handler: answers(func(*http.Request) (*http.Response, error) {
				resp := text(200, "")
				resp.ContentLength, resp.Body = tt.length, readCloser{tt.body}
				return resp, nil
			})})
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.Serve(t.Context(), c)
			}()
			_, _ = io.WriteString(theirs, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			_, _ = io.Copy(io.Discard, theirs)
			<-done
			if len(c.writes) != tt.want {
				t.Errorf("writes of %d bytes, want %d", c.writes, tt.want)
			}
		})
	}
}

// readCloser keeps what else a reader can.
type readCloser struct{ io.Reader }

func (readCloser) Close() error { return nil }

func (r readCloser) Ready() bool {
	p, ok := r.Reader.(*prompt)
	return ok && p.Ready()
}

// prompt is a body that never waits.
type prompt struct{ *strings.Reader }

func (p *prompt) Ready() bool { return true }

// A response that one of our layers has spoiled is not sent.
func TestApologises(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		ends := make(chan mesh.Result, 1)
		k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
			mesh.From(req).OnEnd(func(r mesh.Result) { ends <- r })
			resp := text(200, "x")
			resp.Header["X-Bad"] = []string{"a\r\nb: c"}
			return resp, nil
		})}).dial(t)
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want(500, "")
		k.closed()
		var fault *mesh.Fault
		if r := <-ends; r.Status != 500 || !errors.As(r.Err, &fault) || fault.Kind != mesh.Internal {
			t.Errorf("result %+v", r)
		}
	})
}

func TestSendsLargeBodies(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16) // more than the kernel takes at once
	for _, length := range []int64{int64(len(large)), -1} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				k := open(t, way, ServerConfig{Handler: answers(func(*http.Request) (*http.Response, error) {
					resp := text(200, large)
					resp.ContentLength = length
					return resp, nil
				})}).dial(t)
				for range 2 {
					k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					k.want(200, large)
				}
			})
		})
	}
}
