package policy_test

import (
	"net/http"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy"
)

// Whoever asks spends nothing, however often.
func TestLimiterPeekSpendsNothing(t *testing.T) {
	now := time.Unix(1000, 0)
	l, err := policy.NewLimiter(policy.LimitConfig{Name: "logins", Rate: policy.Rate{PerMinute: 60, Burst: 2}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	send := l.Layer()(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
	}))
	req := newRequest(t)
	for i, want := range []policy.Left{
		{Allowed: true, Remaining: 2},
		{Allowed: true, Remaining: 1, Reset: time.Second},
		{Allowed: false, Remaining: 0, Reset: time.Second},
	} {
		want.Rate = policy.Rate{PerMinute: 60, Burst: 2}
		for range 3 {
			if got := l.Peek(req); got != want {
				t.Errorf("after %d requests: %+v, want %+v", i, got, want)
			}
		}
		if l.Keys() != min(i, 1) {
			t.Errorf("after %d requests: %d clients are remembered", i, l.Keys())
		}
		if resp, err := send.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
	}
	if l.Name() != "logins" {
		t.Errorf("name %q", l.Name())
	}
}

func TestShedTellsWhatIsInFlight(t *testing.T) {
	s := policy.NewShed(1)
	send := s.Layer()(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
	}))
	req := newRequest(t)
	resp, err := send.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if s.InFlight() != 1 {
		t.Errorf("%d in flight, want 1", s.InFlight())
	}
	mesh.From(req).End(mesh.Result{})
	if s.InFlight() != 0 {
		t.Errorf("%d in flight, want none", s.InFlight())
	}
}

func newRequest(t *testing.T) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return mesh.NewCall(t.Context()).Bind(req)
}

func TestAuthPeekAsksNobody(t *testing.T) {
	now := time.Unix(1000, 0)
	auth := &service{body: `{"id":"u1"}`}
	stack, _, a := authStack(t, policy.AuthConfig{Origin: auth, TTL: time.Minute, NegativeTTL: time.Second, Now: func() time.Time { return now }})
	token := func(text string) http.Header { return http.Header{"Authorization": {"Bearer " + text}} }
	if v := a.Peek(http.Header{}); v.Fault == nil || v.Fault.Text() != "Token required" || v.Known {
		t.Errorf("without a token: %+v", v)
	}
	if v := a.Peek(token("good")); v != (policy.Verdict{}) {
		t.Errorf("of a token that nobody has brought: %+v", v)
	}
	passed := func(text string) {
		req := get(t.Context(), "/", "Authorization", "Bearer "+text)
		if resp, err := stack.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
	}
	passed("good")
	auth.status = http.StatusUnauthorized
	passed("bad")
	if auth.calls.Load() != 2 {
		t.Fatalf("%d checks, want 2", auth.calls.Load())
	}
	if v := a.Peek(token("good")); v != (policy.Verdict{Known: true, Left: time.Minute, Subject: "u1"}) {
		t.Errorf("of a good token: %+v", v)
	}
	if v := a.Peek(token("bad")); v.Fault == nil || v.Fault.Text() != "Invalid token" || !v.Known || v.Left != time.Second {
		t.Errorf("of a bad token: %+v", v)
	}
	now = now.Add(time.Hour)
	if v := a.Peek(token("good")); v != (policy.Verdict{}) {
		t.Errorf("of a token whose answer is too old: %+v", v)
	}
	if auth.calls.Load() != 2 {
		t.Errorf("%d checks, want 2: somebody was asked", auth.calls.Load())
	}
}
