package outbound_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/internal/mesh"
	"outrider/outbound"
)

// TestLifetime02HeadersAreNotSharedWithTheTransport: a client's header map may be
// written the moment that RoundTrip has failed. The race detector judges.
func TestLifetime02HeadersAreNotSharedWithTheTransport(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			_, e := serve(t, scheme, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			rt := start(t, outbound.Config{}, e).RoundTripper(outbound.Override{})
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					ctx, cancel := context.WithCancel(context.Background())
					x := prepare(ctx, t, "GET", "/", nil)
					x.req.Header.Set("X-A", "1")
					go cancel()
					_, err := rt.RoundTrip(x.req)
					wantKind(t, err, mesh.ClientGone)
					for range 10 {
						x.req.Header.Set("X-B", "2")
						x.req.Header.Del("X-B")
						x.req.URL.Path = "/other"
					}
				})
			}
			wg.Wait()
		})
	}
}

func wantKind(t *testing.T, err error, kind mesh.Kind) {
	t.Helper()
	if f := mesh.AsFault(err); f.Kind != kind {
		t.Errorf("got %v, want %v", err, kind)
	}
}

// TestLifetime03AttemptsWorkOnACopy: nothing below retry shows in the request above.
func TestLifetime03AttemptsWorkOnACopy(t *testing.T) {
	_, e := serve(t, "http", func(http.ResponseWriter, *http.Request) {})
	rt := start(t, outbound.Config{Host: outbound.HostService}, e).RoundTripper(outbound.Override{})
	x := send(t, rt, "GET", "/a?b", nil)
	if x.err != nil {
		t.Fatal(x.err)
	}
	if x.req.Host != "shop.test" || x.req.URL.Host != "shop.test" || x.req.URL.RequestURI() != "/a?b" || len(x.req.Header) != 0 {
		t.Errorf("the request has become %s %s %v", x.req.Host, x.req.URL, x.req.Header)
	}
}

// stalledBody gives a part and then stands still until it is closed or resumed.
type stalledBody struct {
	part   chan string
	stands chan struct{} // closed when it does: all that came has been taken
	rest   chan string   // what comes then, and its end when closed
	stood  sync.Once     // closes stands
	once   sync.Once
	closed chan struct{}
}

func stalled() *stalledBody {
	b := &stalledBody{part: make(chan string, 1), stands: make(chan struct{}), rest: make(chan string), closed: make(chan struct{})}
	b.part <- "part"
	return b
}

func (b *stalledBody) Read(p []byte) (int, error) {
	select {
	case s := <-b.part:
		return copy(p, s), nil
	default:
	}
	b.stood.Do(func() { close(b.stands) })
	select {
	case s, ok := <-b.rest:
		if !ok {
			return 0, io.EOF
		}
		return copy(p, s), nil
	case <-b.closed:
		return 0, &mesh.Fault{Kind: mesh.ClientGone}
	}
}

func (b *stalledBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *stalledBody) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

// TestLifetime04EarlyAnswer: an answer comes while the upload goes on, and closing it
// neither waits for the client nor closes the client's body.
func TestLifetime04EarlyAnswer(t *testing.T) {
	for _, scheme := range []string{"http", "https", "h2c"} {
		for _, status := range []int{200, 413} {
			t.Run(scheme, func(t *testing.T) {
				srv, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).EnableFullDuplex()
					_, _ = io.ReadFull(r.Body, make([]byte, 4))
					w.WriteHeader(status)
					_, _ = io.WriteString(w, "early")
				})
				rt := start(t, outbound.Config{TLS: tlsOf(srv)}, e).RoundTripper(outbound.Override{})
				client := stalled()
				x := send(t, rt, "POST", "/", client)
				if x.err != nil || x.resp.StatusCode != status {
					t.Fatal(x.resp, x.err)
				}
				if b, _ := io.ReadAll(io.LimitReader(x.resp.Body, 5)); string(b) != "early" {
					t.Errorf("got %q", b)
				}
				_ = x.resp.Body.Close()
				if client.isClosed() {
					t.Error("the client's body was closed")
				}
			})
		}
	}
}

// TestLifetime04StalledUpload: whatever ends an attempt ends it although the client
// sends nothing, and leaves the client's body open for the next. Time that runs out
// meanwhile is the client's.
func TestLifetime04StalledUpload(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		for _, c := range []struct {
			name     string
			h        http.HandlerFunc
			late     bool // the deadline passes as the upload stands still
			want     mesh.Kind
			attempts int
		}{
			{"deadline", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, true, mesh.RequestTimeout, 1},
			{"reset", func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, 4))
				abort(w)
			}, false, mesh.Reset, 2},
		} {
			t.Run(scheme+" "+c.name, func(t *testing.T) {
				_, e := serve(t, scheme, c.h)
				retry := outbound.Retry{Attempts: 1, On: []string{"reset", "504"}, Budget: always}
				rt := start(t, outbound.Config{Retry: retry}, e).RoundTripper(outbound.Override{})
				client := stalled()
				x := prepare(context.Background(), t, "PUT", "/", client)
				if c.late {
					go func() {
						<-client.stands
						x.call.Cancel(&mesh.Fault{Kind: mesh.ResponseTimeout}) // time is up
					}()
				}
				x.resp, x.err = rt.RoundTrip(x.req)
				if f := x.want(c.want); f.ByClient != c.late {
					t.Errorf("ByClient %v, want %v", f.ByClient, c.late)
				}
				if client.isClosed() {
					t.Error("the client's body was closed")
				}
				if len(x.call.Attempts) != c.attempts {
					t.Errorf("%d attempts, want %d", len(x.call.Attempts), c.attempts)
				}
			})
		}
	}
}

