package integration_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"outrider/integration/meshtest"
)

func authActs(t *testing.T) {
	t.Run("the guide's answers", authRefuses)
	t.Run("the auth service is gone", func(t *testing.T) {
		s := openShop(t, gatewayYML, nil, nil)
		s.auth.Close()
		refusedBecause(t, s.as("/api/users/1"), http.StatusInternalServerError, "Auth validation failed")
		if n := s.users.Requests(); n != 0 {
			t.Errorf("%d requests passed", n)
		}
	})
	t.Run("identity is handed on", authHandsOn)
}

func authRefuses(t *testing.T) {
	s := openShop(t, gatewayYML, nil, nil)
	for i, tt := range []struct {
		name   string
		answer http.HandlerFunc // of the auth service; nil: it must not be asked
		status int
		want   string
	}{
		{"no token", nil, http.StatusUnauthorized, "Token required"},
		{"401", meshtest.Says(http.StatusUnauthorized, ""), http.StatusUnauthorized, "Invalid token"},
		{"403", meshtest.Says(http.StatusForbidden, ""), http.StatusUnauthorized, "Invalid token"},
		{"302", meshtest.Says(http.StatusFound, ""), http.StatusUnauthorized, "Invalid token"},
		{"500", meshtest.Says(http.StatusInternalServerError, ""), http.StatusUnauthorized, "Invalid token"},
		{"503", meshtest.Says(http.StatusServiceUnavailable, ""), http.StatusUnauthorized, "Invalid token"},
		{"no JSON", meshtest.Says(http.StatusOK, "yes"), http.StatusInternalServerError, "Auth validation failed"},
		{"no object", meshtest.Says(http.StatusOK, `["42"]`), http.StatusInternalServerError, "Auth validation failed"},
		{"nothing", meshtest.Says(http.StatusOK, ""), http.StatusInternalServerError, "Auth validation failed"},
		{"cut short", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, http.StatusInternalServerError, "Auth validation failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			asked := s.auth.Requests()
			if tt.answer != nil {
				s.authSays(tt.answer)
				headers = []string{"Authorization", "Bearer token-" + strconv.Itoa(i)} // one that is not cached
			}
			for _, at := range []string{"/api/users/1", "/api/orders/1"} {
				refusedBecause(t, s.Get(at, headers...), tt.status, tt.want)
			}
			if tt.answer == nil && s.auth.Requests() != asked {
				t.Error("the auth service was asked")
			}
		})
	}
	if n := s.users.Requests() + s.orders.Requests(); n != 0 {
		t.Errorf("%d requests passed", n)
	}
}

// refusedBecause holds a refusal's status, and the member error, word by word.
func refusedBecause(t *testing.T, got meshtest.Reply, status int, sentence string) {
	t.Helper()
	if got.StatusCode != status || got.JSON(t)["error"] != sentence {
		t.Errorf("got %d %s, want %d and the error %q", got.StatusCode, got.Text, status, sentence)
	}
}

func authHandsOn(t *testing.T) {
	who := func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%q %q", r.Header["X-User-Id"], r.Header["X-User-Role"])
	}
	s := openShop(t, gatewayYML, who, who)
	const want = `["42"] ["admin"]`
	for _, at := range []string{"/api/users/1", "/api/orders/1", "/api/users/1"} {
		if got := s.as(at, "X-User-Id", "1", "X-User-Role", "root"); got.StatusCode != http.StatusOK || got.Text != want {
			t.Errorf("%s: %d, the service was told %s, want %s", at, got.StatusCode, got.Text, want)
		}
	}
	if n := s.auth.Requests(); n != 1 {
		t.Errorf("the auth service was asked %d times, want once", n)
	}
	for series, want := range map[string]string{
		`outrider_auth_checks_total{cached="false",result="valid"}`: "1",
		`outrider_auth_checks_total{cached="true",result="valid"}`:  "2",
	} {
		if got := s.Metric(series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
}

// defaultLimitActs empties the bucket of 50, which meanwhile gets 1000 tokens a
// minute.
func defaultLimitActs(t *testing.T) {
	s := openShop(t, gatewayYML, nil, nil)
	const burst, perMinute = 50, 1000
	began := time.Now()
	for passed := 0; ; passed++ {
		at := []string{"/api/users/1", "/api/orders/1"}[passed%2] // one bucket for both
		got := s.as(at)
		most := burst + 1 + int(time.Since(began).Minutes()*perMinute)
		switch {
		case got.StatusCode == http.StatusTooManyRequests && passed >= burst:
			limited(t, got, `"default";q=50;w=3`, time.Second)
			if got := s.Get("/api/auth/me"); got.StatusCode != http.StatusOK {
				t.Errorf("a route that does not list rate-limit: %d", got.StatusCode)
			}
			return
		case got.StatusCode != http.StatusOK:
			t.Fatalf("request %d: %d %s, want 200", passed+1, got.StatusCode, got.Text)
		case passed >= most:
			t.Fatalf("%d requests passed, want at most %d", passed+1, most)
		case !strings.HasPrefix(got.Header.Get("Ratelimit"), `"default";r=`):
			t.Fatalf("request %d: RateLimit %q", passed+1, got.Header.Get("Ratelimit"))
		}
	}
}

func loginLimitActs(t *testing.T) {
	s := openShop(t, gatewayYML, nil, nil)
	for range 2 {
		if got := s.Do(http.MethodPost, "/api/auth/login", "{}"); got.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", got.StatusCode, got.Text)
		}
	}
	limited(t, s.Do(http.MethodPost, "/api/auth/login", "{}"), `"/api/auth/login";q=2;w=12`, 6*time.Second)
	if n := s.auth.Requests(); n != 2 {
		t.Errorf("%d requests reached the service, want 2", n)
	}
	if got := s.Get("/api/auth/me"); got.StatusCode != http.StatusOK {
		t.Errorf("another path: %d", got.StatusCode)
	}
}

