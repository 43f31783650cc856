package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"syscall"
	"time"
)

// runLoad carries out an order, in JSON, and writes what came of it to w.
func runLoad(arg string, w io.Writer) error {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	var o order
	if err := json.Unmarshal([]byte(arg), &o); err != nil {
		return err
	}
	run := loadPlain
	if o.Certs != "" {
		run = loadTLS
	}
	out, err := run(o)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(out)
}

// load sends requests over its connections from one thread.
type load struct {
	order   order
	request []byte
	poller  *poller
	conns   []loadConn
	free    []int32 // connections with nothing in flight; only with a rate
	plan    schedule
	start   time.Time
	meter   meter
	buf     [256 << 10]byte
}

type loadConn struct {
	fd     int
	due    time.Duration // of the request in flight
	busy   bool
	answer answer
}

func loadPlain(o order) (*outcome, error) {
	l := &load{order: o, request: o.bytes(), plan: newSchedule(o.Rate), conns: make([]loadConn, o.Conns)}
	fineTimers()
	to, err := net.ResolveTCPAddr("tcp4", o.Addr)
	if err != nil {
		return nil, err
	}
	if l.poller, err = newPoller(); err != nil {
		return nil, err
	}
	defer l.poller.close()
	for i := range l.conns {
		c := &l.conns[i]
		if c.fd, err = connect(to); err != nil {
			return nil, err
		}
		defer syscall.Close(c.fd) //nolint:errcheck // nothing is left to be said over it
		c.answer.want = o.Want
		if err := l.poller.watch(syscall.EPOLL_CTL_ADD, c.fd, int32(i), arrivals); err != nil {
			return nil, err
		}
	}
	l.start, l.meter = time.Now(), meter{order: o}
	for i := range l.conns {
		if err := l.release(int32(i), 0); err != nil {
			return nil, err
		}
	}
	return l.run()
}

func (l *load) run() (*outcome, error) {
	for {
		now := time.Since(l.start)
		if done, err := l.meter.at(now); done || err != nil {
			l.countUnanswered(now)
			return l.meter.outcome(), err
		}
		if err := l.sendDue(now); err != nil {
			return nil, err
		}
		events, err := l.poller.wait(l.patience(now))
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if err := l.attend(e.Fd); err != nil {
				return nil, fmt.Errorf("%s: after %d requests: %w", l.order.Addr, l.meter.sent, err)
			}
		}
	}
}

// sendDue sends what is due by now, as far as there are free connections. What finds
// none stays due.
func (l *load) sendDue(now time.Duration) error {
	for l.order.Rate > 0 && len(l.free) > 0 && l.plan.due() <= now {
		number := l.free[len(l.free)-1]
		l.free = l.free[:len(l.free)-1]
		if err := l.send(number, l.plan.due()); err != nil {
			return err
		}
		l.plan.take()
	}
	return nil
}

// patience is how long there is nothing to do but to wait for answers.
func (l *load) patience(now time.Duration) time.Duration {
	wait := l.meter.next() - now
	if l.order.Rate > 0 && len(l.free) > 0 {
		wait = min(wait, l.plan.due()-now)
	}
	return max(wait, 0)
}

func (l *load) send(number int32, due time.Duration) error {
	c := &l.conns[number]
	n, err := write(c.fd, l.request)
	if err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	if n != len(l.request) {
		return fmt.Errorf("the socket took %d bytes of a request of %d", n, len(l.request))
	}
	c.busy, c.due = true, due
	l.meter.sent++
	return nil
}

// release has a connection ask again: at once, or when the next request is due.
func (l *load) release(number int32, now time.Duration) error {
	if l.order.Rate == 0 {
		return l.send(number, now)
	}
	l.free = append(l.free, number)
	return nil
}

// attend reads what has come, to the end: there is no second event for it.
func (l *load) attend(number int32) error {
	c := &l.conns[number]
	for full := true; full; {
		n, err := read(c.fd, l.buf[:])
		if err == syscall.EAGAIN { //nolint:errorlint // a bare number
			return nil
		}
		if err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		if n == 0 {
			return errors.New("the proxy has closed a connection")
		}
		if err := l.take(number, l.buf[:n]); err != nil {
			return err
		}
		full = n == len(l.buf)
	}
	return nil
}

// take goes on with the answer that a connection waits for.
func (l *load) take(number int32, b []byte) error {
	c := &l.conns[number]
	if !c.busy {
		return fmt.Errorf("the proxy sent %q, which nobody has asked for", b[:min(len(b), 80)])
	}
	used, done, err := c.answer.take(b)
	if err != nil || !done {
		return err
	}
	if used < len(b) {
		return fmt.Errorf("%q stands after an answer", b[used:min(len(b), used+80)])
	}
	now := time.Since(l.start)
	c.busy = false
	l.meter.answered(c.due, now)
	return l.release(number, now)
}

// countUnanswered counts what was due and has no answer yet with the time that it has
// waited: left out, the worst would be missing. Only a rate has such.
func (l *load) countUnanswered(now time.Duration) {
	if l.order.Rate == 0 {
		return
	}
	for i := range l.conns {
		if c := &l.conns[i]; c.busy {
			l.meter.latency(c.due, now)
		}
	}
	for ; l.plan.due() <= now; l.plan.take() {
		l.meter.latency(l.plan.due(), now)
	}
}
