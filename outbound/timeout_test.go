package outbound

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

// streamOrigin answers with a stream that the test writes to.
func streamOrigin(status int, contentType string, takes time.Duration, body io.ReadCloser) http.RoundTripper {
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		if cause := sleep(mesh.From(req), takes); cause != nil {
			return nil, mesh.EndOf(cause)
		}
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: body}, nil
	})
}

func TestTimeoutCoversWhat(t *testing.T) {
	for _, c := range []struct {
		name        string
		status      int
		contentType string
		grpcTimeout string
		takes       time.Duration
		lateHead    bool          // the head itself is too late
		deadline    time.Duration // that holds after the head; zero is none
		byClient    bool          // whose late head it is
	}{
		{"ordinary", 200, "application/json", "", 0, false, 10 * time.Second, false},
		{"late head", 200, "", "", 11 * time.Second, true, 0, false},
		{"event stream", 200, "text/event-stream", "", 9 * time.Second, false, 0, false},
		{"late event stream", 200, "text/event-stream", "", 11 * time.Second, true, 0, false},
		{"upgrade", 101, "", "", 0, false, 0, false},
		{"grpc", 200, "application/grpc", "", 0, false, 0, false},
		{"late grpc", 200, "application/grpc", "", 11 * time.Second, true, 0, false},
		{"grpc with its own", 200, "application/grpc", "3S", 0, false, 3 * time.Second, false},
		{"grpc with its own, late", 200, "application/grpc", "3S", 4 * time.Second, true, 0, true},
		{"grpc with the same, late", 200, "application/grpc", "10S", 11 * time.Second, true, 0, false},
		{"grpc with a longer one, late", 200, "application/grpc", "1H", 11 * time.Second, true, 0, false},
		{"grpc with a longer one", 200, "application/grpc", "1H", 0, false, time.Hour, false},
		{"grpc with nonsense", 200, "application/grpc", "3x", 0, false, 0, false},
		{"not grpc", 200, "text/plain", "3S", 0, false, 10 * time.Second, false},
		{"grpc-web", 200, "application/grpc-web", "3S", 0, false, 10 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, call := request("POST", "")
				defer call.End(mesh.Result{})
				req.Header.Set("Content-Type", c.contentType)
				if c.grpcTimeout != "" {
					req.Header.Set("Grpc-Timeout", c.grpcTimeout)
				}
				began := time.Now()
				origin := streamOrigin(c.status, c.contentType, c.takes, http.NoBody)
				resp, err := timeout(10*time.Second, time.Minute)(origin).RoundTrip(req)
				if c.lateHead {
					if err == nil || mesh.AsFault(err).Kind != mesh.ResponseTimeout {
						t.Fatalf("got %v, %v", resp, err)
					}
					if f := mesh.AsFault(err); f.ByClient != c.byClient || f.Retryable {
						t.Errorf("ByClient %v, Retryable %v; want %v, false", f.ByClient, f.Retryable, c.byClient)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				at := call.Deadline()
				if c.deadline == 0 && !at.IsZero() || c.deadline != 0 && !at.Equal(began.Add(c.deadline)) {
					t.Errorf("deadline %v after the start, want %v", at.Sub(began), c.deadline)
				}
			})
		})
	}
}

func TestGRPCTimeout(t *testing.T) {
	for v, want := range map[string]time.Duration{
		"": 0, "S": 0, "5": 0, "5H": 5 * time.Hour, "5M": 5 * time.Minute, "5S": 5 * time.Second, "5m": 5 * time.Millisecond,
		"5u": 5 * time.Microsecond, "5n": 5, "-5S": 0, "+5S": 0, "5 S": 0, "99999999H": maxTimeout, "999999999S": 0, "99999999S": maxTimeout,
	} {
		req, _ := request("POST", "")
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Grpc-Timeout", v)
		if got := grpcTimeout(req); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

// TestIdle: a stream lasts for as long as something moves, in whichever direction.
func TestIdle(t *testing.T) {
	const idle = 10 * time.Second
	for _, c := range []struct {
		name   string
		status int
		move   func(up, down io.Writer, tunnel io.Writer) // every 9 seconds
		lives  bool
	}{
		{"nothing moves", 200, func(_, _, _ io.Writer) {}, false},
		{"down", 200, func(_, down, _ io.Writer) { _, _ = down.Write([]byte("x")) }, true},
		{"up", 200, func(up, _, _ io.Writer) { _, _ = up.Write([]byte("x")) }, true},
		{"tunnel down", 101, func(_, down, _ io.Writer) { _, _ = down.Write([]byte("x")) }, true},
		{"tunnel up", 101, func(_, _, tunnel io.Writer) { _, _ = tunnel.Write([]byte("x")) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, call := request("POST", "")
				req.Header.Set("Content-Type", "application/grpc")
				client, up := io.Pipe()
				defer func() { _ = client.Close() }()
				req.Body = client
				downRead, down := io.Pipe()
				var body io.ReadCloser = downRead
				if c.status == 101 {
					body = &duplex{ReadCloser: downRead}
				}
				resp, err := timeout(time.Minute, idle)(streamOrigin(c.status, "application/grpc", 0, body)).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.Copy(io.Discard, resp.Body) }()
				go func() { _, _ = io.Copy(io.Discard, req.Body) }()
				tunnel, _ := resp.Body.(io.Writer)
				for range 20 {
					<-time.After(9 * time.Second)
					if call.Context().Err() != nil {
						break
					}
					c.move(up, down, tunnel)
				}
				cause := context.Cause(call.Context())
				if c.lives && cause != nil {
					t.Errorf("ended by %v", cause)
				}
				if !c.lives && (cause == nil || mesh.AsFault(cause).Kind != mesh.IdleTimeout) {
					t.Errorf("cause %v", cause)
				}
				_, _ = down.Close(), up.Close()
				call.End(mesh.Result{})
			})
		})
	}
}

// duplex is a tunnel that swallows what is written.
type duplex struct{ io.ReadCloser }

func (*duplex) Write(p []byte) (int, error) { return len(p), nil }

func TestIdleWatchStopsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req, call := request("GET", "")
		origin := streamOrigin(200, "text/event-stream", 0, http.NoBody)
		resp, err := timeout(0, time.Second)(origin).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		call.End(mesh.Result{})
		if resp.Body.(*watchedBody).watch.timer.Stop() {
			t.Error("the timer was still running")
		}
	})
}

// TestIdleWatchAtTheEnd: a timer that goes off as the call ends does nothing more.
func TestIdleWatchAtTheEnd(t *testing.T) {
	_, call := request("GET", "")
	w := newIdleWatch(call, time.Hour)
	w.response(&http.Response{Body: http.NoBody})
	w.End(mesh.Result{})
	w.last = time.Time{}
	w.check()
	if cause := context.Cause(call.Context()); cause != nil {
		t.Errorf("cause %v", cause)
	}
	call.End(mesh.Result{})
}
