package consul_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery/consul"
)

const (
	manyServices = 300
	places       = 64
)

// watchMany watches services s0, s1, … of a, until stop.
func watchMany(t *testing.T, a *agent, n int) (all []*watched, stop func()) {
	t.Helper()
	c := a.client(t, consul.Config{MaxWatches: places})
	all = make([]*watched, n)
	for i := range all {
		name := fmt.Sprint("s", i)
		a.put(name, entry("a", "10.0.0.1", 80))
		all[i] = &watched{err: make(chan error, 1)}
		all[i].start(t, c.Resolver(consul.Query{Service: name}, all[i].listen()))
	}
	return all, func() {
		for _, w := range all {
			w.stop(t)
		}
	}
}

// The bound, stated: the agent never sees more than MaxWatches queries that block
// and PollsAtOnce that do not, and whatever the number of services, each has its
// first answer soon, and from then on is either blocked at the agent or asked again
// within PollEvery and a tenth, and what it takes to answer. Each has a place in turn.
func TestMoreServicesThanPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.latency = 5 * time.Millisecond
		begin := time.Now()
		all, stop := watchMany(t, a, manyServices)
		defer stop()
		pass(time.Second)
		for i, w := range all {
			if w.answers() == 0 {
				t.Fatalf("s%d has no answer after a second", i)
			}
		}
		pass(2 * time.Minute)
		end := time.Now()

		blocking, polling := a.loads()
		if blocking != places || polling > consul.PollsAtOnce {
			t.Errorf("at most %d queries blocked and %d others were under way at once, want %d and up to %d", blocking, polling, places, consul.PollsAtOnce)
		}
		if n := len(a.requests("")); n > 100*int(end.Sub(begin).Seconds()) {
			t.Errorf("%d queries in %v, want no more than 100 a second", n, end.Sub(begin))
		}
		limit := consul.PollEvery*11/10 + time.Second/2
		var worst time.Duration
		for i, w := range all {
			asked := a.requests(fmt.Sprint("s", i))
			age := oldest(asked, begin, end)
			worst = max(worst, age)
			if age > limit {
				t.Errorf("s%d: up to %v without an answer and not blocked, want %v", i, age, limit)
			}
			if !slices.ContainsFunc(asked, wasBlocked) {
				t.Errorf("s%d never had a place in %v", i, end.Sub(begin))
			}
			if failed, _ := w.failures(); len(failed) != 0 {
				t.Errorf("s%d: %v", i, failed[0])
			}
			if w.updates() != 1 {
				t.Errorf("s%d: %d updates", i, w.updates())
			}
		}
		t.Logf("%d services, %d places: %d queries in %v, the oldest age %v", manyServices, places, len(a.requests("")), end.Sub(begin), worst)
	})
}

func wasBlocked(r asked) bool { return r.blocks() }

// oldest returns the longest time between begin and end in which a service had no
// query blocked and no answer.
func oldest(all []asked, begin, end time.Time) time.Duration {
	longest, fresh := time.Duration(0), begin
	for _, r := range all {
		if r.ended.IsZero() {
			r.ended = end // it is under way
		}
		moment := r.ended
		if r.blocks() {
			moment = r.begun
		}
		longest, fresh = max(longest, moment.Sub(fresh)), r.ended
	}
	return max(longest, end.Sub(fresh))
}

func TestChangeIsSeenWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.latency = 5 * time.Millisecond
		all, stop := watchMany(t, a, manyServices)
		defer stop()
		pass(time.Minute)
		for i := range all {
			a.put(fmt.Sprint("s", i), entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 80))
		}
		pass(consul.PollEvery*11/10 + time.Second/2)
		for i, w := range all {
			if len(w.last()) != 2 {
				t.Errorf("s%d: %v", i, w.last())
			}
		}
	})
}

// As many services as places: each is blocked, and nobody polls.
func TestAsManyServicesAsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		_, stop := watchMany(t, a, places)
		defer stop()
		pass(10 * time.Minute)
		for i := range places {
			polls := slices.DeleteFunc(a.requests(fmt.Sprint("s", i)), wasBlocked)
			if len(polls) != 1 {
				t.Errorf("s%d: %d polls, want the first alone", i, len(polls))
			}
		}
	})
}

// A newcomer does not wait for anybody's place.
func TestNewcomerIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.latency = 5 * time.Millisecond
		c := a.client(t, consul.Config{MaxWatches: 1})
		a.put("first", entry("a", "10.0.0.1", 80))
		w := watch(t, c, consul.Query{Service: "first"})
		defer w.stop(t)
		pass(time.Second)
		a.put("second", entry("a", "10.0.0.1", 80))
		second := watch(t, c, consul.Query{Service: "second"})
		defer second.stop(t)
		pass(a.latency)
		if second.updates() != 1 {
			t.Error("no answer yet")
		}
	})
}

// A place is not kept, nor waited for, by who has no use for it.
func TestPlaceIsNotLost(t *testing.T) {
	tests := []struct {
		name string
		idle func(a *agent, w *watched, t *testing.T)
	}{
		{"by one who is denied", func(a *agent, _ *watched, _ *testing.T) {
			a.with(func() {
				a.instead = func(req *http.Request) *http.Response {
					if strings.HasSuffix(req.URL.Path, "/first") {
						return respond(403, "no")
					}
					return nil
				}
			})
			a.nudge("first")
		}},
		{"by one who has left", func(_ *agent, w *watched, t *testing.T) { w.stop(t) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAgent()
				c := a.client(t, consul.Config{MaxWatches: 1})
				second := watch(t, c, consul.Query{Service: "second"})
				defer second.stop(t)
				pass(time.Second) // it has the place
				first := watch(t, c, consul.Query{Service: "first"})
				pass(time.Second) // it waits
				tt.idle(a, first, t)
				pass(time.Minute)
				n := len(a.requests("second"))
				pass(time.Minute)
				later := a.requests("second")[n:]
				if blocked := slices.IndexFunc(later, wasBlocked); blocked < 0 {
					t.Errorf("of %d queries in the last minute none had the place", len(later))
				}
				first.cancel(errEnough)
				if tt.name == "by one who is denied" {
					<-first.err
				}
			})
		})
	}
}

// Everybody hears that the agent has frozen, though few can ask at once.
func TestFrozenAgentIsNoticedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		all, stop := watchMany(t, a, manyServices)
		defer stop()
		pass(time.Minute)
		a.with(func() { a.frozen = true })
		pass(40 * time.Second)
		for i, w := range all {
			if failed, _ := w.failures(); len(failed) == 0 {
				t.Errorf("s%d has heard nothing", i)
			}
		}
		blocking, polling := a.loads()
		if blocking > places || polling > consul.PollsAtOnce {
			t.Errorf("%d and %d queries at once", blocking, polling)
		}
		a.with(func() { a.frozen = false })
		answers := make([]int, len(all))
		for i, w := range all {
			answers[i] = w.answers()
		}
		pass(consul.BackoffMost + consul.AnswerTime)
		for i, w := range all {
			if w.answers() == answers[i] || w.updates() != 1 {
				t.Errorf("s%d: %d answers since the agent goes on, %d updates", i, w.answers()-answers[i], w.updates())
			}
		}
	})
}
