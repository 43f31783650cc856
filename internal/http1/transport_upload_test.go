package http1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/internal/http1"
	"outrider/internal/mesh"
)

// stalled is a body that gives a part, and then stands still until it is closed.
type stalled struct {
	part   io.Reader
	once   sync.Once
	closed chan struct{}
}

func newStalled(part string) *stalled {
	return &stalled{part: strings.NewReader(part), closed: make(chan struct{})}
}

func (b *stalled) Read(p []byte) (int, error) {
	if n, err := b.part.Read(p); err == nil {
		return n, nil
	}
	<-b.closed
	return 0, errors.New("the attempt was given up")
}

func (b *stalled) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// streaming is a request whose body is b.
func streaming(t testing.TB, b io.ReadCloser) *http.Request {
	req := ask(t, "POST", "/", nil)
	req.Body, req.ContentLength = b, -1
	return req
}

// head reads a request's head alone.
func (p *peer) head() *http.Request {
	req, err := http.ReadRequest(p.Reader)
	if err != nil {
		return nil
	}
	return req
}

// TestEarlyAnswer: an answer is seen while the upload goes on, and its Close ends that
// without waiting for the client; the connection is not used again.
func TestEarlyAnswer(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		o := newOrigin(t, kind, func(n int, p *peer) {
			if n > 0 {
				echo(n, p)
				return
			}
			req := p.head()
			_, _ = io.ReadFull(req.Body, make([]byte, 4))
			p.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nearly")
			_, _ = io.Copy(io.Discard, p)
		})
		rt := o.transport()
		client := newStalled("part")
		resp, err := rt.RoundTrip(streaming(t, client))
		if got := text(t, resp, err); got != "early" {
			t.Errorf("got %q", got)
		}
		select {
		case <-client.closed:
		default:
			t.Error("the upload was not stopped")
		}
		resp, err = rt.RoundTrip(ask(t, "GET", "/", nil))
		text(t, resp, err)
		if n := o.dials.Load(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

// TestAnswerDuringTheUpload: an endpoint may answer before it has all, and take the
// rest; then the connection is used again.
func TestAnswerDuringTheUpload(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		o := newOrigin(t, kind, func(_ int, p *peer) {
			for {
				req := p.head()
				if req == nil {
					return
				}
				_, _ = io.ReadFull(req.Body, make([]byte, 4))
				p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				rest, _ := io.ReadAll(req.Body)
				p.say(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(rest), rest))
			}
		})
		rt := o.transport()
		for range 3 {
			r, w := io.Pipe()
			go func() { _, _ = io.WriteString(w, "part") }()
			resp, err := rt.RoundTrip(streaming(t, r))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = io.WriteString(w, "the rest")
				_ = w.Close()
			}()
			if got := text(t, resp, nil); got != "the rest" {
				t.Errorf("got %q", got)
			}
		}
		if n := o.dials.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// TestAStalledUploadHoldsNothingUp: whatever ends the attempt ends it although the
// client sends nothing.
func TestAStalledUploadHoldsNothingUp(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		o := newOrigin(t, kind, func(n int, p *peer) {
			_, _ = io.ReadFull(p.head().Body, make([]byte, 4))
			if n == 0 {
				p.Close()
			}
		})
		rt := o.transport()
		_, err := rt.RoundTrip(streaming(t, newStalled("part")))
		wantFault(t, err, mesh.Reset)
		req := streaming(t, newStalled("part"))
		mesh.From(req).SetDeadline(time.Now().Add(20*time.Millisecond), &mesh.Fault{Kind: mesh.ResponseTimeout})
		_, err = rt.RoundTrip(req)
		wantFault(t, err, mesh.ResponseTimeout)
	})
}

// An endpoint that does not read holds nobody beyond the deadline either.
func TestAnUploadThatIsNotReadEndsInTime(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		hold := make(chan struct{})
		o := newOrigin(t, kind, func(_ int, p *peer) { p.head(); <-hold })
		defer close(hold)
		req := streaming(t, io.NopCloser(bytes.NewReader(make([]byte, 32<<20))))
		mesh.From(req).SetDeadline(time.Now().Add(50*time.Millisecond), &mesh.Fault{Kind: mesh.ResponseTimeout})
		_, err := o.transport().RoundTrip(req)
		wantFault(t, err, mesh.ResponseTimeout)
	})
}

// failing is a body that fails as a server's does.
type failing struct {
	part io.Reader
	err  error
}

func (b *failing) Read(p []byte) (int, error) {
	if n, err := b.part.Read(p); err == nil {
		return n, nil
	}
	return 0, b.err
}
func (*failing) Close() error { return nil }

