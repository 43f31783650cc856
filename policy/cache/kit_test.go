package cache_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/internal/mesh"
	"outrider/policy/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func date(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// clock is a time that only tests move.
type clock struct {
	mu sync.Mutex // protects at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fields are header fields written as "Name: value".
func fields(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// rig is a cache before an origin that the test is.
type rig struct {
	t       *testing.T
	clock   *clock
	cache   *cache.Cache
	stack   http.RoundTripper
	calls   int
	results []string
	origin  func(req *http.Request) (*http.Response, error)
}

func newRig(t *testing.T, cfg cache.Config) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{at: epoch}}
	r.origin = func(*http.Request) (*http.Response, error) { return r.ok("body"), nil }
	cfg.Now = r.clock.now
	cfg.Observed = func(result string) { r.results = append(r.results, result) }
	r.cache = cache.New(cfg)
	r.stack = mesh.Stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		r.calls++
		return r.origin(req)
	}), r.cache.Layer())
	return r
}

// response is an answer with a Date and a known length.
func (r *rig) response(status int, body string, lines ...string) *http.Response {
	h := fields(lines...)
	if _, said := h["Date"]; !said {
		h.Set("Date", date(r.clock.now()))
	}
	resp := &http.Response{StatusCode: status, Header: h, Body: http.NoBody}
	if body != "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		resp.ContentLength = int64(len(body))
		resp.Body = io.NopCloser(strings.NewReader(body))
	}
	return resp
}

func (r *rig) ok(body string, lines ...string) *http.Response {
	return r.response(http.StatusOK, body, lines...)
}

// answers has the origin answer so from now on.
func (r *rig) answers(status int, body string, lines ...string) {
	r.origin = func(*http.Request) (*http.Response, error) { return r.response(status, body, lines...), nil }
}

func (r *rig) request(method, url string, lines ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = fields(lines...)
	return mesh.NewCall(req.Context()).Bind(req)
}

// do sends req, reads the answer to its end and closes it.
func (r *rig) do(req *http.Request) (*http.Response, string) {
	r.t.Helper()
	resp, err := r.stack.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		r.t.Fatal(err)
	}
	return resp, string(body)
}

func (r *rig) get(lines ...string) (*http.Response, string) {
	r.t.Helper()
	return r.do(r.request(http.MethodGet, "http://orders/1", lines...))
}

// kept reports whether the same GET again is answered without the origin.
func (r *rig) kept(lines ...string) bool {
	r.t.Helper()
	before := r.calls
	r.get(lines...)
	return r.calls == before
}

func (r *rig) saw(result string) bool { return slices.Contains(r.results, result) }

// faulty is a body that fails after its text.
type faulty struct {
	*bytes.Reader
	err error
}

func (f faulty) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		return n, f.err
	}
	return n, err
}

func (faulty) Close() error { return nil }
