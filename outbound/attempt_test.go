package outbound

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/internal/mesh"
)

// TestAttemptsAreUsedAgain: what one request left behind is nothing to the next.
func TestAttemptsAreUsedAgain(t *testing.T) {
	var seen []*http.Request
	origin := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		kept := *req
		kept.Header = req.Header.Clone()
		kept.Body = nil
		if b, err := io.ReadAll(req.Body); err == nil && len(b) > 0 {
			kept.Body = http.NoBody // it had one
		}
		seen = append(seen, &kept)
		req.Header["Added"] = []string{"below"}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	rt := layer(usual, origin, &recorder{})
	full, call := request("PUT", "hello")
	full.Header["A"] = []string{"1"}
	full.Trailer = http.Header{"Sum": nil}
	full.TransferEncoding = []string{"chunked"}
	whole, another := request("PUT", "")
	whole.Body, whole.ContentLength = complete{t, "hello"}, 5
	empty, third := request("GET", "")
	for _, x := range []struct {
		req  *http.Request
		call *mesh.Call
	}{{full, call}, {whole, another}, {empty, third}} {
		if _, err := rt.RoundTrip(x.req); err != nil {
			t.Fatal(err)
		}
		x.call.End(mesh.Result{})
	}
	for i, want := range []struct{ body, field, trailer, again bool }{
		{true, true, true, true}, {true, false, false, false}, {false, false, false, false},
	} {
		got := seen[i]
		if (got.Body != nil) != want.body || (len(got.Header) > 0) != want.field || (got.Trailer != nil) != want.trailer || (got.GetBody != nil) != want.again {
			t.Errorf("attempt %d had body %v, header %v, trailer %v", i, got.Body != nil, got.Header, got.Trailer)
		}
	}
	if len(full.Header) != 1 || len(empty.Header) != 0 {
		t.Errorf("the clients' headers have become %v and %v", full.Header, empty.Header)
	}
}

// TestAttemptsAppendToTheirOwn: the lists of the client's header may have room.
func TestAttemptsAppendToTheirOwn(t *testing.T) {
	origin := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		req.Header.Add("A", "below")
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	req, call := request("GET", "")
	list := []string{"1", "2"}
	req.Header["A"] = list[:1]
	if _, err := layer(usual, origin, &recorder{}).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	call.End(mesh.Result{})
	if list[1] != "2" {
		t.Errorf("the client's list has become %q", list)
	}
}

// TestAttemptOfAnEndedCall is not used for another request while it is under way.
func TestAttemptOfAnEndedCall(t *testing.T) {
	r := layer(usual, nil, &recorder{})
	req, call := request("GET", "")
	call.End(mesh.Result{})
	first, err := r.begin(call, req, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := r.begin(mesh.NewCall(context.Background()), req, nil)
	if first == second || first.req.URL == nil {
		t.Error("one attempt serves two requests at once")
	}
}

// TestLargeHeadersAreNotKept: a map never shrinks.
func TestLargeHeadersAreNotKept(t *testing.T) {
	r := layer(usual, nil, &recorder{})
	req, call := request("GET", "")
	for i := range keptFields + 1 {
		req.Header[strings.Repeat("A", i+1)] = []string{""}
	}
	a, err := r.begin(call, req, nil)
	if err != nil {
		t.Fatal(err)
	}
	had := a.header
	call.End(mesh.Result{})
	had["Mark"] = nil
	if len(a.header) != 0 {
		t.Error("the map is kept")
	}
}
