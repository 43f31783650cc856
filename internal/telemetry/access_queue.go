package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// defaultBound is how many bytes of lines may wait: a log that stands still for a
	// moment loses nothing.
	defaultBound = 4 << 20
	// again is how long a log that could not be written is left alone.
	again = time.Second
	// gather is how long the writer leaves lines to gather after a write: a wake-up and a
	// system call for each would cost more than all else of a line.
	gather = 5 * time.Millisecond
	// plenty is how many bytes of lines are written without waiting for more.
	plenty = 64 << 10
	// between is the least time between two warnings of what was lost.
	between = time.Minute
)

// AccessLog takes lines and writes them out, many at once, by a goroutine of its own.
// Whoever adds a line never waits for the writer: past the bound, lines are dropped,
// counted in outrider_access_log_dropped_total and warned of, once a minute at most.
//
// A write that fails is tried again each second, from the byte that was reached. It is
// safe for concurrent use.
type AccessLog struct {
	w       io.Writer
	log     *slog.Logger
	dropped prometheus.Counter

	wake     chan struct{} // holds a token when there may be something to write
	hurry    chan struct{} // holds a token when there may be plenty to write
	trouble  chan struct{} // holds a token when there may be something to warn of
	closing  chan struct{} // closed by Close
	written  chan struct{} // closed when the writer has ended
	reported chan struct{} // closed when the reporter has ended

	mu    sync.Mutex // protects all below
	queue []byte     // whole lines
	hand  []byte     // what the writer is writing, from the byte that was reached
	bound int        // of queue and hand together
	over  bool       // nobody writes any more
	lost  int        // lines, since the last warning
	err   error      // of the last write; nil when it was well
}

// AccessLog returns a log that writes to w from Start on. What goes wrong is told to
// log.
func (t *Telemetry) AccessLog(w io.Writer, log *slog.Logger) *AccessLog {
	return &AccessLog{
		w:        w,
		log:      log,
		dropped:  t.unlogged,
		bound:    defaultBound,
		wake:     make(chan struct{}, 1),
		hurry:    make(chan struct{}, 1),
		trouble:  make(chan struct{}, 1),
		closing:  make(chan struct{}),
		written:  make(chan struct{}),
		reported: make(chan struct{}),
	}
}

// Bound sets how many bytes of lines may wait to be written.
func (a *AccessLog) Bound(size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bound = size
}

// Start begins to write. It is called once, and Close ends it.
func (a *AccessLog) Start() {
	go a.write()
	go a.report()
}

// Close is called once, after the last line was added. It returns when all lines are
// written, or a write has failed, or ctx has ended; its error says how many were lost
// since the last warning.
//
// Where ctx ends first, a goroutine is left behind in w.Write, which nothing interrupts
// when w is the standard output.
func (a *AccessLog) Close(ctx context.Context) error {
	close(a.closing)
	for _, ended := range []chan struct{}{a.written, a.reported} {
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.drop(a.hand)
	a.drop(a.queue)
	if a.lost == 0 {
		return nil
	}
	why := a.err
	if why == nil {
		why = context.Cause(ctx)
	}
	return fmt.Errorf("%d lines of the access log were not written: %w", a.lost, why)
}

// add takes a line, which it copies, or drops it.
func (a *AccessLog) add(line []byte) {
	a.mu.Lock()
	if a.over || len(a.queue)+len(a.hand)+len(line) > a.bound {
		a.drop(line)
		a.mu.Unlock()
		signal(a.trouble)
		return
	}
	before := len(a.queue)
	a.queue = append(a.queue, line...)
	after, enough := len(a.queue), min(plenty, a.bound/2)
	a.mu.Unlock()
	if before == 0 { // else the writer has yet to take what was there
		signal(a.wake)
	}
	if before < enough && after >= enough {
		signal(a.hurry)
	}
}

// drop counts lines as lost. a.mu is held.
func (a *AccessLog) drop(lines []byte) {
	n := bytes.Count(lines, []byte{'\n'})
	a.lost += n
	a.dropped.Add(float64(n))
}

// write writes what is added until the log is closed, and then what is left.
func (a *AccessLog) write() {
	defer close(a.written)
	rest := time.NewTimer(gather)
	defer rest.Stop()
	var spare []byte
	for closed := false; !closed; {
		select {
		case <-a.wake:
		case <-a.closing:
			closed = true
		}
		for batch := a.take(spare); len(batch) > 0; batch = a.take(spare) {
			a.put(batch)
			spare = batch[:0]
			a.gather(rest)
		}
	}
}

// gather waits until there is plenty to write, or for a moment.
func (a *AccessLog) gather(rest *time.Timer) {
	rest.Reset(gather)
	select {
	case <-rest.C:
	case <-a.hurry:
	case <-a.closing:
	}
}

// take returns the lines that wait, if any, and has the next ones wait in spare.
func (a *AccessLog) take(spare []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		return nil
	}
	a.queue, a.hand = spare, a.queue
	return a.hand
}

// put writes a batch, however often it takes. What cannot be written after the log was
// closed is lost.
func (a *AccessLog) put(batch []byte) {
	for len(batch) > 0 {
		last := ended(a.closing)
		n, err := a.w.Write(batch)
		if batch = batch[n:]; err == nil && len(batch) > 0 {
			err = io.ErrShortWrite
		}
		a.mu.Lock()
		a.hand, a.err = batch, err
		if err != nil && last {
			a.drop(batch)
			a.hand, batch = nil, nil
		}
		a.mu.Unlock()
		if err != nil {
			signal(a.trouble)
			a.pause()
		}
	}
}

// pause waits before a further try, but not when the log is being closed.
func (a *AccessLog) pause() {
	wait := time.NewTimer(again)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-a.closing:
	}
}

// report warns of lines that were lost and of writes that fail, until the log is closed.
func (a *AccessLog) report() {
	defer close(a.reported)
	for {
		select {
		case <-a.trouble:
		case <-a.closing:
			return
		}
		a.warn()
		rest := time.NewTimer(between)
		select {
		case <-rest.C:
		case <-a.closing:
			rest.Stop()
			return
		}
	}
}

func (a *AccessLog) warn() {
	a.mu.Lock()
	lost, err := a.lost, a.err
	a.lost = 0
	a.mu.Unlock()
	switch {
	case err != nil:
		a.log.Warn("the access log cannot be written", "error", err, "dropped", lost)
	case lost > 0:
		a.log.Warn("the access log is not taken off quickly enough", "dropped", lost)
	}
}

// signal leaves a token, where there is none already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func ended(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