func TestTheClientsOwnFailureWins(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		for _, c := range []struct {
			name   string
			err    error
			length int64
			want   mesh.Kind
		}{
			{"too large", &mesh.Fault{Kind: mesh.BodyTooLarge}, -1, mesh.BodyTooLarge},
			{"too slow", fmt.Errorf("read: %w", &mesh.Fault{Kind: mesh.RequestTimeout}), 100, mesh.RequestTimeout},
			{"gone", io.ErrUnexpectedEOF, -1, mesh.ClientGone},
			{"too short", io.EOF, 100, mesh.Internal},
			{"too long", io.EOF, 2, mesh.Internal},
		} {
			t.Run(c.name, func(t *testing.T) {
				o := newOrigin(t, kind, func(_ int, p *peer) {
					if req, _ := p.request(); req != nil {
						t.Error("the endpoint got a whole request")
					}
				})
				req := streaming(t, &failing{strings.NewReader("part"), c.err})
				req.ContentLength = c.length
				_, err := o.transport().RoundTrip(req)
				if f := wantFault(t, err, c.want); f.Retryable {
					t.Error("retryable")
				}
			})
		}
	})
}

// TestTrailersBothWays: those of a request are filled in as its body ends.
func TestTrailersBothWays(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		o := newOrigin(t, kind, func(_ int, p *peer) {
			for {
				req, body := p.request()
				if req == nil {
					return
				}
				p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n%x\r\n%s\r\n0\r\nSum: %s\r\n\r\n",
					len(body), body, req.Trailer.Get("Sum")))
			}
		})
		rt := o.transport()
		for range 2 {
			trailer := http.Header{"Sum": nil}
			req := streaming(t, &filling{strings.NewReader("body"), trailer})
			req.Trailer = trailer
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if string(b) != "body" || err != nil || resp.Trailer.Get("Sum") != "42" {
				t.Errorf("got %q, %v, %v", b, err, resp.Trailer)
			}
			resp.Body.Close()
		}
	})
}

// filling is a body that fills in the trailer at its end.
type filling struct {
	io.Reader
	trailer http.Header
}

func (b *filling) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.trailer.Set("Sum", "42")
	}
	return n, err
}
func (*filling) Close() error { return nil }

// TestExpect: the body is held back until it is asked for, or nobody says anything for
// long; never after an answer, which then costs the connection.
func TestExpect(t *testing.T) {
	for _, c := range []struct {
		name, said string // before the body
		wait       time.Duration
		read       bool
		dials      int64
	}{
		{"continue", "HTTP/1.1 100 Continue\r\n\r\n", time.Hour, true, 1},
		{"another first", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", time.Hour, true, 1},
		{"silence", "", 20 * time.Millisecond, true, 1},
		{"refused", "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", time.Hour, false, 2},
		{"answered", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", time.Hour, false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, kind string) {
				o := newOrigin(t, kind, func(n int, p *peer) {
					if n > 0 {
						echo(n, p)
						return
					}
					req := p.head()
					p.say(c.said)
					if c.read {
						_, _ = io.Copy(io.Discard, req.Body)
						p.say(hello)
					}
					echo(n, p)
				})
				rt := o.transport(func(tc *http1.TransportConfig) { tc.ContinueTimeout = c.wait })
				read := false
				req := streaming(t, readFunc(func([]byte) (int, error) { read = true; return 0, io.EOF }))
				req.Header.Set("Expect", "100-Continue")
				resp, err := rt.RoundTrip(req)
				text(t, resp, err)
				if read != c.read {
					t.Errorf("the body was read: %v, want %v", read, c.read)
				}
				resp, err = rt.RoundTrip(ask(t, "GET", "/", nil))
				text(t, resp, err)
				if n := o.dials.Load(); n != c.dials {
					t.Errorf("%d connections, want %d", n, c.dials)
				}
			})
		})
	}
}

// Even a body that is all there is held back where the endpoint is asked.
func TestExpectHoldsBackWhatIsThere(t *testing.T) {
	o := newOrigin(t, "raw", func(_ int, p *peer) {
		p.head()
		p.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
		if n, _ := io.Copy(io.Discard, p); n > 0 {
			t.Errorf("%d bytes came after the head", n)
		}
	})
	req := ask(t, "POST", "/", nil)
	req.Body, req.ContentLength = whole("body"), 4
	req.Header.Set("Expect", "100-continue")
	resp, err := o.transport().RoundTrip(req)
	text(t, resp, err)
	o.close()
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
func (readFunc) Close() error                 { return nil }

func TestInterimResponses(t *testing.T) {
	o := newOrigin(t, "raw", says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"+hello))
	req := ask(t, "GET", "/", nil)
	var got []string
	mesh.From(req).Interim = func(status int, h http.Header) { got = append(got, fmt.Sprint(status, h["Link"])) }
	resp, err := o.transport().RoundTrip(req)
	if text(t, resp, err) != "hello" || !slices.Equal(got, []string{"103 [a]"}) {
		t.Errorf("got %v", got)
	}
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly "

// upgrade says switching, and what it hears.
func upgrade(_ int, p *peer) {
	defer p.Close()
	if req := p.head(); req == nil || req.Header.Get("Connection") != "Upgrade" {
		return
	}
	p.say(switching)
	_, _ = io.Copy(p.Conn, p)
}

func tunnelTo(t *testing.T, rt *http1.Transport) (io.ReadWriteCloser, *mesh.Call) {
	t.Helper()
	req := ask(t, "GET", "/", nil)
	req.Header.Set("Upgrade", "echo")
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "echo" {
		t.Errorf("got %v", resp)
	}
	return resp.Body.(io.ReadWriteCloser), mesh.From(req)
}
