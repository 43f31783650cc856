package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// loadTLS carries out an order with a goroutine per connection, for crypto/tls knows
// no other way. With a rate each connection has an even share of it.
func loadTLS(o order) (*outcome, error) {
	cfg, err := clientTLS(o.Certs)
	if err != nil {
		return nil, err
	}
	l := &secureLoad{order: o, request: o.bytes(), meter: meter{order: o}}
	conns := make([]net.Conn, o.Conns)
	for i := range conns {
		if conns[i], err = dialTLS(o.Addr, cfg); err != nil {
			return nil, err
		}
		defer conns[i].Close()
	}
	l.start = time.Now()
	limit := o.Warmup + o.Duration + 10*time.Second
	var all sync.WaitGroup
	for i, c := range conns {
		_ = c.SetDeadline(l.start.Add(limit)) // a failure shows at the next read
		all.Go(func() { l.keepAsking(c, i) })
	}
	for ended := false; !ended && err == nil; {
		wait := time.NewTimer(l.meter.next() - time.Since(l.start))
		<-wait.C
		ended, err = l.tell(time.Since(l.start))
	}
	all.Wait()
	return l.meter.outcome(), errors.Join(err, l.failure)
}

// dialTLS makes one connection, and its handshake.
func dialTLS(addr string, cfg *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: cfg}
	return d.DialContext(ctx, "tcp", addr)
}

type secureLoad struct {
	order   order
	request []byte
	start   time.Time

	mu      sync.Mutex // protects meter, done, failure
	meter   meter
	done    bool
	failure error
}

// tell has the meter look at the time.
func (l *secureLoad) tell(now time.Duration) (ended bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended, err = l.meter.at(now)
	l.done = ended || err != nil || l.failure != nil
	return l.done, err
}

// count counts one answered request, and reports whether to go on.
func (l *secureLoad) count(due time.Duration) bool {
	now := time.Since(l.start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.meter.sent++
	if !l.done {
		l.meter.answered(due, now)
	} else if l.order.Rate > 0 {
		l.meter.latency(due, now) // it was due while there was still a measurement
	}
	return !l.done && l.failure == nil
}

func (l *secureLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = errors.Join(l.failure, fmt.Errorf("%s: %w", l.order.Addr, err))
}

// keepAsking asks over the number'th connection until the order has ended.
func (l *secureLoad) keepAsking(c net.Conn, number int) {
	a := answer{want: l.order.Want}
	buf := make([]byte, 32<<10)
	plan := newSchedule(l.order.Rate / float64(l.order.Conns))
	offset := plan.interval * float64(number) / float64(l.order.Conns)
	for {
		due := time.Since(l.start)
		if l.order.Rate > 0 {
			due = plan.due() + time.Duration(offset)
			plan.take()
			if wait := due - time.Since(l.start); wait > 0 {
				<-time.NewTimer(wait).C
			}
		}
		if err := l.ask(c, &a, buf); err != nil {
			l.fail(err)
			return
		}
		if !l.count(due) {
			return
		}
	}
}

// ask sends one request and reads its answer.
func (l *secureLoad) ask(c net.Conn, a *answer, buf []byte) error {
	if _, err := c.Write(l.request); err != nil {
		return err
	}
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		used, done, err := a.take(buf[:n])
		if err != nil {
			return err
		}
		if done && used < n {
			return fmt.Errorf("%q stands after an answer", buf[used:min(n, used+80)])
		}
		if done {
			return nil
		}
	}
}
