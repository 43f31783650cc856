package bridge_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// lastly is a body that says when it is closed.
type lastly struct {
	io.Reader
	close func()
}

func (l lastly) Close() error { l.close(); return nil }

// A response that does not go out is closed, after the upload that may be feeding it.
func TestEdgeClosesWhatItDoesNotPassOn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*http.Response, *mesh.Call)
		want   mesh.Kind
	}{
		{"informational", func(r *http.Response, _ *mesh.Call) { r.StatusCode = 103 }, mesh.BadResponse},
		{"beyond", func(r *http.Response, _ *mesh.Call) { r.StatusCode = 1000 }, mesh.BadResponse},
		{"switched unasked", func(r *http.Response, _ *mesh.Call) { r.StatusCode = 101 }, mesh.UnsupportedUpgrade},
		{"late", func(_ *http.Response, c *mesh.Call) { c.SetDeadline(time.Unix(1, 0), late) }, mesh.ResponseTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var closed []string
			edge := edgeOf(func(req *http.Request) (*http.Response, error) {
				resp := reply(req, http.StatusOK, "x")
				resp.Body = lastly{resp.Body, func() { closed = append(closed, "answer") }}
				tt.change(resp, mesh.From(req))
				return resp, nil
			})
			req, _ := arrive(t, "POST", nil, strings.NewReader("hello"))
			req.Body = lastly{req.Body, func() { closed = append(closed, "upload") }}
			resp, err := edge.Handle(req)
			if resp == nil || resp.StatusCode != tt.want.Status() || kindOf(err) != tt.want || !slices.Equal(closed, []string{"upload", "answer"}) {
				t.Errorf("response %v, error %v, closed %q", resp, err, closed)
			}
		})
	}
}

func TestEdgeSwitches(t *testing.T) {
	offer := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket, h2c"}}
	for _, tt := range []struct {
		name, protocol string
		body           io.Reader
		read, writable bool
		want           mesh.Kind
	}{
		{"as asked", "WebSocket", nil, false, true, -1},
		{"with the body", "websocket", strings.NewReader("hello"), true, true, -1},
		{"before the body", "websocket", strings.NewReader("hello"), false, true, mesh.UnsupportedUpgrade},
		{"not what was let through", "h2c", nil, false, true, mesh.UnsupportedUpgrade},
		{"no writer", "websocket", nil, false, false, mesh.UnsupportedUpgrade},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, _ := loopback(t)
			var body io.ReadCloser = ours
			if !tt.writable {
				body = struct{ io.ReadCloser }{ours}
			}
			edge := edgeOf(func(req *http.Request) (*http.Response, error) {
				if want := []string{"websocket"}; !slices.Equal(req.Header["Upgrade"], want) || req.Header.Get("Connection") != "Upgrade" {
					t.Errorf("the stack got %q", req.Header)
				}
				if tt.read {
					_, _ = io.ReadAll(req.Body)
				}
				return switching(tt.protocol, body)(req)
			})
			req, _ := arrive(t, "GET", offer, tt.body)
			resp, err := edge.Handle(req)
			if kindOf(err) != tt.want {
				t.Fatalf("error %v", err)
			}
			if tt.want >= 0 {
				return
			}
			want := http.Header{"Connection": {"Upgrade"}, "Upgrade": {tt.protocol}, "Via": {"1.1 edge-1"}, "X-End": {"1"}, "Sec-Websocket-Accept": {"y"}}
			if resp.StatusCode != http.StatusSwitchingProtocols || resp.Body != body || !equal(resp.Header, want) {
				t.Errorf("%d %q, the endpoint's side itself: %v", resp.StatusCode, resp.Header, resp.Body == body)
			}
		})
	}
}

// What an Edge knows of one request is nothing to the next.
func TestEdgeForgets(t *testing.T) {
	ours, _ := loopback(t)
	read := true
	edge := edgeOf(func(req *http.Request) (*http.Response, error) {
		if read {
			_, _ = io.ReadAll(req.Body)
		}
		return switching("websocket", ours)(req)
	})
	offer := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	for _, read = range []bool{true, false, true, false} {
		req, call := arrive(t, "GET", offer, strings.NewReader("hello"))
		_, err := edge.Handle(req)
		if whole := err == nil; whole != read {
			t.Errorf("read %v: %v", read, err)
		}
		body := req.Body
		call.End(mesh.Result{})
		if n, err := body.Read(make([]byte, 5)); n > 0 || err != io.EOF {
			t.Errorf("the body gave %d bytes after the end, error %v", n, err)
		}
	}
}

