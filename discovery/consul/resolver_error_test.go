package consul_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery/consul"
)

// always answers every query so.
func always(status int, body string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response { return respond(status, body) }
}

func TestErrorsKeepTheSet(t *testing.T) {
	tests := []struct {
		name   string
		breaks func(a *agent)
		denied bool
		want   []string // in the error
	}{
		{"a server's error", func(a *agent) { a.instead = always(500, "No cluster leader\nmore") }, false, []string{"500", "No cluster leader"}},
		{"403", func(a *agent) { a.instead = always(403, "Permission denied") }, true, []string{"403", "Permission denied", "consul.token", "consul.token_file", `service:read for "orders"`, "node:read"}},
		{"filtered by ACLs", func(a *agent) { a.filtered = true }, true, []string{"ACLs", "consul.token", `service:read for "orders"`, "node:read"}},
		{"no leader and nothing in it", func(a *agent) { a.headless = true; a.services["orders"].entries = nil }, false, []string{"no leader"}},
		{"a filter that is none", func(a *agent) { a.instead = always(400, "Failed to create boolean expression evaluator") }, false, []string{"filter", "boolean expression"}},
		{"not JSON", func(a *agent) { a.instead = always(200, "<html>") }, false, []string{"invalid character"}},
		{"cut short", func(a *agent) { a.instead = always(200, `[{"Node":`) }, false, []string{"EOF"}},
		{"somebody else's answer", func(a *agent) { a.instead = always(200, `[]`) }, false, []string{"no leader"}},
		{"frozen", func(a *agent) { a.frozen = true }, false, []string{"no answer within 5s"}},
	}
	for _, tt := range tests {
		for _, first := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAgent()
					a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 80))
					entries := a.services["orders"].entries
					breakIt := func() { a.with(func() { tt.breaks(a); a.wake(a.service("orders")) }) }
					if first {
						breakIt()
					}
					var text bytes.Buffer
					w := watch(t, a.client(t, consul.Config{Log: slog.New(slog.NewTextHandler(&text, nil))}), consul.Query{})
					defer w.stop(t)
					want := 0
					if !first {
						want = 1
						pass(time.Second)
						breakIt()
					}
					pass(time.Minute)
					answers := w.answers()
					pass(time.Minute)
					if w.updates() != want || w.answers() != answers {
						t.Errorf("%d updates, the last %v, want %d; %d answers", w.updates(), w.last(), want, w.answers()-answers)
					}
					failed, _ := w.failures()
					if len(failed) == 0 {
						t.Fatal("nobody heard of a failure")
					}
					last := failed[len(failed)-1]
					for _, part := range append(tt.want, "127.0.0.1:8500", "orders") {
						if !strings.Contains(last.Error(), part) {
							t.Errorf("the error is %q, want %q in it", last, part)
						}
					}
					if errors.Is(last, consul.ErrDenied) != tt.denied {
						t.Errorf("%q is denied: %v", last, !tt.denied)
					}
					if n := strings.Count(text.String(), "WARN"); n > 2 || n == 0 {
						t.Errorf("logged:\n%s", &text)
					}

					a.with(func() {
						a.instead, a.filtered, a.headless, a.frozen = nil, false, false, false
						a.services["orders"].entries = entries
					})
					pass(consul.BackoffMost + consul.AnswerTime)
					if got := ids(w.last()); w.updates() != 1 || !slices.Equal(got, []string{"dc1/n1/a", "dc1/n1/b"}) {
						t.Errorf("after recovery: %v in %d updates", got, w.updates())
					}
					if n := strings.Count(text.String(), "INFO"); n != 1 {
						t.Errorf("logged:\n%s", &text)
					}
				})
			})
		}
	}
}

// The agent's own view of the catalogue, which answers queries that block, does not
// say that ACLs have left something out.
func TestEmptiedByACLsWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, shown := range []int{0, 1} {
			a := newAgent()
			a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 80))
			w := watch(t, a.client(t, consul.Config{}), consul.Query{})
			pass(time.Second)
			a.with(func() { a.filtered, a.shown = true, shown })
			a.nudge("orders")
			synctest.Wait()
			w.stop(t)
			failed, _ := w.failures()
			if w.updates() != 1 || len(failed) != 1 || !errors.Is(failed[0], consul.ErrDenied) {
				t.Errorf("%d shown: %d updates, failures %v; want the set kept and the denial heard at once", shown, w.updates(), failed)
			}
		}
	})
}

// Likewise for a set that was empty before.
func TestHiddenByACLsWhileEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		pass(time.Second)
		a.with(func() { a.filtered = true })
		pass(30 * time.Second)
		if failed, _ := w.failures(); len(failed) == 0 || !errors.Is(failed[0], consul.ErrDenied) {
			t.Errorf("failures %v, want a denial within 30 s", failed)
		}
	})
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.with(func() { a.instead = always(500, "no") })
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		pass(2 * time.Minute)
		_, at := w.failures()
		most := 200 * time.Millisecond
		pauses := map[time.Duration]bool{}
		for i := 1; i < len(at); i++ {
			pause := at[i].Sub(at[i-1])
			pauses[pause] = true
			if pause < most/2 || pause > most {
				t.Errorf("pause %d is %v, want %v or up to half less", i, pause, most)
			}
			most = min(2*most, consul.BackoffMost)
		}
		if len(at) < 15 || len(pauses) < 10 {
			t.Errorf("%d failures with %d different pauses", len(at), len(pauses))
		}
		a.with(func() { a.instead = nil })
		pass(consul.BackoffMost)
		a.with(func() { a.instead = always(500, "no") })
		a.nudge("orders")
		pass(time.Second)
		_, again := w.failures()
		if again = again[len(at):]; len(again) < 3 {
			t.Errorf("%d failures in the second after a good answer, want the backoff begun anew", len(again))
		}
	})
}

