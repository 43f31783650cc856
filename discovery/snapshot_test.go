package discovery_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
)

// saved returns a store with a snapshot of orders as old as age.
func saved(t *testing.T, age time.Duration, set ...mesh.Endpoint) (*discovery.Store, string) {
	t.Helper()
	s, dir := store(t)
	if err := s.Save("orders", set, time.Now().Add(-age)); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// onDisk returns the IDs in the snapshot of orders.
func onDisk(t *testing.T, s *discovery.Store) []string {
	t.Helper()
	set, _, err := s.Load("orders")
	if err != nil {
		t.Errorf("the snapshot: %v", err)
	}
	return ids(set)
}

func TestStartWithoutCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := plain("a", "b", "c", "d", "e")
		set[3].Withdrawn, set[3].HealthNote = true, "maintenance"
		set[4].Unhealthy, set[4].HealthNote = true, "critical"
		s, _ := saved(t, 48*time.Hour, set...)
		c := ladder(t, &discovery.Ladder{Store: s})
		defer c.stop(t)
		c.town.set(errDown, "b")
		if c.updates() != 0 {
			t.Fatalf("got %v before anything has failed", ids(c.last()))
		}
		c.ladder.Failed(errDown)
		synctest.Wait()
		all := []string{"a", "b", "c", "d", "e"}
		c.expect(t, "the first failure", discovery.Snapshot, 0, all...)
		if st := c.ladder.State(); st.Age != 48*time.Hour || !errors.Is(st.LastError, errDown) || st.Since != time.Now() {
			t.Errorf("the state is %+v", st)
		}
		pass(1100 * time.Millisecond)
		c.expect(t, "every endpoint has been probed", discovery.Probing, 0, all...)
		if got := sick(c.last()); len(got) != 1 || got["e"] != "critical" {
			t.Errorf("unhealthy are %q: want none on a single failure, and the catalogue's word to stand", got)
		}
		pass(11 * time.Second)
		if got := sick(c.last()); len(got) != 2 || got["b"] != "probe: connection refused" {
			t.Errorf("after two failures unhealthy are %q", got)
		}
		probed := len(c.town.probes("a"))
		pass(time.Hour)
		c.expect(t, "an hour later", discovery.Probing, 0, all...)
		if n := len(c.town.probes("a")) - probed; n < 350 || n > 370 {
			t.Errorf("a was probed %d times in an hour, want every 10 s", n)
		}
		c.town.set(nil, "b")
		pass(12 * time.Second)
		if got := sick(c.last()); len(got) != 1 {
			t.Errorf("after a pass unhealthy are %q", got)
		}
		if !c.last()[3].Withdrawn || len(c.town.probes("d")) != 0 {
			t.Error("what an operator took out of service was probed or put back")
		}
		if st := c.ladder.State(); st.Mode != discovery.Probing || st.Answered.After(time.Now().Add(-48*time.Hour)) {
			t.Errorf("own probes make the snapshot no younger: %+v", st)
		}

		c.answer("a", "b", "f")
		c.expect(t, "the catalogue is back", discovery.Live, 0, "a", "b", "f")
		probed = len(c.town.probes("a"))
		pass(time.Minute)
		if got := len(c.town.probes("a")); got != probed {
			t.Error("a is probed while the catalogue answers")
		}
		if c.log.count("WARN") != 1 || c.log.count("INFO") != 2 {
			t.Errorf("the log has more or less than a line for each change:\n%s", c.log)
		}
	})
}

// A catalogue that neither answers nor fails is not waited for.
func TestSilentCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, time.Hour, plain("a", "b")...)
		c := ladder(t, &discovery.Ladder{Store: s})
		defer c.stop(t)
		pass(time.Second - 1)
		if st := c.ladder.State(); c.updates() != 0 || st.Mode != discovery.Waiting || st.LastError != nil || st.Age != time.Second-1 {
			t.Errorf("before a second is over: %+v", st)
		}
		pass(1)
		c.expect(t, "after a second", discovery.Snapshot, 0, "a", "b")
		if st := c.ladder.State(); st.LastError == nil || !strings.Contains(st.LastError.Error(), "not answered yet") {
			t.Errorf("the state is %+v", st)
		}
		c.ladder.Failed(errDown)
		if st := c.ladder.State(); !errors.Is(st.LastError, errDown) {
			t.Errorf("the cause is known now, the state is %+v", st)
		}
		if c.log.count("WARN") != 2 || c.log.count("connection refused") != 1 {
			t.Errorf("want a line for each:\n%s", c.log)
		}
	})
}