// abort ends a server's connection or stream although the body has not come whole.
func abort(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = c.Close() // HTTP/1.1: else the server waits for the rest of the body
		return
	}
	panic(http.ErrAbortHandler)
}

// TestLifetime04UploadContinuesOnTheNextAttempt: what an abandoned attempt was
// waiting for reaches the next one.
func TestLifetime04UploadContinuesOnTheNextAttempt(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			client := stalled()
			var tries atomic.Int32
			_, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) {
				if tries.Add(1) == 1 {
					<-client.stands // the attempt waits for the client
					abort(w)
					return
				}
				_, _ = io.ReadFull(r.Body, make([]byte, 4))
				client.rest <- "ial" // to the read that the first attempt began
				close(client.rest)
				b, _ := io.ReadAll(r.Body)
				_, _ = w.Write(b)
			})
			cfg := outbound.Config{Retry: outbound.Retry{Attempts: 1, On: []string{"reset"}, Budget: always}}
			x := send(t, start(t, cfg, e).RoundTripper(outbound.Override{}), "PUT", "/", client)
			if got := x.text(); got != "ial" || tries.Load() != 2 {
				t.Errorf("got %q at attempt %d", got, tries.Load())
			}
		})
	}
}

// TestLifetime05DiscardedResponsesAreClosed: the connection of a response that is not
// handed on is used again.
func TestLifetime05DiscardedResponsesAreClosed(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	_, e := serve(t, "http", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.RemoteAddr] = true
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "not now")
	})
	retry := outbound.Retry{Attempts: 4, On: []string{"503"}, Budget: always}
	x := send(t, start(t, outbound.Config{Retry: retry}, e).RoundTripper(outbound.Override{}), "GET", "/", nil)
	if got := x.text(); got != "not now" || len(x.call.Attempts) != 5 {
		t.Errorf("got %q after %d attempts", got, len(x.call.Attempts))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 1 {
		t.Errorf("%d connections", len(seen))
	}
}

// TestLifetime06TunnelEndsWithTheCall: whoever reads from it or writes to it learns why.
func TestLifetime06TunnelEndsWithTheCall(t *testing.T) {
	gone := make(chan struct{})
	_, e := serve(t, "http", func(w http.ResponseWriter, r *http.Request) {
		echoUpgrade(t)(w, r)
		close(gone)
	})
	rt := start(t, outbound.Config{}, e).RoundTripper(outbound.Override{})
	x := send(t, rt, "GET", "/", nil, upgrade)
	if x.err != nil {
		t.Fatal(x.err)
	}
	x.call.Cancel(&mesh.Fault{Kind: mesh.Draining})
	_, err := io.Copy(io.Discard, x.resp.Body)
	wantFault(t, err, mesh.Draining)
	_, err = io.WriteString(x.resp.Body.(io.Writer), "x")
	wantFault(t, err, mesh.Draining)
	x.end() // who has the body closes it
	<-gone
}

// TestLifetime07InterimStopsWithTheAnswer: a 1xx that comes after the call has been
// answered does not reach the client. The race detector judges.
func TestLifetime07InterimStopsWithTheAnswer(t *testing.T) {
	e := listen(t, true, func(c net.Conn) {
		for range 20 {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
				return
			}
		}
	})
	rt := start(t, outbound.Config{}, e).RoundTripper(outbound.Override{})
	for range 20 {
		x := prepare(context.Background(), t, "GET", "/", nil)
		seen := 0
		x.call.Interim = func(int, http.Header) {
			if seen++; seen == 3 {
				x.call.Cancel(&mesh.Fault{Kind: mesh.Draining})
			}
		}
		_, err := rt.RoundTrip(x.req)
		seen = 0 // the server's from now on
		wantFault(t, err, mesh.Draining)
	}
}

// TestLifetime08DeadlineEndsTheBody: the deadline holds until the last byte.
func TestLifetime08DeadlineEndsTheBody(t *testing.T) {
	_, e := serve(t, "http", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 10))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	x := send(t, start(t, outbound.Config{Timeout: 4 * tiny}, e).RoundTripper(outbound.Override{}), "GET", "/", nil)
	if x.err != nil {
		t.Fatal(x.err)
	}
	n, err := io.Copy(io.Discard, x.resp.Body)
	wantFault(t, err, mesh.ResponseTimeout)
	if n != 10 || errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