func TestRetryAfterIsRespected(t *testing.T) {
	tests := []struct {
		name     string
		status   int
		value    func() string
		min, max time.Duration
	}{
		{"seconds", 429, func() string { return "7" }, 7 * time.Second, 8 * time.Second},
		{"a date", 429, func() string { return time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat) }, 8 * time.Second, 10 * time.Second},
		{"of a 503", 503, func() string { return "7" }, 7 * time.Second, 8 * time.Second},
		{"for ever", 429, func() string { return "1000000000" }, time.Minute, 66 * time.Second},
		{"nonsense", 429, func() string { return "soon" }, 0, 200 * time.Millisecond},
		{"negative", 429, func() string { return "-5" }, 0, 200 * time.Millisecond},
		{"none", 429, func() string { return "" }, 0, 200 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAgent()
				a.instead = func(*http.Request) *http.Response {
					resp := respond(tt.status, "too much")
					resp.Header.Set("Retry-After", tt.value())
					return resp
				}
				w := watch(t, a.client(t, consul.Config{}), consul.Query{})
				defer w.stop(t)
				pass(70 * time.Second)
				failed, at := w.failures()
				if len(at) < 2 {
					t.Fatal("not asked again")
				}
				if d := at[1].Sub(at[0]); d < tt.min || d > tt.max {
					t.Errorf("asked again after %v, want %v to %v", d, tt.min, tt.max)
				}
				if !strings.Contains(failed[0].Error(), "too much") {
					t.Errorf("the error is %q", failed[0])
				}
			})
		})
	}
}

// A stopped process keeps its connections and answers nothing.
func TestFrozenAgentIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entry("a", "10.0.0.1", 80))
		w := watch(t, a.client(t, consul.Config{}), consul.Query{})
		defer w.stop(t)
		pass(time.Second)
		begin := time.Now()
		a.with(func() { a.frozen = true })
		pass(2 * time.Minute)
		failed, at := w.failures()
		if len(at) == 0 || at[0].Sub(begin) > 30*time.Second {
			t.Fatalf("failures %v at %v, want one within 30 s", failed, at)
		}
		if w.updates() != 1 {
			t.Errorf("%d updates", w.updates())
		}
		a.with(func() { a.frozen = false })
		a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 80))
		pass(consul.BackoffMost + consul.AnswerTime)
		if len(w.last()) != 2 {
			t.Errorf("after it went on: %v", w.last())
		}
	})
}

// A revoked token wakes the query with 403; the one in the file is read anew.
func TestTokenIsReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entry("a", "10.0.0.1", 80))
		w := watch(t, a.client(t, consul.Config{TokenFile: file}), consul.Query{})
		defer w.stop(t)
		if failed, _ := w.failures(); len(failed) != 1 || !strings.Contains(failed[0].Error(), "consul.token_file") {
			t.Errorf("without the file: %v", failed)
		}
		write("old")
		pass(time.Second)
		if len(w.last()) != 1 {
			t.Fatalf("got %v with a token", w.last())
		}
		valid := "new"
		a.with(func() {
			a.instead = func(req *http.Request) *http.Response {
				if req.Header.Get("X-Consul-Token") != valid {
					return respond(403, "ACL not found")
				}
				return nil
			}
		})
		a.nudge("orders")
		pass(time.Minute)
		failed, _ := w.failures()
		if last := failed[len(failed)-1]; !errors.Is(last, consul.ErrDenied) || w.updates() != 1 {
			t.Errorf("%v, %d updates", last, w.updates())
		}
		write("new")
		a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 80))
		pass(consul.BackoffMost)
		if len(w.last()) != 2 {
			t.Errorf("got %v with the new token", w.last())
		}
	})
}

func TestLogTellsKindsOfTroubleApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		var text bytes.Buffer
		w := watch(t, a.client(t, consul.Config{Log: slog.New(slog.NewTextHandler(&text, nil))}), consul.Query{})
		defer w.stop(t)
		for _, status := range []int{500, 403, 500} {
			a.with(func() { a.instead = always(status, "no") })
			a.nudge("orders")
			pass(time.Minute)
		}
		if n := strings.Count(text.String(), "WARN"); n != 3 {
			t.Errorf("logged %d times, want once for each change:\n%s", n, &text)
		}
	})
}

// Consul does not tell a client without a token that ACLs have emptied an answer.
func TestEmptyAnswerToNobodyIsDoubted(t *testing.T) {
	tests := []struct {
		name, policy, token string
		entries             int
		want                int // warnings of two watches
	}{
		{"no token, denied by default", "deny", "", 0, 1},
		{"a token", "deny", "secret", 0, 0},
		{"allowed by default", "allow", "", 0, 0},
		{"something in it", "deny", "", 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAgent()
				for i := range tt.entries {
					a.put("orders", entry("a", "10.0.0.1", 80+i))
				}
				a.edit = func(h http.Header) { h.Set("X-Consul-Default-ACL-Policy", tt.policy) }
				var text bytes.Buffer
				c := a.client(t, consul.Config{Token: tt.token, Log: slog.New(slog.NewTextHandler(&text, nil))})
				for range 2 {
					w := watch(t, c, consul.Query{})
					pass(time.Minute)
					w.stop(t)
					if failed, _ := w.failures(); w.updates() != 1 || len(failed) != 0 {
						t.Errorf("%d updates, failures %v; want the set believed", w.updates(), failed)
					}
				}
				if n := strings.Count(text.String(), "consul.token_file"); n != tt.want {
					t.Errorf("%d warnings, want %d:\n%s", n, tt.want, &text)
				}
			})
		})
	}
}
