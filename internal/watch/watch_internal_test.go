package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Each change is made when the watch has begun, and must lead to a call.
func TestChangesAreSeen(t *testing.T) {
	tests := []struct {
		name   string
		before func(t *testing.T, dir string) // makes gateway.yml
		change func(t *testing.T, dir string)
	}{
		{
			name:   "written in place",
			before: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "gateway.yml"), "a") },
			change: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "gateway.yml"), "b") },
		},
		{
			name:   "replaced by rename",
			before: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "gateway.yml"), "a") },
			change: func(t *testing.T, dir string) {
				write(t, filepath.Join(dir, "new"), "b")
				must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "gateway.yml")))
			},
		},
		{
			name:   "removed and made again",
			before: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "gateway.yml"), "a") },
			change: func(t *testing.T, dir string) {
				must(t, os.Remove(filepath.Join(dir, "gateway.yml")))
				write(t, filepath.Join(dir, "gateway.yml"), "b")
			},
		},
		{
			name:   "made for the first time",
			before: func(*testing.T, string) {},
			change: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "gateway.yml"), "b") },
		},
		{
			name: "a ConfigMap's links swapped",
			before: func(t *testing.T, dir string) {
				must(t, os.Mkdir(filepath.Join(dir, "..1"), 0o700))
				write(t, filepath.Join(dir, "..1", "gateway.yml"), "a")
				must(t, os.Symlink("..1", filepath.Join(dir, "..data")))
				must(t, os.Symlink(filepath.Join("..data", "gateway.yml"), filepath.Join(dir, "gateway.yml")))
			},
			change: func(t *testing.T, dir string) {
				must(t, os.Mkdir(filepath.Join(dir, "..2"), 0o700))
				write(t, filepath.Join(dir, "..2", "gateway.yml"), "b")
				must(t, os.Symlink("..2", filepath.Join(dir, "..data_tmp")))
				must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
				must(t, os.RemoveAll(filepath.Join(dir, "..1")))
			},
		},
		{
			name: "written behind a link to another directory",
			before: func(t *testing.T, dir string) {
				must(t, os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700))
				write(t, filepath.Join(dir, "elsewhere", "real.yml"), "a")
				must(t, os.Symlink(filepath.Join(dir, "elsewhere", "real.yml"), filepath.Join(dir, "gateway.yml")))
			},
			change: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "elsewhere", "real.yml"), "b") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.before(t, dir)
			called := make(chan struct{}, 100)
			w := open([]string{filepath.Join(dir, "gateway.yml")}, func() { called <- struct{}{} })
			if w.notify == nil {
				t.Fatal("the system gives no watch: raise fs.inotify.max_user_instances")
			}
			stop := start(w)
			tt.change(t, dir)
			<-called
			stop(t)
		})
	}
}

// start runs w; the function that it returns ends that.
func start(w *watcher) (stop func(*testing.T)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx) }()
	return func(t *testing.T) {
		t.Helper()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run returned %v, want the context's error", err)
		}
		w.close()
	}
}

// looking is a watcher that gets no events.
func looking(file string, changed func()) *watcher {
	w := &watcher{seen: newContents([]string{file}), changed: changed, watched: map[string]bool{}}
	w.seen.update()
	return w
}

func TestWithoutEventsFilesAreLookedAt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yml")
	write(t, file, "a")
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		w := looking(file, func() { calls.Add(1) })
		stop := start(w)
		expect := func(what string, want int32) {
			t.Helper()
			time.Sleep(2 * interval) // virtual
			synctest.Wait()
			if got := calls.Load(); got != want {
				t.Errorf("%s: %d calls, want %d", what, got, want)
			}
		}
		expect("nothing happened", 0)
		must(t, os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)))
		expect("touched", 0)
		write(t, file, "longer")
		expect("changed", 1)
		must(t, os.Remove(file))
		expect("removed", 1)
		write(t, file, "longer")
		expect("back as it was", 1)
		must(t, os.Remove(file))
		must(t, os.Mkdir(file, 0o700))
		expect("a directory in its place", 1)
		must(t, os.Remove(file))
		write(t, file, "another text")
		expect("back with another content", 2)
		stop(t)
	})
}

// eventsOf gives w events of the test's making.
func eventsOf(w *watcher) chan<- fsnotify.Event {
	events := make(chan fsnotify.Event)
	w.events = events
	return events
}

func TestABurstIsOneCall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yml")
	write(t, file, "a")
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		w := looking(file, func() { calls.Add(1) })
		events := eventsOf(w)
		stop := start(w)
		for _, text := range []string{"b", "c", "d"} {
			write(t, file, text)
			events <- fsnotify.Event{}
			time.Sleep(quiet / 2) // virtual
		}
		synctest.Wait()
		if got := calls.Load(); got != 0 {
			t.Errorf("%d calls within the burst, want none", got)
		}
		time.Sleep(quiet) // virtual
		synctest.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("%d calls after the burst, want 1", got)
		}
		stop(t)
	})
}

func TestABurstWithoutEndIsCutShort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yml")
	write(t, file, "a")
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		w := looking(file, func() { calls.Add(1) })
		events := eventsOf(w)
		stop := start(w)
		write(t, file, "b")
		for range 3 * patience / quiet {
			events <- fsnotify.Event{}
			time.Sleep(quiet / 2) // virtual
		}
		synctest.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("%d calls, want 1 while the burst lasts", got)
		}
		stop(t)
	})
}

func TestLostEventsLeadToALook(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yml")
	write(t, file, "a")
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		w := looking(file, func() { calls.Add(1) })
		failures := make(chan error)
		w.failures = failures
		stop := start(w)
		write(t, file, "b")
		failures <- errors.New("overflow")
		close(failures)
		time.Sleep(quiet) // virtual
		synctest.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
		stop(t)
	})
}