func TestEdgePanics(t *testing.T) {
	var log bytes.Buffer
	for _, tt := range []struct {
		name   string
		origin mesh.RoundTripFunc
		status int // zero: cut
		logged bool
	}{
		{"panic", func(*http.Request) (*http.Response, error) { panic("oh") }, 500, true},
		{"abort", func(*http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) }, 0, false},
		{"abort by error", func(*http.Request) (*http.Response, error) { return nil, http.ErrAbortHandler }, 0, false},
		{"neither", func(*http.Request) (*http.Response, error) { return nil, nil }, 500, false},
		{"bare", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusNoContent}, nil
		}, 204, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log.Reset()
			edge := edgeOf(tt.origin, func(c *bridge.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			req, _ := arrive(t, "GET", nil, nil)
			resp, err := edge.Handle(req)
			switch {
			case tt.status == 0 && (resp != nil || !errors.Is(err, http.ErrAbortHandler)):
				t.Errorf("response %v, error %v", resp, err)
			case tt.status > 0 && (resp == nil || resp.StatusCode != tt.status || (err == nil) != (tt.status < 500) || resp.Body == nil):
				t.Errorf("response %v, error %v", resp, err)
			}
			if logged := strings.Contains(log.String(), "oh"); logged != tt.logged {
				t.Errorf("log %q", log.String())
			}
		})
	}
}

// What ended the call is what is told, though something else failed because of it.
func TestEdgeFaults(t *testing.T) {
	reset := &mesh.Fault{Kind: mesh.Reset}
	plain := errors.New("broken")
	for _, tt := range []struct {
		name string
		end  func(*mesh.Call)
		err  error
		want mesh.Kind
		head mesh.Kind // where it comes before the head
	}{
		{"nothing known", nil, plain, mesh.Reset, mesh.Internal},
		{"stated", nil, reset, mesh.Reset, mesh.Reset},
		{"too large", nil, &http.MaxBytesError{}, mesh.BodyTooLarge, mesh.BodyTooLarge},
		{"client gone", func(c *mesh.Call) { c.Cancel(&mesh.Fault{Kind: mesh.ClientGone}) }, reset, mesh.ClientGone, mesh.ClientGone},
		{"client gone by an error", func(c *mesh.Call) { c.Cancel(io.EOF) }, reset, mesh.ClientGone, mesh.ClientGone},
		{"stopped", func(c *mesh.Call) { c.Cancel(&mesh.Fault{Kind: mesh.Draining}) }, reset, mesh.Draining, mesh.Draining},
		{"the body came too slowly", func(c *mesh.Call) { c.Cancel(&mesh.Fault{Kind: mesh.ClientGone}) }, &mesh.Fault{Kind: mesh.RequestTimeout}, mesh.RequestTimeout, mesh.RequestTimeout},
		{"a layer's cancel", func(c *mesh.Call) { c.Cancel(&mesh.Fault{Kind: mesh.IdleTimeout}) }, plain, mesh.IdleTimeout, mesh.IdleTimeout},
		{"a layer's cancel and a fault", func(c *mesh.Call) { c.Cancel(&mesh.Fault{Kind: mesh.IdleTimeout}) }, reset, mesh.Reset, mesh.Reset},
		{"late", func(c *mesh.Call) { c.SetDeadline(time.Unix(1, 0), late) }, plain, mesh.ResponseTimeout, mesh.ResponseTimeout},
		{"late, and a fault", func(c *mesh.Call) { c.SetDeadline(time.Unix(1, 0), late) }, reset, mesh.Reset, mesh.Reset},
		{"not yet late", func(c *mesh.Call) { c.SetDeadline(time.Now().Add(time.Hour), late) }, plain, mesh.Reset, mesh.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edge := edgeOf(func(req *http.Request) (*http.Response, error) {
				if tt.end != nil {
					tt.end(mesh.From(req))
				}
				return nil, tt.err
			})
			req, _ := arrive(t, "GET", nil, nil)
			resp, err := edge.Handle(req)
			if kindOf(err) != tt.head || (resp == nil) != (tt.head == mesh.ClientGone) {
				t.Errorf("before the head: %v, response %v; want %v", err, resp, tt.head)
			}
			if got := edge.Fail(req, tt.err); got.Kind != tt.want {
				t.Errorf("after the head: %v, want %v", got, tt.want)
			}
		})
	}
}
