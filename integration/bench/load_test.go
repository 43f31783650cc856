//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// startOrigin returns a benchmark whose proxy is the origin itself.
func startOrigin(t *testing.T) (*bench, *proxy) {
	t.Helper()
	cores, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{self: os.Args[0], dir: t.TempDir(), cores: cores}
	if err := writeCerts(b.dir); err != nil {
		t.Fatal(err)
	}
	p, said, err := b.launch(t.Context(), "origin", b.cores.load(), []string{b.self, "origin", b.dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	if err := said.Decode(&b.origin); err != nil {
		t.Fatalf("%v%s", err, p.said())
	}
	return b, &proxy{process: p, addr: b.origin.Plain, pids: []int{p.pid}}
}

func TestLoadCountsWhatItGets(t *testing.T) {
	b, p := startOrigin(t)
	for _, c := range allCases {
		if c.TLSIn || c.MTLSOut || c.Idle > 0 {
			continue
		}
		for _, rate := range []float64{0, 500} {
			out, err := b.ask(t.Context(), c, p, order{Warmup: 10 * time.Millisecond, Duration: 100 * time.Millisecond, Rate: rate})
			if err != nil {
				t.Errorf("%s at %g: %v", c.Name, rate, err)
				continue
			}
			if out.Requests == 0 || out.Sent < out.Requests || out.CPU.Total <= 0 || out.P50 <= 0 || out.P50 > out.P99 || out.P99 > out.P999 {
				t.Errorf("%s at %g: %+v", c.Name, rate, out)
			}
			if rate > 0 && float64(out.Sent) > rate*(out.Elapsed.Seconds()+.011)+float64(c.Conns)+1 {
				t.Errorf("%s at %g: sent %d in %s", c.Name, rate, out.Sent, out.Elapsed)
			}
		}
	}
}

func TestLoadFailsLoudly(t *testing.T) {
	b, p := startOrigin(t)
	for _, c := range []struct {
		name string
		of   benchCase
		want string
	}{
		{"no such page", benchCase{Conns: 2, Path: "/nowhere", Want: 128}, `"HTTP/1.1 404 Not Found", not 200`},
		{"another length", benchCase{Conns: 2, Path: "/128", Want: 129}, "128 bytes, not 129"},
		{"another length in chunks", benchCase{Conns: 2, Path: "/chunked", Want: 1}, "16384 bytes, not 1"},
	} {
		_, err := b.ask(t.Context(), c.of, p, order{Warmup: time.Millisecond, Duration: 50 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, and should say %q", c.name, err, c.want)
		}
	}
}

func TestAMeasurementEndsAtItsMostRequests(t *testing.T) {
	_, p := startOrigin(t)
	o := order{Addr: p.addr, Conns: 4, Duration: time.Hour, Path: "/128", Want: 128, Most: 1000}
	out, err := loadPlain(o)
	if err != nil {
		t.Fatal(err)
	}
	if out.Sent < 1000 || out.Sent > 1000+int64(o.Conns)*256 {
		t.Errorf("sent %d", out.Sent)
	}
}

func TestLatenciesCountFromWhenRequestsWereDue(t *testing.T) {
	// One connection, a request due each millisecond, and a proxy that stalls for the
	// first hundred: it answers all at once then. Half of them have waited for longer
	// than 50 ms, though only one was in flight.
	m := meter{order: order{Duration: time.Hour, Most: 1 << 60}}
	if done, err := m.at(0); done || err != nil {
		t.Fatal(done, err)
	}
	plan := newSchedule(1000)
	const stall = 100 * time.Millisecond
	for ; plan.due() < stall; plan.take() {
		m.answered(plan.due(), stall)
	}
	if plan.next != 100 {
		t.Errorf("%d requests were due in %s", plan.next, stall)
	}
	if got := m.outcome().P50; got < 50*time.Millisecond || got > 52*time.Millisecond {
		t.Errorf("the median is %s", got)
	}
}

func TestTheWarmUpIsNotMeasured(t *testing.T) {
	m := meter{order: order{Warmup: time.Second, Duration: time.Second, Most: 1 << 60}}
	for _, at := range []time.Duration{0, 500 * time.Millisecond} {
		if done, err := m.at(at); done || err != nil {
			t.Fatal(done, err)
		}
		m.answered(at, at+time.Millisecond)
	}
	if _, err := m.at(1100 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	m.answered(time.Second, 1200*time.Millisecond) // was due before
	m.answered(1200*time.Millisecond, 1300*time.Millisecond)
	if done, _ := m.at(2000 * time.Millisecond); done {
		t.Error("it ended before its duration had passed")
	}
	if done, err := m.at(2100 * time.Millisecond); !done || err != nil {
		t.Error(done, err)
	}
	out := m.outcome()
	if out.Requests != 2 || m.seen.total != 1 || out.Elapsed != time.Second {
		t.Errorf("%d requests, %d latencies, in %s", out.Requests, m.seen.total, out.Elapsed)
	}
}

func TestCoresAreSharedOnlyWhereTheyHaveToBe(t *testing.T) {
	for _, c := range []struct {
		of    cores
		count int
		load  string
		proxy string
	}{
		{cores{0, 1}, 1, "0", "1"},
		{cores{0, 1}, 2, "0,1", "0,1"},
		{cores{2, 3, 6, 7}, 2, "2", "6,7"},
	} {
		if load, proxy := joinCores(c.of.loadBeside(c.count)), joinCores(c.of.proxy(c.count)); load != c.load || proxy != c.proxy {
			t.Errorf("%d of %v: load on %s, proxy on %s; want %s and %s", c.count, c.of, load, proxy, c.load, c.proxy)
		}
	}
}

func TestProxiesFarBelowTheOthersHaveARateOfTheirOwn(t *testing.T) {
	turn := map[string]*sample{"haproxy": {RPS: 1000}, "caddy": {RPS: 300}}
	if got := common(turn); got != 500 {
		t.Errorf("beside HAProxy: %g", got)
	}
	delete(turn, "haproxy")
	if got := common(turn); got != 150 {
		t.Errorf("without it: %g", got)
	}
}
