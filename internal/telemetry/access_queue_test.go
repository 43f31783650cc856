package telemetry_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// sink is what an access log is written to.
type sink struct {
	mu     sync.Mutex // protects all below
	text   bytes.Buffer
	writes int
	most   int           // bytes that a write takes; zero: all
	err    error         // of each write that does not take all
	hold   chan struct{} // each write waits for it, where it is there
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err == nil {
		return s.text.Write(p)
	}
	n := min(len(p), s.most)
	s.text.Write(p[:n])
	return n, s.err
}

func (s *sink) fail(err error, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.most = err, most
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// queue is a log under test.
type queue struct {
	*telemetry.AccessLog
	t     *testing.T
	tel   *telemetry.Telemetry
	layer mesh.Layer
	to    *sink
	warns *sink
	n     int
}

func newQueue(t *testing.T, bound int) *queue {
	q := &queue{t: t, tel: telemetry.New(telemetry.Options{}), to: &sink{}, warns: &sink{}}
	q.AccessLog = q.tel.AccessLog(q.to, slog.New(slog.NewTextHandler(q.warns, nil)))
	if bound > 0 {
		q.Bound(bound)
	}
	q.layer = q.tel.Requests(telemetry.RequestConfig{Direction: "ingress", Log: q.AccessLog,
		Lines: telemetry.Lines{Format: format(t, "{request_id}"), Sample: 1}})
	return q
}

// add has n requests end; each line has 8 bytes.
func (q *queue) add(n int) {
	for range n {
		id := fmt.Sprintf("%07d", q.n)
		exchange{method: "GET", url: "/", result: mesh.Result{Status: 200}}.
			run(q.t, q.layer, func(_ *http.Request, call *mesh.Call) { call.ID = id })
		q.n++
	}
}

// lines are those with the numbers from first to last.
func lines(first, last int) string {
	var all strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintf(&all, "%07d\n", i)
	}
	return all.String()
}

func (q *queue) dropped(want int) {
	q.t.Helper()
	has(q.t, scrape(q.t, q.tel, "outrider_access_log_dropped_total"), fmt.Sprintf("outrider_access_log_dropped_total %d", want))
}

func (q *queue) close(ctx context.Context, want string) {
	q.t.Helper()
	got := fmt.Sprint(q.Close(ctx))
	if got != want {
		q.t.Errorf("Close: %s, want %s", got, want)
	}
}

func (q *queue) wrote(want string) {
	q.t.Helper()
	if got := q.to.String(); got != want {
		q.t.Errorf("written:\n%swant\n%s", got, want)
	}
}

func (q *queue) warned(want ...string) {
	q.t.Helper()
	text := q.warns.String()
	if n := strings.Count(text, "\n"); n != len(want) {
		q.t.Errorf("%d warnings, want %d:\n%s", n, len(want), text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			q.t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

func TestNothingIsLostThatWasTaken(t *testing.T) {
	tel, to := telemetry.New(telemetry.Options{}), &sink{}
	log := tel.AccessLog(to, slog.New(slog.DiscardHandler))
	log.Start()
	layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress", Log: log, Lines: telemetry.Lines{Sample: 1}})
	const clients, each = 8, 500
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := range each {
				exchange{method: "GET", url: fmt.Sprintf("/%d", i), result: mesh.Result{Status: 200}}.run(t, layer, nil)
			}
		})
	}
	wg.Wait()
	if err := log.Close(t.Context()); err != nil {
		t.Error(err)
	}
	seen := map[string]int{}
	for line := range strings.Lines(to.String()) {
		path, _ := fields(t, line)["path"].(string)
		seen[path]++
	}
	for i := range each {
		if n := seen[fmt.Sprintf("/%d", i)]; n != clients {
			t.Errorf("/%d has %d lines, want %d", i, n, clients)
		}
	}
}