// Nothing known, and it says so: what is missing, what follows, what to do.
func TestNothingKnown(t *testing.T) {
	tests := []struct {
		name  string
		store func(t *testing.T) (*discovery.Store, string)
		want  string
	}{
		{"no snapshot", store, "there is no snapshot of orders in "},
		{"an empty one", func(t *testing.T) (*discovery.Store, string) { return saved(t, time.Hour) }, "is empty"},
		{"a damaged one", func(t *testing.T) (*discovery.Store, string) {
			s, dir := saved(t, time.Hour, plain("a")...)
			if err := os.WriteFile(filepath.Join(dir, discovery.FileName("orders")), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			return s, dir
		}, "cannot be used"},
		{"no folder for them", func(t *testing.T) (*discovery.Store, string) { return nil, "" }, "consul.snapshot_dir"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, dir := tt.store(t)
				c := ladder(t, &discovery.Ladder{Store: s})
				defer c.stop(t)
				c.ladder.Failed(errDown)
				synctest.Wait()
				st := c.ladder.State()
				if c.updates() != 0 || st.Mode != discovery.Waiting || !st.Answered.IsZero() || !errors.Is(st.LastError, errDown) {
					t.Fatalf("%d updates, state %+v", c.updates(), st)
				}
				for _, want := range []string{tt.want, dir, "requests get 503 until it does", "check consul.address"} {
					if !strings.Contains(st.LastError.Error(), want) || c.log.count(want) == 0 {
						t.Errorf("no %q in %v, or not in the log:\n%s", want, st.LastError, c.log)
					}
				}
				told := c.log.count("WARN")
				for range 10 {
					pass(time.Minute)
					c.ladder.Failed(errDown)
				}
				if c.log.count("WARN") != told || c.ladder.State().Age != 10*time.Minute {
					t.Errorf("age %v, log:\n%s", c.ladder.State().Age, c.log)
				}
				c.answer("a")
				c.expect(t, "the catalogue is back", discovery.Live, 0, "a")
				if c.log.count("the catalogue answers") != 1 || c.ladder.State().LastError != nil {
					t.Errorf("state %+v, log:\n%s", c.ladder.State(), c.log)
				}
			})
		})
	}
}

// The catalogue answers at once: the snapshot is not passed.
func TestAnswerBeatsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, time.Minute, plain("a", "b", "c")...)
		c := ladder(t, &discovery.Ladder{Store: s})
		defer c.stop(t)
		c.answer("b", "c", "d")
		pass(time.Minute)
		c.expect(t, "a minute later", discovery.Live, 0, "b", "c", "d")
		if c.updates() != 1 || c.log.String() != "" {
			t.Errorf("%d updates, log:\n%s", c.updates(), c.log)
		}
	})
}

// A proxy that is restarted just when the catalogue was wiped knows from disk what
// there was; but puts nobody in use that no probe has found, unless nobody else is
// there.
func TestFirstAnswerIsDoubted(t *testing.T) {
	tests := []struct {
		name   string
		age    time.Duration
		answer []string
		at     []string // at once
		then   []string // after probes; b is dead
		late   bool     // the snapshot is not passed before
	}{
		{"wiped", time.Minute, nil, []string{"a", "b", "c"}, []string{"a", "c"}, true},
		{"one has registered again", time.Minute, []string{"c"}, []string{"c"}, []string{"c", "a"}, true},
		{"a third has gone", time.Minute, []string{"b", "c"}, []string{"b", "c"}, []string{"b", "c"}, true},
		{"an old snapshot has no say", time.Hour, nil, nil, nil, true},
		{"unless it is in use", time.Hour, nil, []string{"a", "b", "c"}, []string{"a", "c"}, false},
		{"in use, and most have registered again", time.Hour, []string{"a", "b"}, []string{"a", "b"}, []string{"a", "b"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := saved(t, tt.age, plain("a", "b", "c")...)
				c := ladder(t, &discovery.Ladder{Store: s})
				defer c.stop(t)
				c.town.set(errDown, "b")
				if !tt.late {
					c.ladder.Failed(errDown)
					synctest.Wait()
				}
				c.answer(tt.answer...)
				if got := ids(c.last()); !slices.Equal(got, tt.at) && len(got)+len(tt.at) > 0 {
					t.Errorf("at once: %v, want %v", got, tt.at)
				}
				if got := sick(c.last()); tt.late && len(tt.answer) == 0 && len(got) != len(tt.at) {
					t.Errorf("unhealthy are %q: want all that no probe has found", got)
				}
				pass(decided)
				if got := ids(c.last()); !slices.Equal(got, tt.then) && len(got)+len(tt.then) > 0 {
					t.Errorf("after probes: %v, want %v", got, tt.then)
				}
				if got := sick(c.last()); len(got) != 0 {
					t.Errorf("after probes unhealthy are %q", got)
				}
			})
		})
	}
}

