package consul_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery/consul"
)

// failing is a way for the agent to fail.
type failing struct {
	name  string
	begin func(*registry)
	end   func(*registry)
	want  string // in the error
	is    error  // nil: nothing in particular
}

func failures() []failing {
	instead := func(f func(*http.Request) *http.Response) func(*registry) {
		return func(a *registry) { a.with(func() { a.instead = f }) }
	}
	return []failing{
		{"down", func(a *registry) { a.with(func() { a.down = true }) }, func(a *registry) { a.with(func() { a.down = false }) }, "connection refused", nil},
		{"frozen", func(a *registry) { a.with(func() { a.frozen = true }) }, func(a *registry) { a.with(func() { a.frozen = false }) }, "no answer in time (5s)", nil},
		{"denied", func(a *registry) { a.with(func() { a.tokens = []string{} }) }, func(a *registry) { a.with(func() { a.tokens = nil }) }, `has service:write for "orders"`, consul.ErrDenied},
		{"no leader", instead(func(*http.Request) *http.Response { return respond(500, "No cluster leader\n") }), instead(nil), "the agent answers 500: No cluster leader", nil},
		{"too many connections", instead(func(*http.Request) *http.Response {
			return respond(429, "Your IP is issuing too many concurrent connections")
		}), instead(nil), "429", nil},
	}
}

func TestFailureFromTheStart(t *testing.T) {
	for _, tt := range failures() {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newRegistry()
				tt.begin(a)
				g := run(t, a, consul.Config{}, orders())
				defer g.stop()
				pass(10 * time.Minute)
				s := g.Status()
				if s.Registered || s.Err == nil || !strings.Contains(s.Err.Error(), tt.want) || tt.is != nil && !errors.Is(s.Err, tt.is) {
					t.Errorf("got %+v, want an error with %q", s, tt.want)
				}
				if n := a.total(); n < 50 || n > 250 {
					t.Errorf("%d tries in 10 minutes", n)
				}
				if g.log.lines() != 1 {
					t.Errorf("logged:\n%s", g.log)
				}
				select {
				case <-g.Registered():
					t.Error("registered")
				default:
				}
				tt.end(a)
				pass(12 * time.Second) // a request that hangs, and a pause
				if s := g.Status(); !s.Registered || s.Err != nil || !a.has() {
					t.Errorf("got %+v once it works", s)
				}
				<-g.Registered()
				if g.log.lines() != 3 || g.log.count("again") != 1 {
					t.Errorf("logged:\n%s", g.log)
				}
			})
		})
	}
}

func TestFailureLater(t *testing.T) {
	for _, tt := range failures() {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newRegistry()
				g := run(t, a, consul.Config{}, orders())
				defer g.stop()
				tt.begin(a)
				pass(12 * time.Second)
				g.become(false, "down")
				for range 100 { // while the agent fails, they change nothing
					g.Beat()
					pass(time.Millisecond)
				}
				s := g.Status()
				if s.Err == nil || !strings.Contains(s.Err.Error(), tt.want) || tt.is != nil && !errors.Is(s.Err, tt.is) || !s.Registered {
					t.Errorf("got %+v, want an error with %q", s, tt.want)
				}
				if n := g.log.lines(); n != 2 {
					t.Errorf("%d lines:\n%s", n, g.log)
				}
				if n := a.total(); n > 20 {
					t.Errorf("%d requests", n)
				}
				tt.end(a)
				pass(6 * time.Second)
				if status, _ := a.state(); status != "critical" {
					t.Errorf("got %s, want what is so by now", status)
				}
				if s := g.Status(); s.Err != nil || s.Passing || s.Note != "down" {
					t.Errorf("got %+v", s)
				}
				if g.log.count("takes this service's heartbeat again") != 1 {
					t.Errorf("logged:\n%s", g.log)
				}
			})
		})
	}
}

// The servers may have denied the agent what it told them: only a registration makes
// it tell them again.
func TestDeniedThenRegisteredAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		a.with(func() { a.instead = answerOnce("heartbeat", 403, "ACL not found") })
		pass(10 * time.Second)
		if n := a.count("register"); n != 2 {
			t.Errorf("%d registrations, want 2", n)
		}
		if !strings.Contains(g.log.String(), "ACL not found") {
			t.Errorf("logged:\n%s", g.log)
		}
	})
}

func TestRegistrationFollowsTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		write := func(token string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("one")
		a := newRegistry()
		a.tokens = []string{"one", "two"}
		g := run(t, a, consul.Config{TokenFile: file}, orders())
		defer g.stop()
		pass(time.Minute)
		if n := a.count("register"); n != 1 {
			t.Fatalf("%d registrations", n)
		}
		write("two")
		pass(time.Minute)
		if n := a.count("register"); n != 2 {
			t.Errorf("%d registrations, want one by each token: the agent uses that of the registration", n)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		pass(12 * time.Second)
		if err := g.Status().Err; err == nil || !strings.Contains(err.Error(), "consul.token_file") {
			t.Errorf("got %v", err)
		}
		write("two")
		pass(12 * time.Second)
		if err := g.Status().Err; err != nil || a.count("register") != 2 {
			t.Errorf("got %v after %d registrations", err, a.count("register"))
		}
	})
}

// An agent that asks to be left alone for longer than a heartbeat lives would have
// every service become critical.
func TestRetryAfterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		a.with(func() {
			a.instead = func(*http.Request) *http.Response {
				resp := respond(503, "")
				resp.Header.Set("Retry-After", "3600")
				return resp
			}
		})
		pass(6 * time.Second)
		begun := a.total()
		pass(11 * time.Second)
		if n := a.total() - begun; n != 2 {
			t.Errorf("%d tries, want one each 5 s", n)
		}
	})
}

func TestRefusedRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		a.instead = answer("register", 400, "Invalid Service Meta: too good\n")
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		if err := g.Status().Err; err == nil || !strings.Contains(err.Error(), "the agent refuses the registration: Invalid Service Meta: too good") {
			t.Errorf("got %v", err)
		}
	})
}

func TestVerifyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		a.with(func() { a.instead = answer("look", 500, "overloaded") })
		pass(70 * time.Second)
		if err := g.Status().Err; err == nil || !strings.Contains(err.Error(), "look for orders: the agent answers 500: overloaded") {
			t.Errorf("got %v", err)
		}
		beats := a.count("heartbeat")
		pass(time.Minute)
		if n := a.count("heartbeat") - beats; n < 10 {
			t.Errorf("%d heartbeats in a minute: they must go on", n)
		}
	})
}
