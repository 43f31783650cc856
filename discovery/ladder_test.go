package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

var errDown = errors.New("connection refused")

// town is where the endpoints live: some answer probes, some do not.
type town struct {
	mu   sync.Mutex // protects all below
	dead map[string]error
	seen map[string][]time.Time
	now  int // probes under way
	most int
	hold time.Duration // how long a probe takes
}

func newTown() *town { return &town{dead: map[string]error{}, seen: map[string][]time.Time{}} }

func (n *town) probe(ctx context.Context, e mesh.Endpoint) error {
	n.mu.Lock()
	n.now++
	n.most = max(n.most, n.now)
	n.seen[e.ID] = append(n.seen[e.ID], time.Now())
	hold := n.hold
	n.mu.Unlock()
	if hold > 0 {
		select {
		case <-time.After(hold):
		case <-ctx.Done():
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now--
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return n.dead[e.ID]
}

// set says of each of ids that it answers (nil) or why not.
func (n *town) set(err error, ids ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		n.dead[id] = err
	}
}

// delay makes each further probe take that long.
func (n *town) delay(hold time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hold = hold
}

// probes returns when id was probed.
func (n *town) probes(id string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seen[id])
}

// climb is a running Ladder over a catalogue that the test plays.
type climb struct {
	*watched
	ladder    *discovery.Ladder
	catalogue *manual
	town      *town
	log       *text
}

// text is a log that may be read while it is written.
type text struct {
	mu  sync.Mutex // protects buf
	buf bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// count returns how many lines of the log have word in them.
func (t *text) count(word string) int {
	n := 0
	for line := range strings.Lines(t.String()) {
		if strings.Contains(line, word) {
			n++
		}
	}
	return n
}

// ladder starts l inside a synctest bubble.
func ladder(t *testing.T, l *discovery.Ladder) *climb {
	t.Helper()
	c := &climb{ladder: l, catalogue: newManual(), town: newTown(), log: &text{}}
	l.Inner, l.Log = c.catalogue, slog.New(slog.NewTextHandler(c.log, nil))
	l.Probe = c.town.probe
	c.watched = watch(t, l)
	return c
}

// answer is an answer of the catalogue that brings something new.
func (c *climb) answer(ids ...string) { c.answerWith(plain(ids...)...) }

func (c *climb) answerWith(set ...mesh.Endpoint) {
	c.catalogue.sets <- slices.Clone(set)
	synctest.Wait()
	c.ladder.Answered()
	synctest.Wait()
}

// awaitProbe lets time pass until id is probed again.
func (c *climb) awaitProbe(id string) {
	for n := len(c.town.probes(id)); len(c.town.probes(id)) == n; {
		pass(10 * time.Millisecond)
	}
}

// expect checks the set as it was last passed on, and the state.
func (c *climb) expect(t *testing.T, when string, mode discovery.Mode, doubted int, want ...string) {
	t.Helper()
	s := c.ladder.State()
	if s.Mode != mode || s.Doubted != doubted {
		t.Errorf("%s: %v with %d doubted, want %v with %d", when, s.Mode, s.Doubted, mode, doubted)
	}
	if got := ids(c.last()); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("%s: the set is %v, want %v", when, got, want)
	}
	if s.Endpoints != len(c.last()) {
		t.Errorf("%s: the state tells of %d endpoints, the set has %d", when, s.Endpoints, len(c.last()))
	}
}

// plain returns endpoints of which nothing bad is said.
func plain(ids ...string) []mesh.Endpoint {
	set := []mesh.Endpoint{}
	for _, id := range ids {
		set = append(set, mesh.Endpoint{ID: id, Scheme: "http", Address: id + ":80"})
	}
	return set
}

// many returns n IDs.
func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("e%05d", i)
	}
	return out
}

func TestLadderWithoutInnerIsRefused(t *testing.T) {
	if err := new(discovery.Ladder).Watch(t.Context(), "orders", nil); err == nil || !strings.Contains(err.Error(), "Inner") {
		t.Errorf("got %v", err)
	}
	if s := new(discovery.Ladder).State(); s.Mode != discovery.Waiting || s.Age != 0 {
		t.Errorf("the state of a ladder that has not begun is %+v", s)
	}
	l := new(discovery.Ladder)
	l.Answered() // before Watch nobody listens
	l.Failed(errDown)
}

func TestLadderWatchesOneServiceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		if err := c.ladder.Watch(t.Context(), "users", nil); err == nil || !strings.Contains(err.Error(), "one service at a time") {
			t.Errorf("got %v", err)
		}
		c.stop(t)
		again := watch(t, c.ladder)
		again.stop(t)
	})
}

func TestLadderEndsWithInner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		want := errors.New("no such name")
		c.catalogue.fail <- want
		if err := <-c.err; !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		c.cancel(nil)
	})
}

func TestLiveAndStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.ladder.Answered()
		c.expect(t, "an answer without a set", discovery.Waiting, 0)
		c.answer("a", "b")
		c.expect(t, "an answer", discovery.Live, 0, "a", "b")
		if c.log.String() != "" {
			t.Errorf("an ordinary start is in the log:\n%s", c.log)
		}
		pass(20 * time.Second)
		if s := c.ladder.State(); s.Age != 20*time.Second || s.LastError != nil {
			t.Errorf("after 20 s without news: %+v", s)
		}
		c.ladder.Answered()
		if s := c.ladder.State(); s.Age != 0 {
			t.Errorf("after an answer without news: age %v", s.Age)
		}

		pass(10 * time.Second)
		for range 100 {
			c.ladder.Failed(errDown)
			pass(10 * time.Minute)
		}
		pass(3 * 7 * 24 * time.Hour)
		c.expect(t, "weeks of failures", discovery.Stale, 0, "a", "b")
		s := c.ladder.State()
		if want := 10*time.Second + 1000*time.Minute + 3*7*24*time.Hour; s.Age != want || !errors.Is(s.LastError, errDown) {
			t.Errorf("age %v, want %v; error %v", s.Age, want, s.LastError)
		}
		if got := time.Since(s.Since); got != s.Age-10*time.Second {
			t.Errorf("stale for %v, want since the first failure", got)
		}
		if c.updates() != 1 {
			t.Errorf("%d updates, want one: an error changes nothing", c.updates())
		}
		c.ladder.Answered()
		c.expect(t, "an answer at last", discovery.Live, 0, "a", "b")
		if s := c.ladder.State(); s.LastError != nil || s.Age != 0 {
			t.Errorf("after it: %+v", s)
		}
		if c.log.count("level=WARN") != 1 || c.log.count("level=INFO") != 1 {
			t.Errorf("the log has more or less than a line for each change:\n%s", c.log)
		}
	})
}

func TestFlappingCatalogueIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a")
		for range 60 * 10 {
			c.ladder.Failed(errDown)
			pass(500 * time.Millisecond)
			c.ladder.Answered()
			pass(500 * time.Millisecond)
		}
		if warned, informed := c.log.count("WARN"), c.log.count("INFO"); warned != 10 || informed != 10 {
			t.Errorf("%d warnings and %d recoveries in ten minutes, want one of each a minute:\n%s", warned, informed, c.log)
		}
		pass(500 * time.Millisecond)
		before := c.log.count("WARN")
		for range 61 * 2 { // what begins quietly and lasts is told
			c.ladder.Failed(errDown)
			pass(500 * time.Millisecond)
		}
		if got := c.log.count("WARN"); got != before+1 {
			t.Errorf("%d warnings about a failure that lasts, want 1", got-before)
		}
	})
}

func TestEndOfWatchIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		c.answer("a")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.cancel(errEnough)
		c.ladder.Failed(ctx.Err())
		if err := <-c.err; !errors.Is(err, errEnough) {
			t.Error(err)
		}
		c.ladder.Failed(ctx.Err())
		c.expect(t, "after the end", discovery.Live, 0, "a")
		if c.log.String() != "" {
			t.Errorf("the end is in the log:\n%s", c.log)
		}
	})
}

func TestExplicitStatesAreBelievedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b", "c", "d")
		set := plain("a", "b", "c", "d")
		for i := range set[:2] {
			set[i].Unhealthy, set[i].HealthNote = true, "critical"
		}
		for i := range set[2:] {
			set[2+i].Withdrawn, set[2+i].HealthNote = true, "maintenance"
		}
		c.answerWith(set...)
		c.expect(t, "all unhealthy or withdrawn", discovery.Live, 0, "a", "b", "c", "d")
		for _, e := range c.last() {
			if e.HealthNote != "critical" && e.HealthNote != "maintenance" {
				t.Errorf("%s: note %q", e.ID, e.HealthNote)
			}
		}
		c.answer()
		c.expect(t, "then they vanish", discovery.Live, 0)
		if len(c.town.seen) != 0 {
			t.Errorf("probed %v, want nobody", c.town.seen)
		}
	})
}

func TestEachIDOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b", "a")
		c.expect(t, "an ID twice", discovery.Live, 0, "a", "b")
	})
}

func TestReceiverOwnsTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ladder(t, &discovery.Ladder{})
		defer c.stop(t)
		c.answer("a", "b", "c")
		for i := range c.last() {
			c.last()[i] = mesh.Endpoint{}
		}
		c.answer()
		c.expect(t, "after a wipe", discovery.Live, 3, "a", "b", "c")
	})
}

// Over a Ladder health checks work as over any other resolver.
func TestCheckedOverLadder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, clinic, inner := newTown(), newClinic(), newManual()
		l := &discovery.Ladder{Inner: inner, Probe: n.probe}
		w := watch(t, &discovery.Checked{Inner: l, Check: discovery.Check{Interval: time.Second, Unhealthy: 1}, Probe: clinic.probe})
		defer w.stop(t)
		set := plain("a", "b", "c")
		set[2].Unhealthy, set[2].HealthNote = true, "critical"
		inner.send(set...)
		clinic.answer("a", 500)
		pass(5 * time.Second)
		if got := sick(w.last()); got["c"] != "critical" || got["a"] == "" || len(got) != 2 {
			t.Errorf("got %q", got)
		}
		inner.send()
		pass(5 * time.Second)
		if got := w.last(); len(got) != 2 || !got[0].Unhealthy || got[1].Unhealthy || got[1].HealthNote == "" {
			t.Errorf("after a wipe: %+v, want a unhealthy by its check, b kept with a note, and c gone", got)
		}
		n.set(errDown, "a", "b")
		pass(6 * time.Second)
		if got := w.last(); len(got) != 0 {
			t.Errorf("after the probes failed: %+v", got)
		}
	})
}
