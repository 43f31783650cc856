package cache_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unsafe"

	"outrider/internal/mesh"
	"outrider/policy/cache"
)

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestOnlyAWholeBodyIsKept(t *testing.T) {
	broken := &mesh.Fault{Kind: mesh.Reset}
	readTo := func(n int) func(*testing.T, *http.Response) {
		return func(t *testing.T, resp *http.Response) {
			if _, err := io.ReadFull(resp.Body, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	}
	all := func(t *testing.T, resp *http.Response) { readAll(t, resp) }
	tests := []struct {
		name     string
		declared int64
		text     string
		end      error
		read     func(*testing.T, *http.Response)
		want     bool
	}{
		{"declared and whole", 4, "body", io.EOF, all, true},
		{"of unknown length, and ended", -1, "body", io.EOF, all, true},
		{"of unknown length, and empty", -1, "", io.EOF, all, true},
		{"declared, read whole, the end not seen", 4, "body", io.EOF, readTo(4), true},
		{"declared, and the client left", 4, "body", io.EOF, readTo(3), false},
		{"of unknown length, the end not seen", -1, "body", io.EOF, readTo(4), false},
		{"not read at all", 4, "body", io.EOF, readTo(0), false},
		{"shorter than declared", 5, "body", io.EOF, all, false},
		{"longer than declared", 3, "body", io.EOF, all, false},
		{"something where nothing was declared", 0, "body", io.EOF, all, false},
		{"broken off", -1, "body", broken, func(t *testing.T, resp *http.Response) {
			if _, err := io.ReadAll(resp.Body); !errors.Is(err, broken) {
				t.Errorf("read error %v, want the fault", err)
			}
			_ = resp.Body.Close()
		}, false},
		{"as long as may be kept", -1, strings.Repeat("x", 1000), io.EOF, all, true},
		{"longer than may be kept", -1, strings.Repeat("x", 1001), io.EOF, all, false},
		{"declared longer than may be kept", 1001, strings.Repeat("x", 1001), io.EOF, all, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute, MaxBody: 1000})
			r.origin = func(*http.Request) (*http.Response, error) {
				resp := r.ok("")
				resp.ContentLength = tt.declared
				resp.Body = faulty{bytes.NewReader([]byte(tt.text)), tt.end}
				return resp, nil
			}
			resp, err := r.stack.RoundTrip(r.request(http.MethodGet, "http://orders/1"))
			if err != nil {
				t.Fatal(err)
			}
			tt.read(t, resp)
			if got := r.saw(cache.Stored); got != tt.want {
				t.Fatalf("stored: %v, want %v (results %v)", got, tt.want, r.results)
			}
			if !tt.want {
				return
			}
			before := r.calls
			if _, got := r.get(); got != tt.text || r.calls != before {
				t.Errorf("kept %d bytes after %d calls, want %d", len(got), r.calls-before, len(tt.text))
			}
		})
	}
}

func TestADeclaredBodyThatIsAbsentIsNotKept(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.ok("")
		resp.ContentLength = 4
		return resp, nil
	}
	r.get()
	if !r.saw(cache.Abandoned) || r.kept() {
		t.Errorf("results %v, want it abandoned", r.results)
	}
}

func TestUnannouncedTrailersAreNotKept(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.ok("")
		resp.ContentLength = -1
		resp.Body = endFunc{strings.NewReader("body"), func() { resp.Trailer = http.Header{"Checksum": {"1"}} }}
		return resp, nil
	}
	r.get()
	if !r.saw(cache.Abandoned) || r.kept() {
		t.Errorf("results %v, want it abandoned", r.results)
	}
}

// endFunc is a body that calls atEnd before it says EOF.
type endFunc struct {
	io.Reader
	atEnd func()
}

func (e endFunc) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		e.atEnd()
	}
	return n, err
}

func (endFunc) Close() error { return nil }

func TestTheBodyIsNotHeldBack(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	reader, writer := io.Pipe()
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.ok("")
		resp.ContentLength, resp.Body = -1, reader
		return resp, nil
	}
	resp, err := r.stack.RoundTrip(r.request(http.MethodGet, "http://orders/1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"one", "two"} {
		go func() { _, _ = writer.Write([]byte(part)) }()
		got := make([]byte, len(part))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != part {
			t.Fatalf("read %q, %v before the body ended, want %q", got, err, part)
		}
	}
	go func() { _ = writer.Close() }()
	readAll(t, resp)
	if _, body := r.get(); body != "onetwo" || r.calls != 1 {
		t.Errorf("kept %q after %d calls", body, r.calls)
	}
}

func TestCloseBesideRead(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	reader, writer := io.Pipe()
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.ok("")
		resp.ContentLength, resp.Body = -1, reader
		return resp, nil
	}
	resp, err := r.stack.RoundTrip(r.request(http.MethodGet, "http://orders/1"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		done <- err
	}()
	if _, err := writer.Write([]byte("body")); err != nil { // returns once it has been read
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the read ended with %v", err)
	}
	if entries, _ := r.cache.Stats(); entries != 0 {
		t.Errorf("%d entries, want none of a body that was closed early", entries)
	}
}

func TestAnUpgradedBodyIsNotWrapped(t *testing.T) {
	type duplex struct{ io.ReadWriteCloser }
	body := &duplex{}
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.response(http.StatusSwitchingProtocols, "")
		resp.Body = body
		return resp, nil
	}
	for _, line := range []string{"Upgrade: websocket", "X: no upgrade asked for"} {
		resp, err := r.stack.RoundTrip(r.request(http.MethodGet, "http://orders/1", line))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body != io.ReadCloser(body) {
			t.Errorf("%q: the body is a %T", line, resp.Body)
		}
	}
}

func TestCopiesInTheMakingAreBounded(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute, MaxBytes: 10_000, MaxBody: 6_000})
	text := strings.Repeat("x", 6_000)
	r.answers(200, text)
	half := func(url string) *http.Response {
		resp, err := r.stack.RoundTrip(r.request(http.MethodGet, url))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 3_000)); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first, second := half("http://orders/1"), half("http://orders/2")
	if !r.saw(cache.Abandoned) {
		t.Fatal("two copies of 6000 bytes are in the making where 10000 are allowed")
	}
	if got := readAll(t, second); len(got) != 3_000 {
		t.Errorf("the client without a copy got %d bytes more, want 3000", len(got))
	}
	readAll(t, first)
	if !r.saw(cache.Stored) {
		t.Error("the first copy was lost")
	}
	r.results = nil
	readAll(t, half("http://orders/2"))
	if !r.saw(cache.Stored) {
		t.Error("the room was not given back")
	}
}

// Clause 9 of the lifetimes: what is kept does not live in the message's memory.
func TestWhatIsKeptIsCopied(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	head := []byte("X-Namevaluea") // a server's buffer, which it will use again
	part := func(from, to int) string { return unsafe.String(&head[from], to-from) }
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.ok("body", "Vary: Accept")
		resp.Header[part(0, 6)] = []string{part(6, 11)}
		return resp, nil
	}
	req := r.request(http.MethodGet, "http://orders/1")
	req.Header["Accept"] = []string{part(11, 12)}
	r.do(req)
	copy(head, "############")
	resp, _ := r.get("Accept: a")
	if got := resp.Header.Get("X-Name"); got != "value" || r.calls != 1 {
		t.Errorf("kept %v after %d calls, want X-Name: value from the store", resp.Header, r.calls)
	}
}
