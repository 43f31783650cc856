package watch

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet    = 100 * time.Millisecond // after the last event of a burst
	patience = time.Second            // with a burst that does not end
	interval = 5 * time.Second        // between looks where no event came: network file systems send none
)

// Files calls changed whenever the content of one of the files has become another,
// one call for a burst of changes, until ctx ends; it then returns ctx's error.
// A file that is missing or cannot be read is waited for: only what is found in its
// place counts. changed runs on Files' own goroutine, and a change that happens
// meanwhile leads to another call. What changed before Files was called is not seen.
//
// Where the system refuses to watch (inotify's limits), the files are looked at
// every 5 s.
func Files(ctx context.Context, files []string, changed func()) error {
	w := open(files, changed)
	defer w.close()
	return w.run(ctx)
}

// watcher is one call of Files.
type watcher struct {
	seen    *contents
	changed func()

	notify   *fsnotify.Watcher // nil: there are no events, and looking has to do
	events   <-chan fsnotify.Event
	failures <-chan error
	watched  map[string]bool // directories
}

// open begins to watch. From its return on, no change is missed.
func open(files []string, changed func()) *watcher {
	w := &watcher{seen: newContents(files), changed: changed, watched: map[string]bool{}}
	if notify, err := fsnotify.NewWatcher(); err == nil {
		w.notify, w.events, w.failures = notify, notify.Events, notify.Errors
	}
	w.follow() // before the first look, so that nothing falls in between
	w.seen.update()
	return w
}

func (w *watcher) close() {
	if w.notify != nil {
		_ = w.notify.Close() // fails when closed already
	}
}

func (w *watcher) run(ctx context.Context) error {
	look := time.NewTicker(interval)
	defer look.Stop()
	settled := time.NewTimer(quiet)
	settled.Stop()
	defer settled.Stop()
	var since time.Time // when the burst began; zero: there is none
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-w.events:
			if !ok {
				w.events = nil
			}
		case _, ok := <-w.failures: // events were lost
			if !ok {
				w.failures = nil
			}
		case <-settled.C:
			since = time.Time{}
			w.compare(w.seen.update)
			continue
		case <-look.C:
			w.compare(w.seen.updateMoved)
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < patience { // later events leave the timer alone, or it would never fire
			settled.Reset(quiet)
		}
	}
}

// compare looks at the files, and says so if one is not what it was.
func (w *watcher) compare(update func() bool) {
	w.follow()
	if update() {
		w.changed()
	}
}

// follow watches the directories where a change of the files would show: a file's
// own, for renames and swapped links, and the one that its links lead to. A
// directory that was deleted and made again is taken up anew.
func (w *watcher) follow() {
	if w.notify == nil {
		return
	}
	wanted := w.seen.directories()
	for dir := range w.watched {
		if !slices.Contains(wanted, dir) {
			_ = w.notify.Remove(dir) // gone already, most likely
			delete(w.watched, dir)
		}
	}
	for _, dir := range wanted {
		if w.notify.Add(dir) == nil { // else the interval's look has to do
			w.watched[dir] = true
		}
	}
}

// directoriesOf returns the directory of a file as named, and of what it links to.
func directoriesOf(file string) []string {
	dirs := []string{filepath.Dir(file)}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		dirs = append(dirs, filepath.Dir(target))
	}
	return dirs
}
