package main

import (
	"fmt"
	"time"
)

// meter counts what happens between the end of the warm-up and the end of the order.
// Times count from the start of the load.
type meter struct {
	order   order
	sent    int64
	seen    histogram
	count   int64
	began   time.Duration // when the measurement began; zero: not yet
	ended   time.Duration
	before  usage
	spent   usage
	started bool
}

// at is told the time. It begins the measurement, and says when that has ended.
func (m *meter) at(now time.Duration) (done bool, err error) {
	switch {
	case !m.started && now >= m.order.Warmup:
		m.started, m.began = true, now
		m.before, err = usageOf(m.order.PIDs)
	case m.started && (now >= m.began+m.order.Duration || m.sent >= m.order.Most):
		after, err := usageOf(m.order.PIDs)
		m.ended, m.spent = now, after.since(m.before)
		if err == nil && m.count == 0 {
			err = fmt.Errorf("%s: no request was answered in %s", m.order.Addr, now-m.began)
		}
		return true, err
	}
	return false, err
}

// next is when at has to be called again.
func (m *meter) next() time.Duration {
	if m.started {
		return m.began + m.order.Duration
	}
	return m.order.Warmup
}

// answered counts a request that was due then and has its answer now.
func (m *meter) answered(due, now time.Duration) {
	if m.started {
		m.count++
		m.latency(due, now)
	}
}

func (m *meter) latency(due, now time.Duration) {
	if m.started && due >= m.began {
		m.seen.add(now - due)
	}
}

func (m *meter) outcome() *outcome {
	o := &outcome{Sent: m.sent, Requests: m.count, Elapsed: m.ended - m.began, CPU: m.spent}
	o.latencies(&m.seen)
	return o
}
