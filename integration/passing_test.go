package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/integration/meshtest"
)

const switchToEcho = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// echo is an endpoint that switches protocols, gives back what it gets, and has a last
// word when its peer has said all.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-Websocket-Key") == "" {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
	if _, err := io.Copy(conn, buffered); err == nil {
		_, _ = io.WriteString(conn, "bye")
	}
}

// TestUpgradePasses holds that both directions pass at once and end one by one.
func TestUpgradePasses(t *testing.T) {
	g := meshtest.Gateway(t, to(meshtest.Origin(t, echo).URL, ""))
	w := g.Dial()
	w.Send(switchToEcho + "early ")
	head := w.Head(http.MethodGet)
	if head.StatusCode != http.StatusSwitchingProtocols || head.Header.Get("Upgrade") != "websocket" || head.Header.Get("Sec-Websocket-Accept") != "x" {
		t.Fatalf("%d %q", head.StatusCode, head.Header)
	}
	w.Expect("early ")
	for i := range 100 {
		word := strconv.Itoa(i) + "\x00\xff"
		w.Send(word)
		w.Expect(word)
	}
	if err := w.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest := w.Rest(); rest != "bye" {
		t.Errorf("after our half was closed: %q, want bye", rest)
	}
	eventually(t, "the log line of the upgrade", func() bool {
		lines := g.Access.Lines(t)
		return len(lines) == 1 && lines[0]["status"] == float64(http.StatusSwitchingProtocols) && lines[0]["code"] == ""
	})

	refused := g.Raw(strings.Replace(switchToEcho, "websocket", "chess", 1))
	if refused.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("an upgrade that the endpoint declines: %d", refused.StatusCode)
	}
}

// TestEventsPassOneByOne has the endpoint send an event only when the client has had
// the one before.
func TestEventsPassOneByOne(t *testing.T) {
	had := make(chan struct{})
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for i := range 5 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-had:
			case <-r.Context().Done():
				return
			}
		}
	})
	g := meshtest.Gateway(t, to(e.URL, "timeout: 30s"))
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			resp, err := p.client(t).Do(request(t, http.MethodGet, g.URL+"/events").WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			events := bufio.NewReader(resp.Body)
			for i := range 5 {
				want := fmt.Sprintf("data: %d\n", i)
				if line, err := events.ReadString('\n'); err != nil || line != want {
					t.Fatalf("got %q and %v, want %q", line, err, want)
				}
				_, _ = events.ReadString('\n')
				had <- struct{}{}
			}
			if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
				t.Errorf("at the end: %q and %v", rest, err)
			}
		})
	}
}

// TestTrailersPass holds that the fields after a body arrive, both ways, announced or
// not on the way back.
func TestTrailersPass(t *testing.T) {
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Announced", "got "+r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Sudden", "1")
	})
	g := meshtest.Gateway(t, to(e.URL, ""))
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			req := request(t, http.MethodPost, g.URL+"/x")
			req.Trailer = http.Header{"X-Sum": nil}
			req.Body = &ending{Reader: strings.NewReader("hello"), end: func() { req.Trailer.Set("X-Sum", "532") }}
			req.ContentLength = -1
			resp, err := p.client(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || string(text) != "hello" || resp.Trailer.Get("X-Announced") != "got 532" || resp.Trailer.Get("X-Sudden") != "1" {
				t.Errorf("got %q, %v, trailers %q", text, err, resp.Trailer)
			}
		})
	}
}

// ending is a body that says when it ends.
type ending struct {
	io.Reader
	end func()
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err != nil {
		e.end()
	}
	return n, err
}

func (e *ending) Close() error { return nil }

// TestContinue holds that a client which waits for 100 gets it when somebody wants
// the body, and never where nobody does.
func TestContinue(t *testing.T) {
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	g := meshtest.Gateway(t, "services: {s: {url: '"+e.URL+"'}}\nrouting: [{path: /x, service: s}]")
	const head = " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	w := g.Dial()
	w.Send("POST /x" + head)
	if first := w.Head(http.MethodPost); first.StatusCode != http.StatusContinue {
		t.Fatalf("%d, want 100", first.StatusCode)
	}
	w.Send("hello")
	if got := w.Reply(http.MethodPost); got.StatusCode != http.StatusOK || got.Text != "hello" {
		t.Errorf("%d %q", got.StatusCode, got.Text)
	}
	w = g.Dial()
	w.Send("POST /nowhere" + head)
	if first := w.Reply(http.MethodPost); first.StatusCode != http.StatusNotFound || first.JSON(t)["code"] != "no_route" {
		t.Errorf("%d %s, want a refusal at once", first.StatusCode, first.Text)
	}
}

