package outbound

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

// carrier stands in for net/http: it sends the body over a connection and waits for
// the answer, which never comes. It reads that many parts of the body, and then the
// endpoint takes nothing more; negative is all.
func carrier(parts int) mesh.RoundTripFunc {
	return func(req *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{Conn: &conn{}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := 0; n != parts; n++ {
				if _, err := req.Body.Read(make([]byte, chunk)); err != nil {
					return
				}
			}
		}()
		<-req.Context().Done()
		_ = req.Body.Close()
		<-done
		return nil, req.Context().Err()
	}
}

// TestWhoseTimeout: time that runs out while the client owes a part of its body is the
// client's; with an endpoint that does not take what is there it is the endpoint's.
func TestWhoseTimeout(t *testing.T) {
	own := &mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true}
	for _, c := range []struct {
		name          string
		total, perTry time.Duration
		own           bool // the deadline is the client's
		sent          int  // parts of the body that come
		whole         bool // and then its end
		taken         int  // by the endpoint; negative is all
		want          mesh.Kind
		byClient      bool
		attempts      int
	}{
		{"overall, nothing came", time.Second, 0, false, 0, false, -1, mesh.RequestTimeout, true, 1},
		{"overall, a part came", time.Second, 0, false, 2, false, -1, mesh.RequestTimeout, true, 1},
		{"overall, all came", time.Second, 0, false, 2, true, -1, mesh.ResponseTimeout, false, 1},
		{"overall, not taken", time.Second, 0, false, 2, false, 0, mesh.ResponseTimeout, false, 1},
		{"overall, taken in part", time.Second, 0, false, 2, false, 1, mesh.ResponseTimeout, false, 1},
		{"per try, a part came", time.Hour, time.Second, false, 2, false, -1, mesh.RequestTimeout, true, 1},
		{"per try, all came", time.Hour, time.Second, false, 2, true, -1, mesh.PerTryTimeout, false, 2},
		{"per try, not taken", time.Hour, time.Second, false, 2, false, 0, mesh.PerTryTimeout, false, 2},
		{"client's own, a part came", time.Hour, 0, true, 2, false, -1, mesh.ResponseTimeout, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newSlowBody()
				req, call := request("PUT", "")
				req.Body, req.ContentLength = client, -1
				if c.own {
					call.SetDeadline(time.Now().Add(time.Second), own)
				}
				over := make(chan struct{})
				fed := make(chan struct{})
				go func() {
					defer close(fed)
					for range c.sent {
						select {
						case client.give <- []byte("part"):
						case <-over:
							return
						}
					}
					if c.whole {
						close(client.give)
					}
				}()
				endpoint := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
					return newExchange("a", req).run(carrier(c.taken))
				})
				policy := Retry{Attempts: 1, On: []string{"504"}, Budget: Budget{Min: 1}}
				stack := mesh.Stack(endpoint, timeout(c.total, 0), func(next http.RoundTripper) http.RoundTripper {
					return layer(policy, next, &recorder{})
				}, perTry(c.perTry))
				_, err := stack.RoundTrip(req)
				f := mesh.AsFault(err)
				if f.Kind != c.want || f.ByClient != c.byClient || f.ByClient && f.Retryable {
					t.Errorf("got %v, ByClient %v, Retryable %v", f, f.ByClient, f.Retryable)
				}
				if len(call.Attempts) != c.attempts {
					t.Errorf("%d attempts, want %d", len(call.Attempts), c.attempts)
				}
				close(over)
				_ = client.Close()
				<-fed
				call.End(mesh.Result{})
			})
		})
	}
}

// TestOwed: what an earlier attempt waits for is not what the present one lacks.
func TestOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *upload
		if none.owed() {
			t.Error("no body is owed")
		}
		client := newSlowBody()
		u := uploadOf(client, -1)
		if u.owed() {
			t.Error("owed before anybody asked for it")
		}
		wait := func(r *uploadReader) {
			go func() { _, _ = io.Copy(io.Discard, r) }()
			synctest.Wait()
		}
		wait(open(t, u))
		if open(t, u); u.owed() {
			t.Error("owed to an attempt that has not asked for it")
		}
		wait(open(t, u))
		client.give <- []byte("part")
		synctest.Wait()
		if !u.owed() {
			t.Error("not owed while the client is waited for")
		}
		second := open(t, u)
		if u.owed() {
			t.Error("owed though the second attempt has not taken what came")
		}
		wait(second)
		if !u.owed() {
			t.Error("not owed though the second attempt has taken what came")
		}
		_ = client.Close()
		synctest.Wait()
		if !u.owed() {
			t.Error("not owed though the body has ended before its time")
		}
	})
}
