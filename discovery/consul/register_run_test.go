package consul_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"outrider/discovery/consul"
)

func TestHeartbeatsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		select {
		case <-g.Registered():
		default:
			t.Error("not registered")
		}
		pass(10 * time.Minute)
		times := a.times("heartbeat")
		different := map[time.Duration]bool{}
		for i := 1; i < len(times); i++ {
			gap := times[i].Sub(times[i-1])
			different[gap] = true
			if gap < 4500*time.Millisecond || gap > 5500*time.Millisecond {
				t.Errorf("%v between heartbeats, want a third of the TTL give or take 10 %%", gap)
			}
		}
		if len(times) < 100 || len(different) < 10 {
			t.Errorf("%d heartbeats, %d different gaps: no jitter", len(times), len(different))
		}
		if n := a.count("register"); n != 1 {
			t.Errorf("registered %d times", n)
		}
		if n := a.count("look"); n < 9 || n > 13 {
			t.Errorf("%d looks at the registration in 10 minutes, want one each 10 heartbeats", n)
		}
		if s := g.Status(); !s.Registered || !s.Passing || s.Note != "well" || s.Err != nil || s.Beat != times[len(times)-1] || s.Since != times[0] {
			t.Errorf("got %+v", s)
		}
		if g.log.lines() != 1 {
			t.Errorf("logged:\n%s", g.log)
		}
	})
}

func TestBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		pass(time.Second)
		g.become(false, "health check: status 500,\n not 200-299 \x00")
		g.Beat()
		synctest.Wait()
		if status, output := a.state(); status != "critical" || output != "health check: status 500," {
			t.Errorf("got %s, %q at once, want critical and one line", status, output)
		}
		g.become(true, "")
		g.Beat()
		pass(100 * time.Millisecond)
		if status, output := a.state(); status != "passing" || output != "" {
			t.Errorf("got %s, %q, want passing", status, output)
		}
	})
}

// The servers have the note, too: what an operator looks at is theirs.
func TestTheServersHaveTheNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		pass(time.Second)
		tell := func(ok bool, note string, registrations int) {
			t.Helper()
			g.become(ok, note)
			g.Beat()
			pass(time.Second)
			if got := a.shown(); got != note {
				t.Errorf("the servers have %q, want %q", got, note)
			}
			if n := a.count("register"); n != registrations {
				t.Errorf("registered %d times, want %d", n, registrations)
			}
		}
		tell(false, "refused", 1) // by the change of state
		tell(false, "status 503", 2)
		pass(time.Minute)
		tell(true, "", 2)
		pass(time.Minute)
		a.wipe()
		g.become(false, "refused")
		pass(12 * time.Second) // a heartbeat finds that it is forgotten, and the next shows the note
		if got := a.shown(); got != "refused" {
			t.Errorf("the servers have %q of a service that had been forgotten", got)
		}
	})
}

// A note that changes with each heartbeat is no flood, and hides nobody else's
// registration.
func TestNotesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		for i := range 120 {
			g.become(false, fmt.Sprintf("reset: port %d", i))
			pass(5 * time.Second)
		}
		if n := a.count("register"); n < 20 || n > 45 {
			t.Errorf("registered %d times in 10 minutes, want four times a minute at most", n)
		}
		if n := a.count("look"); n < 8 {
			t.Errorf("%d looks at the registration in 10 minutes", n)
		}
	})
}

// An app that flaps is no flood, and what it came to in the end is told.
func TestBeatsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		for i := range 1000 {
			g.become(i%2 == 0, "flapping")
			g.Beat()
			pass(time.Millisecond)
		}
		if n := a.count("heartbeat"); n < 9 || n > 12 {
			t.Errorf("%d heartbeats in a second, want 10 or so", n)
		}
		pass(100 * time.Millisecond)
		if status, _ := a.state(); status != "critical" {
			t.Errorf("got %s, want what was last", status)
		}
		n := a.count("heartbeat")
		pass(4 * time.Second)
		if a.count("heartbeat") != n {
			t.Error("heartbeats that nobody asked for")
		}
	})
}

func TestNoteIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		g.become(false, strings.Repeat("x", 10000))
		g.Beat()
		pass(time.Second)
		if _, output := a.state(); len(output) != consul.MaxNote {
			t.Errorf("%d bytes", len(output))
		}
	})
}

