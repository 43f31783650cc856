package policy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"outrider/internal/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request returns a request as the layers of a stack see it, from 192.0.2.1.
func request(ctx context.Context, method, url string) *http.Request {
	req := httptest.NewRequestWithContext(ctx, method, url, nil)
	req.Body = http.NoBody
	call := mesh.NewCall(ctx)
	call.Client = netip.MustParseAddr("192.0.2.1")
	return call.Bind(req)
}

// get returns a GET request with header fields, name by name and value.
func get(ctx context.Context, url string, fields ...string) *http.Request {
	req := request(ctx, http.MethodGet, url)
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

// service is an origin that keeps the requests it got and answers each alike.
type service struct {
	status int // zero means 200
	header http.Header
	body   string
	err    error

	calls atomic.Int32
	last  atomic.Pointer[http.Request]
}

func (s *service) RoundTrip(req *http.Request) (*http.Response, error) {
	s.calls.Add(1)
	s.last.Store(req)
	if s.err != nil {
		return nil, s.err
	}
	resp := &http.Response{
		StatusCode: s.status,
		Header:     s.header.Clone(),
		Body:       io.NopCloser(strings.NewReader(s.body)),
		Request:    req,
	}
	if resp.StatusCode == 0 {
		resp.StatusCode = http.StatusOK
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	return resp, nil
}

// faulted returns err as the Fault it must be, of the kind it must have.
func faulted(t *testing.T, err error, want mesh.Kind) *mesh.Fault {
	t.Helper()
	var f *mesh.Fault
	if !errors.As(err, &f) {
		t.Fatalf("got error %v, want a Fault %v", err, want)
	}
	if f.Kind != want {
		t.Fatalf("got Fault %v, want %v", f, want)
	}
	return f
}

// passed returns a response that must have been given.
func passed(t *testing.T, resp *http.Response, err error) *http.Response {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want a response", err)
	}
	return resp
}

// field returns all the values of a header field as one list.
func field(h http.Header, name string) string { return strings.Join(h.Values(name), ", ") }
