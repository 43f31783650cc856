package policy_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"outrider/internal/mesh"
	"outrider/policy"
)

// reading is an origin that reads the whole request body.
type reading struct {
	service
	got []byte
	err error
}

func (r *reading) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.got, r.err = io.ReadAll(req.Body); r.err != nil {
		return nil, r.err
	}
	return r.service.RoundTrip(req)
}

func TestMaxBody(t *testing.T) {
	broken := errors.New("broken off")
	tests := []struct {
		name     string
		body     io.Reader
		declared int64 // -1: not
		got      string
		kind     mesh.Kind // Internal: none
		err      error
	}{
		{"none", nil, 0, "", 0, nil},
		{"declared, at the limit", strings.NewReader("12345678"), 8, "12345678", 0, nil},
		{"declared, over it", strings.NewReader("123456789"), 9, "", mesh.BodyTooLarge, nil},
		{"streamed, under the limit", strings.NewReader("123"), -1, "123", 0, nil},
		{"streamed, at the limit", strings.NewReader("12345678"), -1, "12345678", 0, nil},
		{"streamed, over it", strings.NewReader("123456789"), -1, "12345678", mesh.BodyTooLarge, nil},
		{"streamed, far over it", strings.NewReader(strings.Repeat("1", 1<<20)), -1, "11111111", mesh.BodyTooLarge, nil},
		{"byte by byte, at the limit", iotest.OneByteReader(strings.NewReader("12345678")), -1, "12345678", 0, nil},
		{"byte by byte, over it", iotest.OneByteReader(strings.NewReader("123456789")), -1, "12345678", mesh.BodyTooLarge, nil},
		{"end beside data", iotest.DataErrReader(strings.NewReader("12345678")), -1, "12345678", 0, nil},
		{"no length said of a body", strings.NewReader("123456789"), 0, "12345678", mesh.BodyTooLarge, nil},
		{"broken", io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), -1, "123", 0, broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			origin := &reading{}
			req := request(t.Context(), http.MethodPost, "/")
			if req.ContentLength = tt.declared; tt.body != nil {
				req.Body = io.NopCloser(tt.body)
			}
			resp, err := mesh.Stack(origin, policy.MaxBody(8)).RoundTrip(req)
			if string(origin.got) != tt.got {
				t.Errorf("the origin got %q, want %q", origin.got, tt.got)
			}
			switch {
			case tt.kind != 0:
				faulted(t, err, tt.kind)
			case tt.err != nil:
				if !errors.Is(err, tt.err) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
			default:
				passed(t, resp, err)
			}
		})
	}
}

// ending is a body that notes its Close and how much was read of it.
type ending struct {
	io.Reader
	closed int
}

func (e *ending) Close() error { e.closed++; return nil }

func TestMaxBodyStaysBroken(t *testing.T) {
	body := &ending{Reader: strings.NewReader("123456789 and more")}
	origin := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		p := make([]byte, 4)
		if n, err := req.Body.Read(nil); n != 0 || err != nil {
			t.Errorf("Read of nothing: %d, %v", n, err)
		}
		var all bytes.Buffer
		var err error
		for err == nil {
			var n int
			n, err = req.Body.Read(p)
			all.Write(p[:n])
		}
		if _, again := req.Body.Read(p); !errors.Is(again, err) {
			t.Errorf("first %v, then %v", err, again)
		}
		if all.String() != "12345678" {
			t.Errorf("read %q", &all)
		}
		if err := req.Body.Close(); err != nil || body.closed != 1 {
			t.Errorf("Close: %v; %d on the client's body", err, body.closed)
		}
		return nil, err
	})
	req := request(t.Context(), http.MethodPost, "/")
	req.Body, req.ContentLength = body, -1
	_, err := mesh.Stack(origin, policy.MaxBody(8)).RoundTrip(req)
	faulted(t, err, mesh.BodyTooLarge)
}

func TestMaxURI(t *testing.T) {
	tests := []struct {
		name string
		path string
		pass bool
	}{
		{"short", "/a", true},
		{"at the limit", "/2345678?0", true},
		{"over it", "/2345678?01", false},
		{"path alone", "/2345678901", false},
		{"escaped at the limit", "/2%20%20890"[:10], true},
		{"escaped over it", "/%20%20%20%20", false},
	}
	for _, tt := range tests {
		resp, err := mesh.Stack(&service{}, policy.MaxURI(10)).RoundTrip(get(t.Context(), tt.path))
		if tt.pass {
			passed(t, resp, err)
		} else {
			faulted(t, err, mesh.URITooLong)
		}
	}
	req := get(t.Context(), "/")
	req.URL.Opaque = "//host/long-path"
	_, err := mesh.Stack(&service{}, policy.MaxURI(10)).RoundTrip(req)
	faulted(t, err, mesh.URITooLong)
}

// What came is judged, not what the layers above have added since.
func TestMaxHeaders(t *testing.T) {
	for _, tt := range []struct {
		name         string
		lines, bytes int // that came
		max          mesh.Layer
		refused      bool
	}{
		{"as many lines as may be", 3, 999, policy.MaxHeaders(3, 0), false},
		{"a line too many", 4, 999, policy.MaxHeaders(3, 0), true},
		{"as many bytes as may be", 99, 100, policy.MaxHeaders(0, 100), false},
		{"a byte too many", 99, 101, policy.MaxHeaders(0, 100), true},
		{"either bound counts", 1, 101, policy.MaxHeaders(3, 100), true},
		{"uncounted, as many lines as are there", 0, 0, policy.MaxHeaders(4, 0), false},
		{"uncounted, a line too many", 0, 0, policy.MaxHeaders(3, 0), true},
		{"uncounted, as many bytes as are there", 0, 0, policy.MaxHeaders(0, 24), false},
		{"uncounted, a byte too many", 0, 0, policy.MaxHeaders(0, 23), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := get(t.Context(), "/", "A", "1", "A", "2", "A", "3", "B", "4")
			call := mesh.From(req)
			call.Fields, call.FieldBytes = tt.lines, tt.bytes
			resp, err := mesh.Stack(&service{}, tt.max).RoundTrip(req)
			if tt.refused {
				faulted(t, err, mesh.HeaderTooLarge)
				return
			}
			passed(t, resp, err)
		})
	}
}

// A server that counted none has counted: what layers above have added is not the
// client's.
func TestNoHeaderIsNotTooLarge(t *testing.T) {
	req := get(t.Context(), "/", "X-Forwarded-For", "192.0.2.1", "X-Request-Id", "a")
	mesh.From(req).Start = time.Now()
	resp, err := mesh.Stack(&service{}, policy.MaxHeaders(1, 1)).RoundTrip(req)
	passed(t, resp, err)
}

func TestNoLimitNoLayer(t *testing.T) {
	for _, n := range []int{0, -1} {
		if policy.MaxBody(int64(n)) != nil || policy.MaxURI(n) != nil || policy.MaxHeaders(n, n) != nil {
			t.Errorf("a limit of %d makes a layer", n)
		}
	}
}

func TestSizeLimitsAllocateNothing(t *testing.T) {
	resp := &http.Response{}
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return resp, nil })
	stack := mesh.Stack(origin, policy.MaxBody(1<<20), policy.MaxURI(16<<10), policy.MaxHeaders(100, 64<<10))
	req := get(t.Context(), "/a/b%20c?d=e", "Accept", "*/*")
	if n := testing.AllocsPerRun(100, func() { _, _ = stack.RoundTrip(req) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
