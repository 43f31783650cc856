package policy_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/policy"
)

func TestAuthRemembers(t *testing.T) {
	type step struct {
		wait  time.Duration
		token string
		asked int32 // questions so far
	}
	config := policy.AuthConfig{TTL: 10 * time.Second, NegativeTTL: time.Second, MaxCached: 2}
	forgetful := policy.AuthConfig{}
	tests := []struct {
		name  string
		c     policy.AuthConfig
		auth  *service
		steps []step
	}{
		{"valid for TTL", config, knows(), []step{{0, "a", 1}, {9999 * time.Millisecond, "a", 1}, {time.Millisecond, "a", 2}, {0, "a", 2}}},
		{"invalid for NegativeTTL", config, &service{status: 401}, []step{{0, "a", 1}, {999 * time.Millisecond, "a", 1}, {time.Millisecond, "a", 2}}},
		{"each token by itself", config, knows(), []step{{0, "a", 1}, {0, "b", 2}, {0, "A", 3}}},
		{"the oldest goes", config, knows(), []step{{0, "a", 1}, {0, "b", 2}, {0, "a", 2}, {0, "c", 3}, {0, "a", 3}, {0, "b", 4}}},
		{"TTL zero", forgetful, knows(), []step{{0, "a", 1}, {0, "a", 2}}},
		{"NegativeTTL zero", forgetful, &service{status: 401}, []step{{0, "a", 1}, {0, "a", 2}}},
		{"not a Fault", config, &service{err: &mesh.Fault{Kind: mesh.Refused}}, []step{{0, "a", 1}, {0, "a", 2}}},
		{"not bad JSON", config, &service{body: "?"}, []step{{0, "a", 1}, {0, "a", 2}}},
		{"not a service in trouble", config, &service{status: 503}, []step{{0, "a", 1}, {0, "a", 2}}},
		{"not a busy service", config, &service{status: 429}, []step{{0, "a", 1}, {0, "a", 2}}},
		{"not a slow client", config, &service{status: 408}, []step{{0, "a", 1}, {0, "a", 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var now clock
			tt.c.Origin, tt.c.Now = tt.auth, now.now
			var checks, cached int32
			tt.c.Checked = func(_ string, c bool) {
				if c {
					cached++
				} else {
					checks++
				}
			}
			stack, _, _ := authStack(t, tt.c)
			var first error
			for i, s := range tt.steps {
				now.advance(s.wait)
				_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "Bearer "+s.token))
				if i == 0 {
					first = err
				} else if (err == nil) != (first == nil) || err != nil && mesh.AsFault(err).Text() != mesh.AsFault(first).Text() {
					t.Errorf("step %d: answered %v, and first %v", i, err, first)
				}
				if got := tt.auth.calls.Load(); got != s.asked {
					t.Errorf("step %d: asked %d times, want %d", i, got, s.asked)
				}
				if checks != s.asked || checks+cached != int32(i+1) {
					t.Errorf("step %d: Checked heard of %d checks and %d cached", i, checks, cached)
				}
			}
		})
	}
}

// What strangers make up pushes out no token that is good, and is itself forgotten.
func TestAuthForgetsNoValidTokenForRefusedOnes(t *testing.T) {
	const valid = 100
	asked := make(map[string]int)
	auth := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		token := req.Header.Get("Authorization")
		asked[token]++
		if strings.Contains(token, "good") {
			return knows().RoundTrip(req)
		}
		return (&service{status: http.StatusUnauthorized}).RoundTrip(req)
	})
	stack, _, a := authStack(t, policy.AuthConfig{Origin: auth, TTL: time.Hour, NegativeTTL: time.Hour, MaxCached: 2 * valid})
	ask := func(kind string, i int) {
		t.Helper()
		token := fmt.Sprint("Bearer ", kind, i)
		_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", token))
		if (err == nil) != (kind == "good") {
			t.Fatalf("%s: %v", token, err)
		}
	}
	for i := range valid {
		ask("good", i)
	}
	for i := range 10 * valid {
		ask("bad", i)
	}
	for i := range valid {
		ask("good", i)
	}
	ask("bad", 0)          // forgotten
	ask("bad", 10*valid-1) // remembered
	a.Close()              // nobody writes asked any more
	for token, n := range asked {
		want := 1
		if token == "Bearer bad0" {
			want = 2
		}
		if n != want {
			t.Errorf("asked %d times for %s, want %d", n, token, want)
		}
	}
}

// slow is a service that answers when told to.
type slow struct {
	service
	release chan struct{}
	asked   chan string
}

func newSlow() *slow {
	return &slow{service: service{body: `{"id":"u1"}`}, release: make(chan struct{}), asked: make(chan string, 100)}
}

func (s *slow) RoundTrip(req *http.Request) (*http.Response, error) {
	s.asked <- req.Header.Get("Authorization")
	ctx := mesh.From(req).Context()
	select {
	case <-s.release:
		return s.service.RoundTrip(req)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func TestAuthAsksOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSlow()
		var mu sync.Mutex
		heard := make(map[string]int)
		stack, _, _ := authStack(t, policy.AuthConfig{Origin: auth, Checked: func(result string, cached bool) {
			mu.Lock()
			defer mu.Unlock()
			heard[fmt.Sprint(result, cached)]++
		}})
		errs := make(chan error, 100)
		for i := range 100 {
			go func() {
				_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", fmt.Sprint("Bearer ", i%2)))
				errs <- err
			}()
		}
		synctest.Wait()
		close(auth.release)
		for range 100 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if got := auth.calls.Load(); got != 2 {
			t.Errorf("asked %d times for two tokens", got)
		}
		if heard["validfalse"] != 2 || heard["validtrue"] != 98 {
			t.Errorf("Checked heard %v, want 2 checks and 98 cached", heard)
		}
	})
}

func TestAuthWaitersGetFaultsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSlow()
		auth.err = &mesh.Fault{Kind: mesh.Refused}
		stack, _, _ := authStack(t, policy.AuthConfig{Origin: auth})
		errs := make(chan error)
		for range 2 {
			go func() {
				_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "Bearer a"))
				errs <- err
			}()
		}
		synctest.Wait()
		close(auth.release)
		if a, b := faulted(t, <-errs, mesh.AuthFailed), faulted(t, <-errs, mesh.AuthFailed); a == b {
			t.Error("two callers share a Fault")
		}
		if got := auth.calls.Load(); got != 1 {
			t.Errorf("asked %d times", got)
		}
	})
}

func TestAuthCallersLeave(t *testing.T) {
	tests := []struct {
		name  string
		leave func(call *mesh.Call, disconnect func())
		want  mesh.Kind
	}{
		{"with a cause", func(call *mesh.Call, _ func()) { call.Cancel(&mesh.Fault{Kind: mesh.ResponseTimeout}) }, mesh.ResponseTimeout},
		{"with the connection", func(_ *mesh.Call, disconnect func()) { disconnect() }, mesh.ClientGone},
		{"by deadline", func(call *mesh.Call, _ func()) {
			call.SetDeadline(time.Now().Add(time.Second), &mesh.Fault{Kind: mesh.ResponseTimeout})
		}, mesh.ResponseTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				auth := newSlow()
				stack, _, _ := authStack(t, policy.AuthConfig{Origin: auth, TTL: time.Hour, Timeout: time.Minute})
				ctx, disconnect := context.WithCancel(t.Context())
				defer disconnect()
				left, stayed := make(chan error), make(chan error)
				first := get(ctx, "/", "Authorization", "Bearer a")
				go func() {
					_, err := stack.RoundTrip(first)
					left <- err
				}()
				<-auth.asked // on behalf of the first
				go func() {
					_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "Bearer a"))
					stayed <- err
				}()
				synctest.Wait()
				tt.leave(mesh.From(first), disconnect)
				faulted(t, <-left, tt.want)
				close(auth.release)
				if err := <-stayed; err != nil {
					t.Errorf("who stayed was told %v", err)
				}
				if resp, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "Bearer a")); err != nil {
					t.Errorf("got %v, %v after that", resp, err)
				}
				if got := auth.calls.Load(); got != 1 {
					t.Errorf("asked %d times, want once", got)
				}
			})
		})
	}
}

func TestAuthTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stack, _, _ := authStack(t, policy.AuthConfig{Origin: newSlow(), TTL: time.Hour, NegativeTTL: time.Hour})
		for range 2 { // the failure is not remembered
			start := time.Now()
			_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "Bearer a"))
			f := faulted(t, err, mesh.AuthFailed)
			if cause := mesh.AsFault(f.Err); cause.Kind != mesh.ResponseTimeout {
				t.Errorf("the cause is %v, want a ResponseTimeout", cause)
			}
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("took %v, want the default of 2s", took)
			}
		}
	})
}

// stuck is a body that comes until its context ends.
type stuck struct{ ctx context.Context }

func (s stuck) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, context.Cause(s.ctx) }
func (s stuck) Close() error             { return nil }

func TestAuthTimesOutInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			call := mesh.From(req)
			call.ClearDeadline() // as for what looks like a stream
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: stuck{call.Context()}}, nil
		})
		stack, _, _ := authStack(t, policy.AuthConfig{Origin: auth, Timeout: 3 * time.Second})
		start := time.Now()
		_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "Bearer a"))
		faulted(t, err, mesh.AuthFailed)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want 3s", took)
		}
	})
}

func TestAuthBoundsPendingChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSlow()
		stack, _, _ := authStack(t, policy.AuthConfig{Origin: auth, MaxPending: 2})
		errs := make(chan error)
		for _, token := range []string{"a", "b", "b"} {
			go func() {
				_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", token))
				errs <- err
			}()
		}
		synctest.Wait()
		_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "c"))
		faulted(t, err, mesh.AuthFailed)
		close(auth.release)
		for range 3 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if resp, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "c")); err != nil {
			t.Errorf("got %v, %v with no check pending", resp, err)
		}
	})
}

func TestAuthSurvivesAPanic(t *testing.T) {
	ended := 0
	auth := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		mesh.From(req).OnEnd(func(mesh.Result) { ended++ })
		panic("a bug below")
	})
	stack, _, _ := authStack(t, policy.AuthConfig{Origin: auth})
	_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", "a"))
	if f := faulted(t, err, mesh.AuthFailed); !strings.Contains(f.Error(), "a bug below") {
		t.Errorf("got %v, want what the panic said", f)
	}
	if ended != 1 {
		t.Errorf("the question's Call ended %d times, want once", ended)
	}
}

func TestAuthClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newSlow()
		stack, _, a := authStack(t, policy.AuthConfig{Origin: auth, TTL: time.Hour})
		ask := func(token string) error {
			_, err := stack.RoundTrip(get(t.Context(), "/", "Authorization", token))
			return err
		}
		errs := make(chan error)
		go func() { errs <- ask("known") }()
		<-auth.asked
		auth.release <- struct{}{}
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		go func() { errs <- ask("pending") }()
		<-auth.asked
		a.Close()
		faulted(t, <-errs, mesh.AuthFailed)
		faulted(t, ask("new"), mesh.AuthFailed)
		if err := ask("known"); err != nil {
			t.Errorf("a remembered token: %v", err)
		}
		a.Close() // does nothing more
	})
}