func TestAgentForgets(t *testing.T) {
	tests := []struct {
		name   string
		forget func(*registry)
	}{
		{"everything", (*registry).wipe},
		{"the check", func(a *registry) { a.with(func() { delete(a.checks, "service:o1") }) }},
		{"that the check has a TTL", func(a *registry) { a.with(func() { a.checks["service:o1"].ttl = 0 }) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newRegistry()
				g := run(t, a, consul.Config{}, orders())
				defer g.stop()
				pass(time.Second)
				tt.forget(a)
				g.Beat()
				synctest.Wait()
				if status, _ := a.state(); status != "passing" || !a.has() || a.count("register") != 2 {
					t.Errorf("got %q after %d registrations, want it back at once", status, a.count("register"))
				}
				if s := g.Status(); !s.Registered || s.Err != nil {
					t.Errorf("got %+v", s)
				}
				if g.log.lines() != 2 || g.log.count("registered again") != 1 {
					t.Errorf("logged:\n%s", g.log)
				}
			})
		})
	}
}

func TestAlterationsAreUndone(t *testing.T) {
	tests := []struct {
		name  string
		alter func(*api.AgentServiceRegistration)
	}{
		{"a tag", func(r *api.AgentServiceRegistration) { r.Tags = []string{"v2"} }},
		{"the order of tags", func(r *api.AgentServiceRegistration) { r.Tags = []string{"blue", "v2"} }},
		{"meta", func(r *api.AgentServiceRegistration) { r.Meta = map[string]string{"zone": "c", "version": "2"} }},
		{"the weight", func(r *api.AgentServiceRegistration) { r.Weights = &api.AgentWeights{Passing: 9, Warning: 1} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newRegistry()
				g := run(t, a, consul.Config{}, orders())
				defer g.stop()
				a.with(func() { tt.alter(a.services["o1"]) })
				pass(time.Minute)
				if n := a.count("register"); n != 2 {
					t.Errorf("registered %d times, want 2", n)
				}
				pass(5 * time.Minute)
				if n := a.count("register"); n != 2 {
					t.Errorf("registered %d times, though nothing was altered again", n)
				}
				if g.log.count("altered") != 1 {
					t.Errorf("logged:\n%s", g.log)
				}
			})
		})
	}
}

// What a reload changes is in the catalogue at once, and what is altered from then on
// is undone to that.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, next := newRegistry(), orders()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		next.Tags, next.Meta, next.Weight, next.Zone = []string{"v3"}, map[string]string{"version": "3"}, 9, "c"
		if err := g.Change(next); err != nil {
			t.Fatal(err)
		}
		is := func(when string) {
			t.Helper()
			got := a.last("register").body
			if got.Tags[0] != "v3" || got.Meta["version"] != "3" || got.Meta["zone"] != "c" || got.Weights.Passing != 9 {
				t.Errorf("%s: got tags %v, meta %v, weights %v", when, got.Tags, got.Meta, got.Weights)
			}
		}
		pass(time.Second)
		is("at once")
		pass(5 * time.Minute)
		if n := a.count("register"); n != 2 || g.log.count("has changed") != 1 {
			t.Errorf("registered %d times, want 2; logged:\n%s", n, g.log)
		}
		a.wipe()
		pass(6 * time.Second)
		is("after the agent forgot it")
	})
}

func TestChangeWhileTheAgentFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, next := newRegistry(), orders()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		pass(time.Second)
		a.with(func() { a.instead = answerOnce("register", 500, "no leader") })
		next.Weight = 9
		if err := g.Change(next); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if got := a.last("register").body; a.count("register") != 3 || got.Weights.Passing != 9 {
			t.Errorf("registered %d times, at last with %v", a.count("register"), got.Weights)
		}
	})
}

func TestChangeIsOfTheSameInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		for _, tt := range []struct {
			name string
			edit func(*consul.Registration)
			want string
		}{
			{"name", func(r *consul.Registration) { r.Name = "cake" }, "stays so"},
			{"id", func(r *consul.Registration) { r.ID = "o2" }, "stays so"},
			{"address", func(r *consul.Registration) { r.Address = "10.0.0.8" }, "stays so"},
			{"port", func(r *consul.Registration) { r.Port = 1 }, "stays so"},
			{"heartbeat", func(r *consul.Registration) { r.CheckTTL = time.Minute }, "stays so"},
			{"weight", func(r *consul.Registration) { r.Weight = 0 }, "service.weight"},
		} {
			next := orders()
			tt.edit(&next)
			if err := g.Change(next); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			}
		}
		pass(time.Minute)
		if n := a.count("register"); n != 1 {
			t.Errorf("registered %d times, want once", n)
		}
	})
}

