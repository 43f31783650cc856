package outbound

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

// complete is a client's body that has come whole: nobody is to read it from there.
type complete struct {
	t    *testing.T
	data string
}

func (b complete) Read([]byte) (int, error) {
	b.t.Error("the client's body was read")
	return 0, io.ErrUnexpectedEOF
}
func (b complete) Buffered() ([]byte, bool) { return []byte(b.data), true }
func (b complete) Close() error             { return nil }

// TestWholeBodyIsRepeated: from where it lies, without a goroutine.
func TestWholeBodyIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, outcomes: []outcome{{status: 503, consume: 3}, {status: 503, consume: -1}, {status: 200, consume: -1}}}
		req, call := request("PUT", "")
		req.Body, req.ContentLength = complete{t, "hello"}, 5
		resp, err := layer(usual, s, &recorder{}).RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		if len(s.bodies) != 3 || s.bodies[0] != "hel" || s.bodies[1] != "hello" || s.bodies[2] != "hello" {
			t.Errorf("the attempts had %q", s.bodies)
		}
		call.End(mesh.Result{})
	})
}

// TestWhole says what does not count as whole though the client's body is.
func TestWhole(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*http.Request)
		want bool
	}{
		{"plain", func(*http.Request) {}, true},
		{"with trailers", func(r *http.Request) { r.Trailer = http.Header{"Sum": nil} }, false},
		{"for who wants it", func(r *http.Request) { r.Header.Set("Expect", "100-Continue") }, false},
		{"none", func(r *http.Request) { r.Body = http.NoBody }, false},
		{"of a server that does not say", func(r *http.Request) { r.Body = bodyFunc(nil) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, _ := request("PUT", "")
			req.Body = complete{t, "hello"}
			c.edit(req)
			if _, got := whole(req); got != c.want {
				t.Errorf("whole %v, want %v", got, c.want)
			}
		})
	}
}

// TestWholeBodyGoesOut over a connection of net/http's, which may read it for longer than
// it is lent: it gets a copy.
func TestWholeBodyGoesOut(t *testing.T) {
	data := []byte("hello")
	req, call := request("PUT", "")
	req.Body = &wholeBody{data: data}
	x := newExchange("a", req)
	copy(data, "-----")
	again, err := x.req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []io.Reader{x.req.Body, again} {
		if got, _ := io.ReadAll(body); string(got) != "hello" {
			t.Errorf("it reads %q", got)
		}
	}
	call.End(mesh.Result{})
}

// TestWholeBodyIsNotWaitedFor: where the client owes nothing, it is not hurried.
func TestWholeBodyIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req, call := request("PUT", "")
		req.Body = complete{t, "hello"}
		origin := streamOrigin(200, "", time.Hour, http.NoBody)
		if _, err := timeout(0, time.Second)(origin).RoundTrip(req); err != nil {
			t.Error(err)
		}
		if _, same := req.Body.(complete); !same {
			t.Errorf("the body has become a %T", req.Body)
		}
		call.End(mesh.Result{})
	})
}