// TestAnswersWithoutBody holds that their fields pass and the connection stays in step.
func TestAnswersWithoutBody(t *testing.T) {
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		switch r.URL.Path {
		case "/early":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "late")
		case "/head":
			w.Header().Set("Content-Length", "1000")
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	w := meshtest.Gateway(t, to(e.URL, "")).Dial() // one connection for all
	for _, tt := range []struct {
		method, path, length string
		status               int
	}{
		{http.MethodHead, "/head", "1000", http.StatusOK},
		{http.MethodGet, "/204", "", http.StatusNoContent},
		{http.MethodGet, "/304", "", http.StatusNotModified},
		{http.MethodHead, "/304", "", http.StatusNotModified},
		{http.MethodDelete, "/204", "", http.StatusNoContent},
	} {
		w.Send(tt.method + " " + tt.path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		got := w.Reply(tt.method)
		if got.StatusCode != tt.status || got.Text != "" || got.Header.Get("Etag") != `"1"` || got.Header.Get("Content-Length") != tt.length {
			t.Errorf("%s %s: %d %q %q", tt.method, tt.path, got.StatusCode, got.Header, got.Text)
		}
	}
	w.Send("GET /early HTTP/1.1\r\nHost: a\r\n\r\n")
	if hint := w.Head(http.MethodGet); hint.StatusCode != http.StatusEarlyHints || hint.Header.Get("Link") == "" {
		t.Errorf("%d %q, want Early Hints", hint.StatusCode, hint.Header)
	}
	if got := w.Reply(http.MethodGet); got.StatusCode != http.StatusOK || got.Text != "late" {
		t.Errorf("%d %q", got.StatusCode, got.Text)
	}
}

// large is a body that nobody should hold.
const large = 50 << 20

// TestLargeBodiesStream sends large both ways and holds that memory does not grow by
// it: client, gateway and endpoint are all in this process.
func TestLargeBodiesStream(t *testing.T) {
	var peak atomic.Uint64
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(&sampling{peak: &peak}, r.Body)
		if n != large || err != nil {
			t.Errorf("the endpoint got %d bytes and %v", n, err)
		}
		_, _ = io.CopyN(w, pattern{}, large)
	})
	g := meshtest.Gateway(t, to(e.URL, "timeout: 0"))
	for _, p := range protocols {
		for _, length := range []int64{large, -1} {
			t.Run(fmt.Sprintf("%s, length %d", p.name, length), func(t *testing.T) {
				runtime.GC()
				var before runtime.MemStats
				runtime.ReadMemStats(&before)
				peak.Store(0)
				req := request(t, http.MethodPost, g.URL+"/x")
				req.Body, req.ContentLength = io.NopCloser(io.LimitReader(pattern{}, large)), length
				resp, err := p.client(t).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if n, err := io.Copy(&sampling{peak: &peak}, resp.Body); n != large || err != nil {
					t.Errorf("the client got %d bytes and %v", n, err)
				}
				if grown := int64(peak.Load()) - int64(before.HeapInuse); grown > large/2 {
					t.Errorf("the heap grew by %d bytes for bodies of %d", grown, large)
				}
			})
		}
	}
}

// pattern is a body without end.
type pattern struct{}

var block = bytes.Repeat([]byte("0123456789abcdef"), 2<<10)

func (pattern) Read(p []byte) (int, error) { return copy(p, block), nil }

// sampling takes a body in, and looks at the heap with each MiB.
type sampling struct {
	peak *atomic.Uint64
	n    int
}

func (s *sampling) Write(p []byte) (int, error) {
	if before := s.n >> 20; (s.n+len(p))>>20 > before {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		s.peak.Store(max(s.peak.Load(), now.HeapInuse))
	}
	s.n += len(p)
	return len(p), nil
}

// TestLargeBodyToAFailingService holds that a large body which cannot be sent again is
// given up, not kept for another attempt.
func TestLargeBodyToAFailingService(t *testing.T) {
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	g := meshtest.Gateway(t, to(e.URL, "retries: 3"))
	req := request(t, http.MethodPut, g.URL+"/x")
	req.Body, req.ContentLength = io.NopCloser(io.LimitReader(pattern{}, large)), large
	if resp, err := protocols[0].client(t).Do(req); err == nil { // else the connection ended while the client still sent
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d, want 503", resp.StatusCode)
		}
	}
	attemptsOf(t, g, "/x", 1)
}
