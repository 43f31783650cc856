package integration_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/internal/mesh"
)

// guarded is the client's body with a look at who does what with it.
type guarded struct {
	io.ReadCloser
	reading, closed, late atomic.Int64
	over                  atomic.Bool
}

func (g *guarded) Read(p []byte) (int, error) {
	if g.over.Load() {
		g.late.Add(1)
	}
	g.reading.Add(1)
	defer g.reading.Add(-1)
	return g.ReadCloser.Read(p)
}

func (g *guarded) Close() error {
	g.closed.Add(1)
	return g.ReadCloser.Close()
}

// guard puts a guarded body into each request and hands it over.
func guard(bodies chan<- *guarded) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			g := &guarded{ReadCloser: req.Body}
			req.Body = g
			bodies <- g
			return next.RoundTrip(req)
		})
	}
}

// fullDuplex lets an HTTP/1.1 endpoint answer while the body still comes.
func fullDuplex(t *testing.T, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 {
		return
	}
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		t.Error(err)
	}
}

// Clause 4: the upload goes on beside the response.
func TestLifetime4UploadOutlivesTheHead(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		origin := p.endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			fullDuplex(t, w, r)
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				_, _ = io.WriteString(w, "heard "+lines.Text()+"\n")
				_ = http.NewResponseController(w).Flush()
			}
		})
		bodies := make(chan *guarded, 1)
		e := p.serve(t, patiently(), []string{origin}, guard(bodies))
		mouth, say := io.Pipe()
		defer say.Close()
		req := request(t, http.MethodPost, e.URL+"/talk")
		req.Body, req.ContentLength = mouth, -1
		resp, err := e.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		ear := bufio.NewReader(resp.Body)
		for _, word := range []string{"one", "two", "three"} {
			if _, err := io.WriteString(say, word+"\n"); err != nil {
				t.Fatal(err)
			}
			if got, err := ear.ReadString('\n'); got != "heard "+word+"\n" || err != nil {
				t.Fatalf("said %q, and it came back %q, %v", word, got, err)
			}
		}
		say.Close()
		if rest, err := io.ReadAll(ear); len(rest) > 0 || err != nil {
			t.Errorf("the end was %q, %v", rest, err)
		}
		await(t, "the end of the handler", e.Ended)
		if g := <-bodies; g.closed.Load() != 0 || g.reading.Load() != 0 {
			t.Errorf("closed by an attempt %d times, read after the end by %d", g.closed.Load(), g.reading.Load())
		}
	})
}

// Clause 4: at the end, an upload that nobody wants is stopped, and awaited; attempts
// never close the client's body, however many there were.
func TestLifetime4UploadIsStoppedAndAwaited(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		var tries atomic.Int64
		origin := p.endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			fullDuplex(t, w, r)
			_, _ = io.ReadFull(r.Body, make([]byte, 4))
			if tries.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, "enough")
		})
		bodies := make(chan *guarded, 1)
		e := p.serve(t, patiently(), []string{origin}, guard(bodies))
		mouth, say := io.Pipe()
		defer say.Close()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = io.WriteString(say, "some") // and then nothing, for good
		}()
		req := request(t, http.MethodPut, e.URL+"/talk")
		req.Body, req.ContentLength = mouth, -1
		resp, err := e.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); string(got) != "enough" || err != nil {
			t.Errorf("the answer was %q, %v", got, err)
		}
		await(t, "the end of the handler", e.Ended)
		g := <-bodies
		g.over.Store(true)
		if g.reading.Load() != 0 || g.closed.Load() != 0 || tries.Load() != 3 {
			t.Errorf("after the end %d read, attempts closed the body %d times, tries %d; want 0, 0, 3", g.reading.Load(), g.closed.Load(), tries.Load())
		}
		say.Close()
		<-sent
		if g.late.Load() != 0 {
			t.Error("somebody read the client's body after the end")
		}
	})
}

// streamError is how net/http's client shows that a stream was reset: its own type is
// not exported, but fills in any struct of this shape.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "stream reset" }

// Clause 5: a body error aborts the client's connection or stream: half an answer
// never looks whole.
func TestLifetime5BodyErrorAborts(t *testing.T) {
	for name, length := range map[string]string{"of known length": "100", "of unknown length": ""} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, p protocol) {
				origin := p.endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
					if length != "" {
						w.Header().Set("Content-Length", length)
					}
					_, _ = io.WriteString(w, "half")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				})
				var spoiled atomic.Int64
				e := p.serve(t, patiently(), []string{origin}, spoil(&spoiled))
				resp, err := e.Client.Do(request(t, http.MethodGet, e.URL+"/"))
				if err != nil {
					if !cutShort(err) {
						t.Fatal(err)
					}
					return // it was cut off with the head still in a buffer
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if len(got) > len("half") || !cutShort(err) {
					t.Errorf("the body was %q, %v; want an end that shows", got, err)
				}
				await(t, "the end of the handler", e.Ended)
				if spoiled.Load() != 1 {
					t.Errorf("the response's body was closed %d times, want once", spoiled.Load())
				}
			})
		})
	}
}