// Another sidecar with the same ID does as this one does: neither may give in, and
// neither may flood the agent or the log.
func TestConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, other := newRegistry(), orders()
		other.Port = 15007
		g := run(t, a, consul.Config{}, orders())
		pass(20 * time.Second)
		h := run(t, a, consul.Config{}, other)
		pass(10 * time.Minute)
		if n := a.count("register"); n < 10 || n > 30 {
			t.Errorf("%d registrations in 10 minutes, want about two a minute", n)
		}
		for _, r := range []*registered{g, h} {
			if n := r.log.count("another process"); n < 5 || n > 15 {
				t.Errorf("logged %d times:\n%s", n, r.log)
			}
		}
		if !errors.Is(g.Status().Err, consul.ErrConflict) && !errors.Is(h.Status().Err, consul.ErrConflict) {
			t.Errorf("got %+v and %+v, want a conflict", g.Status(), h.Status())
		}
		if !strings.Contains(g.log.String(), "orders at 10.0.0.7:15007, this one is orders at 10.0.0.7:15006") {
			t.Errorf("logged:\n%s", g.log)
		}
		if err := h.stop(); err != nil {
			t.Errorf("got %v", err)
		}
		pass(3 * time.Minute)
		if s := g.Status(); s.Err != nil || !s.Registered || a.services["o1"].Port != 15006 {
			t.Errorf("got %+v after the other has left", s)
		}
		g.stop()
	})
}

// The other's check is of a kind that takes no heartbeat.
func TestConflictOverTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		take := func() {
			a.with(func() {
				a.services["o1"] = &api.AgentServiceRegistration{ID: "o1", Name: "orders", Address: "10.0.0.8", Port: 80, Weights: &api.AgentWeights{}}
				a.checks["service:o1"].ttl = 0
			})
		}
		for range 600 { // each second for 10 minutes
			take()
			pass(time.Second)
		}
		if n := a.count("register"); n < 10 || n > 16 {
			t.Errorf("%d registrations in 10 minutes, want about one each 50 s", n)
		}
		for i := 0; i < 10 && g.Status().Registered; i++ { // it has replaced the other just now
			take()
			pass(time.Second)
		}
		if s := g.Status(); !errors.Is(s.Err, consul.ErrConflict) || s.Registered {
			t.Errorf("got %+v", s)
		}
		if n := g.log.lines(); n > 50 {
			t.Errorf("%d lines logged in 10 minutes", n)
		}
	})
}

func TestMaintenanceStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		a.with(func() {
			a.checks["_service_maintenance:o1"] = &agentCheck{service: "o1", status: "critical", maintenance: true}
			delete(a.checks, "service:o1")
		})
		pass(6 * time.Second)
		if n := a.count("register"); n != 2 || a.checks["_service_maintenance:o1"] == nil {
			t.Errorf("%d registrations; maintenance: %v", n, a.checks["_service_maintenance:o1"])
		}
	})
}

// Consul would remove a service that is critical for too long, though its sidecar
// lives, and with it an operator's maintenance mode.
func TestUnhealthyServiceIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := newRegistry(), orders()
		r.DeregisterAfter = 2 * time.Minute
		g := run(t, a, consul.Config{}, r)
		defer g.stop()
		pass(10 * time.Minute)
		if n := a.count("register"); n != 1 {
			t.Fatalf("%d registrations of a healthy service", n)
		}
		g.become(false, "down")
		g.Beat()
		synctest.Wait()
		if n := a.count("register"); n != 1 {
			t.Errorf("%d registrations: the first word of an unhealthy app needs none", n)
		}
		pass(10 * time.Minute)
		times := a.times("register")
		if len(times) < 9 || len(times) > 11 {
			t.Errorf("%d registrations, want one a minute", len(times))
		}
		for i := 2; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap > 90*time.Second {
				t.Errorf("%v between registrations", gap)
			}
		}
		if g.log.lines() != 1 {
			t.Errorf("logged:\n%s", g.log)
		}
	})
}