// A reader that stops holds up the writer, and nobody else.
func TestALogThatStandsStillHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 80)
		q.to.hold = make(chan struct{})
		q.Start()
		q.add(1)
		synctest.Wait() // the writer has it in hand
		q.add(9)
		synctest.Wait()
		q.dropped(0)
		q.warned()

		q.add(1)
		synctest.Wait()
		q.warned("dropped=1")
		q.add(2)
		synctest.Wait()
		q.dropped(3)
		q.warned("dropped=1") // one a minute
		<-time.After(time.Minute)
		synctest.Wait()
		q.warned("dropped=1", "dropped=2")

		close(q.to.hold)
		synctest.Wait()
		q.add(1)
		q.close(t.Context(), "<nil>")
		q.wrote(lines(0, 9) + lines(13, 13))
		if q.to.writes != 3 {
			t.Errorf("%d writes, want 3: what waits is written at once", q.to.writes)
		}
		q.add(1)
		q.dropped(4)
	})
}

// What comes soon after a write waits for more, for a moment, and no longer where there is
// plenty.
func TestLinesAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 800)
		q.Start()
		q.add(1)
		synctest.Wait()
		q.wrote(lines(0, 0)) // nobody waits for one that comes alone
		q.add(1)
		synctest.Wait()
		q.add(1)
		synctest.Wait()
		q.wrote(lines(0, 0))
		<-time.After(10 * time.Millisecond)
		synctest.Wait()
		q.wrote(lines(0, 2))
		if q.to.writes != 2 {
			t.Errorf("%d writes, want 2", q.to.writes)
		}
		q.add(1)
		synctest.Wait()
		q.add(50) // half of what may wait
		synctest.Wait()
		q.wrote(lines(0, 53))
		q.add(1)
		q.close(t.Context(), "<nil>")
		q.wrote(lines(0, 54))
	})
}

// A full disk that is emptied again costs nothing, and cuts no line.
func TestAWriteThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 80)
		q.to.fail(syscall.ENOSPC, 3)
		q.Start()
		q.add(2)
		synctest.Wait()
		q.wrote("000")
		q.warned(`error="no space left on device" dropped=0`)
		q.add(7)
		<-time.After(1500 * time.Millisecond)
		q.wrote("000000")
		q.dropped(0)
		q.to.fail(nil, 0)
		<-time.After(time.Second)
		q.wrote(lines(0, 8))
		q.close(t.Context(), "<nil>")
		q.wrote(lines(0, 8))
		q.warned("no space left")
	})
}

func TestALogThatTakesLessWithoutAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel, to := telemetry.New(telemetry.Options{}), &half{}
		log := tel.AccessLog(to, slog.New(slog.DiscardHandler))
		layer := tel.Requests(telemetry.RequestConfig{Direction: "ingress", Log: log, Lines: telemetry.Lines{Format: format(t, "{method}{status}"), Sample: 1}})
		log.Start()
		exchange{method: "GET", url: "/", result: mesh.Result{Status: 200}}.run(t, layer, nil)
		synctest.Wait()
		if to.String() != "GET2" {
			t.Errorf("at once %q, want no more than it takes: a writer that took nothing would keep us busy", to)
		}
		<-time.After(10 * time.Second)
		if err := log.Close(t.Context()); err != nil || to.String() != "GET200\n" {
			t.Errorf("%v, %q", err, to)
		}
	})
}

// half takes half of what it is given, and at least one byte.
type half struct{ sink }

func (h *half) Write(p []byte) (int, error) { return h.sink.Write(p[:(len(p)+1)/2]) }

func TestClosingTellsWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 0)
		q.to.fail(syscall.EPIPE, 12) // one line and a half, at each try
		q.add(5)
		q.Start()
		synctest.Wait() // it has been tried once
		q.close(t.Context(), "2 lines of the access log were not written: broken pipe")
		q.wrote(lines(0, 2)[:24])
		q.dropped(2)
	})
}

func TestClosingWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 0)
		q.to.hold = make(chan struct{})
		q.Start()
		q.add(2)
		synctest.Wait()
		q.add(3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q.close(ctx, "5 lines of the access log were not written: context deadline exceeded")
		q.dropped(5)
		close(q.to.hold) // or the goroutine would stay
	})
}