// cutShort reports whether err says that a connection or stream broke off.
func cutShort(err error) bool {
	var reset streamError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &reset)
}

// Clause 5: trailers are valid after EOF.
func TestLifetime5Trailers(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		origin := p.endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "body")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("X-Sum", "of "+r.Trailer.Get("X-Asked"))
		})
		e := p.serve(t, patiently(), []string{origin})
		req := request(t, http.MethodPut, e.URL+"/")
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader("question")), -1
		req.Trailer = http.Header{"X-Asked": {"all"}}
		resp, err := e.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, announced := resp.Trailer["X-Sum"]; !announced || resp.Trailer.Get("X-Sum") != "" {
			t.Errorf("before the body's end the trailers are %v, want X-Sum announced", resp.Trailer)
		}
		if got, err := io.ReadAll(resp.Body); string(got) != "body" || err != nil {
			t.Errorf("the body was %q, %v", got, err)
		}
		if got := resp.Trailer.Get("X-Sum"); got != "of all" {
			t.Errorf("after the body's end X-Sum is %q, want %q", got, "of all")
		}
	})
}

// Clause 6: the body of a 101 can be read, written and half closed, by either side
// first. HTTP/2 has no 101: there the one request of its kind is refused, and the
// connection goes on.
func TestLifetime6Tunnel(t *testing.T) {
	for _, first := range []string{"client", "endpoint"} {
		t.Run("HTTP/1.1, the "+first+" closes first", func(t *testing.T) {
			origin := protocols[0].endpoint(t, func(w http.ResponseWriter, r *http.Request) { talk(t, w, r, first == "endpoint") })
			e := protocols[0].serve(t, patiently(), []string{origin})
			conn, ear := upgrade(t, e.URL)
			if got, err := ear.ReadString('\n'); got != "hello\n" || err != nil {
				t.Fatalf("the endpoint said %q, %v", got, err)
			}
			if first == "endpoint" {
				if rest, err := io.ReadAll(ear); len(rest) > 0 || err != nil {
					t.Fatalf("after the endpoint's half was closed: %q, %v", rest, err)
				}
			}
			if _, err := io.WriteString(conn, "tea, please"); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if first == "client" {
				if rest, err := io.ReadAll(ear); string(rest) != "got tea, please" || err != nil {
					t.Errorf("after the client's half was closed: %q, %v", rest, err)
				}
			}
			await(t, "the end of the tunnel", e.Ended)
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		p := protocols[1]
		e := p.serve(t, patiently(), []string{p.endpoint(t, func(http.ResponseWriter, *http.Request) {})})
		for _, want := range []struct {
			method string
			status int
		}{{http.MethodConnect, http.StatusMethodNotAllowed}, {http.MethodGet, http.StatusOK}} {
			resp, err := e.Client.Do(request(t, want.method, e.URL))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want.status {
				t.Errorf("%s: status %d, want %d", want.method, resp.StatusCode, want.status)
			}
		}
	})
}

// talk is the endpoint's side of a tunnel.
func talk(t *testing.T, w http.ResponseWriter, r *http.Request, first bool) {
	if r.Header.Get("Upgrade") != "tea" {
		t.Errorf("the endpoint was asked to upgrade to %q", r.Header.Get("Upgrade"))
		return
	}
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tea\r\n\r\nhello\n")
	if first {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	heard, err := io.ReadAll(both)
	if string(heard) != "tea, please" || err != nil {
		t.Errorf("the client said %q, %v", heard, err)
	}
	if !first {
		_, _ = io.WriteString(conn, "got "+string(heard))
	}
}

// upgrade opens a tunnel by hand.
func upgrade(t *testing.T, url string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	address := strings.TrimPrefix(url, "http://")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	context.AfterFunc(t.Context(), func() { conn.Close() })
	_, _ = io.WriteString(conn, "GET /talk HTTP/1.1\r\nHost: tea\r\nConnection: Upgrade\r\nUpgrade: tea\r\n\r\n")
	ear := bufio.NewReader(conn)
	resp, err := http.ReadResponse(ear, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "tea" {
		t.Fatalf("the answer was %s, upgrade to %q", resp.Status, resp.Header.Get("Upgrade"))
	}
	return conn.(*net.TCPConn), ear
}