// Who has failed our own probes while the catalogue was away is not missed when it
// says so too.
func TestTheDeadOfTheSnapshotAreNotDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, time.Minute, plain("a", "b", "c")...)
		c := ladder(t, &discovery.Ladder{Store: s})
		defer c.stop(t)
		c.town.set(errDown, "b", "c")
		c.ladder.Failed(errDown)
		pass(15 * time.Second)
		c.answer("a")
		c.expect(t, "the catalogue agrees", discovery.Live, 0, "a")
	})
}

func TestSnapshotOfAnotherQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, time.Minute, plain("a")...)
		c := ladder(t, &discovery.Ladder{Store: s, Name: "orders?tag=v2"})
		c.ladder.Failed(errDown)
		synctest.Wait()
		c.expect(t, "a snapshot of orders without a tag", discovery.Waiting, 0)
		c.answer("b")
		c.stop(t)
		if set, _, err := s.Load("orders?tag=v2"); err != nil || !slices.Equal(ids(set), []string{"b"}) {
			t.Errorf("saved: %v, %v", ids(set), err)
		}
		if got := onDisk(t, s); !slices.Equal(got, []string{"a"}) {
			t.Errorf("the other's snapshot is now %v", got)
		}
	})
}

func TestSaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := store(t)
		c := ladder(t, &discovery.Ladder{Store: s})
		c.answer("a", "b", "c")
		if got := onDisk(t, s); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("after an answer: %v", got)
		}
		if names := files(t, dir, ""); len(names) != 1 {
			t.Errorf("files are %q", names)
		}
		c.answer("a", "b", "c", "d")
		c.answer("a", "b", "c", "d", "e")
		if got := onDisk(t, s); len(got) != 3 {
			t.Errorf("within a second of the last save: %v", got)
		}
		pass(time.Second)
		if got := onDisk(t, s); len(got) != 5 {
			t.Errorf("a second later: %v", got)
		}
		c.answer("a", "b")
		c.town.set(errDown, "e")
		pass(2 * decided)
		if got := onDisk(t, s); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Errorf("during doubt: %v, want also those that answer probes", got)
		}
		set, _, err := s.Load("orders")
		if err != nil || set[3].HealthNote != "" || set[3].Unhealthy {
			t.Errorf("%+v, %v: want no trace of doubt", set, err)
		}
		c.answer("a", "b", "c", "d", "f")
		c.answer("a")
		c.answerWith(plain("a", "g")...)
		c.stop(t)
		if got := onDisk(t, s); got[0] != "a" || got[1] != "g" {
			t.Errorf("after the end: %v, want what came within the last second too", got)
		}
	})
}

// The set stays the same, and the file's time keeps up while the catalogue confirms
// it.
func TestSavingAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := store(t)
		c := ladder(t, &discovery.Ladder{Store: s})
		c.answer("a")
		for range 60 * 2 {
			pass(30 * time.Second)
			c.ladder.Answered()
		}
		_, at, err := s.Load("orders")
		if age := time.Since(at); err != nil || age > 6*time.Minute {
			t.Errorf("the file is %v old, %v; want 5m30s and a little at most", age, err)
		}
		pass(time.Hour)
		c.ladder.Failed(errDown)
		c.stop(t)
		_, again, err := s.Load("orders")
		if age := time.Since(again); err != nil || age < time.Hour {
			t.Errorf("the file is %v old, %v: without answers it must not get younger", age, err)
		}
	})
}

func TestAnHonestEmptySetIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, time.Minute, plain("a", "b")...)
		c := ladder(t, &discovery.Ladder{Store: s})
		c.answer("a", "b")
		c.town.set(errDown, "a", "b")
		c.answer()
		pass(2 * decided)
		c.stop(t)
		if got := onDisk(t, s); len(got) != 0 {
			t.Errorf("on disk are %v: the next start without a catalogue would bring them back", got)
		}
	})
}