// limited holds everything that a 429 says.
func limited(t *testing.T, got meshtest.Reply, policy string, most time.Duration) {
	t.Helper()
	if got.StatusCode != http.StatusTooManyRequests || got.JSON(t)["code"] != "limited" {
		t.Errorf("%d %s, want 429 limited", got.StatusCode, got.Text)
	}
	name, _, _ := strings.Cut(policy, ";")
	wait := got.Header.Get("Retry-After")
	if !within(wait, most) {
		t.Errorf("Retry-After %q, want 1 to %v", wait, most)
	}
	if field, want := got.Header.Get("Ratelimit"), name+";r=0;t="+wait; field != want {
		t.Errorf("RateLimit %q, want %q", field, want)
	}
	if field := got.Header.Get("Ratelimit-Policy"); field != policy {
		t.Errorf("RateLimit-Policy %q, want %q", field, policy)
	}
}

// within reports whether a Retry-After names a time from 1 s to most.
func within(field string, most time.Duration) bool {
	seconds, err := strconv.Atoi(field)
	return err == nil && seconds >= 1 && time.Duration(seconds)*time.Second <= most
}

func breakerOpens(t *testing.T) {
	s := openShop(t, gatewayYML, meshtest.Says(http.StatusInternalServerError, "on fire"), meshtest.Says(http.StatusInternalServerError, "on fire"))
	failFiveTimes(t, s)
	for range 2 {
		got := s.as("/api/orders/1")
		if got.StatusCode != http.StatusServiceUnavailable || got.JSON(t)["code"] != "breaker_open" {
			t.Errorf("%d %s, want 503 breaker_open", got.StatusCode, got.Text)
		}
		if wait := got.Header.Get("Retry-After"); !within(wait, 30*time.Second) {
			t.Errorf("Retry-After %q, want 1 to 30", wait)
		}
	}
	if n := s.orders.Requests(); n != 5 {
		t.Errorf("%d requests reached the endpoint, want 5", n)
	}
	breakerIs(t, s, "open", map[string]int{"closed open": 1})
	for range 7 { // a route that does not list circuit-breaker
		if got := s.as("/api/users/1"); got.StatusCode != http.StatusInternalServerError || got.Text != "on fire" {
			t.Errorf("users: %d %s", got.StatusCode, got.Text)
		}
	}
}

// failFiveTimes has /api/orders fail just often enough.
func failFiveTimes(t *testing.T, s *shop) {
	t.Helper()
	for i := range 5 {
		breakerIs(t, s, "closed", map[string]int{})
		if got := s.as("/api/orders/1"); got.StatusCode != http.StatusInternalServerError || got.Text != "on fire" {
			t.Fatalf("failure %d: %d %s", i+1, got.StatusCode, got.Text)
		}
	}
}

// breakerCloses shortens the recovery time, and nothing else.
func breakerCloses(t *testing.T) {
	broken := make(chan struct{})
	orders := func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-broken:
			_, _ = w.Write([]byte("tea"))
		default:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte("on fire"))
		}
	}
	s := openShop(t, edited(t, "recovery_timeout: 30s", "recovery_timeout: 200ms"), nil, orders)
	failFiveTimes(t, s)
	breakerRecovers(t, s)

	// A trial that fails opens it again.
	if got := s.as("/api/orders/1"); got.StatusCode != http.StatusInternalServerError {
		t.Fatalf("a trial: %d %s", got.StatusCode, got.Text)
	}
	breakerRecovers(t, s)
	close(broken)
	history := map[string]int{"closed open": 1, "open half-open": 2, "half-open open": 1}
	for i := range 3 {
		if got := s.as("/api/orders/1"); got.Text != "tea" {
			t.Fatalf("trial %d: %d %s", i+1, got.StatusCode, got.Text)
		}
		if i < 2 {
			breakerIs(t, s, "half-open", history)
		}
	}
	history["half-open closed"] = 1
	breakerIs(t, s, "closed", history)
}

// breakerRecovers waits until the breaker lets trials through.
func breakerRecovers(t *testing.T, s *shop) {
	t.Helper()
	eventually(t, "the recovery time is over", func() bool {
		return endpointOf(t, s.Running, "order-service")["breaker"] == "half-open"
	})
}

// breakerIs holds the state of the orders' breaker, and how often it went from one
// to another.
func breakerIs(t *testing.T, s *shop, state string, transitions map[string]int) {
	t.Helper()
	if got := endpointOf(t, s.Running, "order-service")["breaker"]; got != state {
		t.Errorf("/services shows the breaker as %v, want %s", got, state)
	}
	for _, change := range []string{"closed open", "open half-open", "half-open open", "half-open closed"} {
		from, to, _ := strings.Cut(change, " ")
		want := ""
		if n := transitions[change]; n > 0 {
			want = strconv.Itoa(n)
		}
		series := `outrider_breaker_transitions_total{from="` + from + `",service="order-service",to="` + to + `"}`
		if got := s.Metric(series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
}