// Who may ask for any service must not fill the disk with names.
func TestWhatNeverWasIsNotSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := store(t)
		c := ladder(t, &discovery.Ladder{Store: s})
		c.answer()
		pass(20 * time.Minute)
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("%v, %v: want no file for a service that never had an endpoint", files, err)
		}
		c.answer("a")
		pass(2 * time.Second)
		c.stop(t)
		if got := onDisk(t, s); !slices.Equal(got, []string{"a"}) {
			t.Errorf("on disk is %q, want a", got)
		}
	})
}

func TestNothingHeardNothingSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := store(t)
		c := ladder(t, &discovery.Ladder{Store: s})
		c.ladder.Failed(errDown)
		pass(time.Hour)
		c.stop(t)
		if names := files(t, dir, ""); len(names) != 0 {
			t.Errorf("files are %q", names)
		}
	})
}

// A disk that cannot be written costs the snapshot and one line, nothing else.
func TestUnwritableDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := store(t)
		block := filepath.Join(dir, discovery.FileName("orders"))
		if err := os.Mkdir(block, 0o700); err != nil {
			t.Fatal(err)
		}
		c := ladder(t, &discovery.Ladder{Store: s})
		defer c.stop(t)
		// Loading has set the folder aside; put it back in the way.
		synctest.Wait()
		if err := os.Mkdir(block, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		before := c.log.count("WARN")
		for i := range 5 {
			c.answer(many(i + 1)...)
			pass(2 * time.Second)
		}
		if st := c.ladder.State(); st.Mode != discovery.Live || st.Endpoints != 5 || st.Unsaved != 5 {
			t.Errorf("the state is %+v, want five failed saves", st)
		}
		if got := c.log.count("cannot be written"); got != 1 || c.log.count("WARN") != before+1 {
			t.Errorf("%d lines about it:\n%s", got, c.log)
		}
		if err := os.Remove(block); err != nil {
			t.Fatal(err)
		}
		for range 12 {
			pass(30 * time.Second) // it is tried again without a change
			c.ladder.Answered()
		}
		if got := onDisk(t, s); len(got) != 5 || c.log.count("can be written again") != 1 {
			t.Errorf("on disk: %v, log:\n%s", got, c.log)
		}
	})
}

// What could not be written is written at the end.
func TestSavingAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := store(t)
		c := ladder(t, &discovery.Ladder{Store: s})
		c.answer("a", "b", "c")
		pass(2 * time.Second)
		file := filepath.Join(dir, discovery.FileName("orders"))
		if err := errors.Join(os.Rename(file, file+".away"), os.Mkdir(file, 0o700)); err != nil {
			t.Fatal(err)
		}
		c.answer("a", "b")
		pass(2 * time.Second)
		if n := c.ladder.State().Unsaved; n != 1 {
			t.Errorf("%d saves have failed, want one", n)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		c.stop(t)
		if got := onDisk(t, s); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("on disk are %v", got)
		}
	})
}

// The end does not wait for a catalogue or a probe that hangs.
func TestEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, time.Minute, plain("a", "b")...)
		c := ladder(t, &discovery.Ladder{Store: s, ProbeTimeout: time.Hour})
		c.town.delay(time.Hour)
		pass(3 * time.Second)
		begin := time.Now()
		c.stop(t)
		if took := time.Since(begin); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}

func TestSnapshotFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, -time.Hour, plain("a")...) // the clock was set back
		c := ladder(t, &discovery.Ladder{Store: s})
		defer c.stop(t)
		c.ladder.Failed(errDown)
		synctest.Wait()
		c.expect(t, "a file of tomorrow", discovery.Snapshot, 0, "a")
		if st := c.ladder.State(); st.Age != 0 {
			t.Errorf("age %v", st.Age)
		}
	})
}

// With no Probe the snapshot stands as it is.
func TestSnapshotWithoutProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := saved(t, time.Minute, plain("a", "b")...)
		inner := newManual()
		l := &discovery.Ladder{Inner: inner, Store: s}
		w := watch(t, l)
		defer w.stop(t)
		pass(time.Minute)
		if st := l.State(); st.Mode != discovery.Snapshot || st.Endpoints != 2 {
			t.Errorf("the state is %+v", st)
		}
		inner.send(plain("c")...)
		if got := ids(w.last()); !slices.Equal(got, []string{"c"}) {
			t.Errorf("got %v", got)
		}
	})
}
