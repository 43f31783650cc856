package policy

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"outrider/internal/mesh"
)

func stranger(i int) client {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return addressName(netip.AddrFrom4(b))
}

func TestTwoMillionClientsInBoundedMemory(t *testing.T) {
	const bound = 10_000
	now := time.Unix(1e9, 0) // stands still: no bucket refills
	evicted := 0
	l, err := NewLimiter(LimitConfig{
		Rate: Rate{PerMinute: 60, Burst: 10}, MaxKeys: bound,
		Now: func() time.Time { return now }, Evicted: func() { evicted++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	const clients = 2_000_000
	for i := range clients {
		if v := l.take(stranger(i)); !v.allowed {
			t.Fatalf("client %d was refused its first request", i)
		}
		if i%100_000 == 0 && l.Keys() > bound {
			t.Fatalf("%d clients remembered, want at most %d", l.Keys(), bound)
		}
	}
	kept := l.Keys()
	if kept > bound || kept < bound*9/10 {
		t.Errorf("%d clients remembered, want nearly %d", kept, bound)
	}
	if evicted != clients-kept {
		t.Errorf("%d evictions reported, want %d", evicted, clients-kept)
	}
}

func TestFullBucketsGoUnnoticed(t *testing.T) {
	now := time.Unix(1e9, 0)
	l, err := NewLimiter(LimitConfig{
		Rate: Rate{PerMinute: 60, Burst: 2}, MaxKeys: 3,
		Now:     func() time.Time { return now },
		Evicted: func() { t.Error("a bucket that was not full has been forgotten") },
	})
	if err != nil {
		t.Fatal(err)
	}
	greedy := stranger(0)
	l.take(stranger(1))
	l.take(stranger(2))
	l.take(greedy)
	l.take(greedy)
	now = now.Add(time.Second) // 1 and 2 are full again; greedy is not
	l.take(stranger(3))
	l.take(stranger(4))
	if v := l.take(greedy); !v.allowed || v.remaining != 0 {
		t.Errorf("the greedy client's bucket: %+v, want one token only", v)
	}
	if v := l.take(greedy); v.allowed {
		t.Error("the greedy client got a new bucket")
	}
}

func TestOldestClientIsForgotten(t *testing.T) {
	now := time.Unix(1e9, 0)
	evicted := 0
	l, err := NewLimiter(LimitConfig{
		Rate: Rate{PerMinute: 1}, MaxKeys: 2,
		Now: func() time.Time { return now }, Evicted: func() { evicted++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.take(stranger(1))
	l.take(stranger(2))
	l.take(stranger(1)) // refused, and the newest now
	l.take(stranger(3)) // for which 2 must go
	if evicted != 1 || l.Keys() != 2 {
		t.Errorf("%d evicted, %d kept; want 1 and 2", evicted, l.Keys())
	}
	if l.take(stranger(1)).allowed {
		t.Error("the newer client was forgotten")
	}
	if !l.take(stranger(2)).allowed {
		t.Error("the oldest client was kept")
	}
}

func TestTableShrinksByItself(t *testing.T) {
	now := time.Unix(1e9, 0)
	l, err := NewLimiter(LimitConfig{Rate: Rate{PerMinute: 60}, MaxKeys: 60, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		l.take(stranger(i))
	}
	now = now.Add(time.Hour)
	for i := range 30 {
		l.take(stranger(100 + i))
	}
	if got := l.Keys(); got != 30 {
		t.Errorf("%d clients remembered, want the 30 of this hour", got)
	}
}

func TestKnownClientAllocatesNothing(t *testing.T) {
	for _, key := range []Key{ClientIP(), Header("X-Key"), Subject()} {
		l, err := NewLimiter(LimitConfig{Rate: Rate{PerMinute: 1e8}, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		call := mesh.NewCall(t.Context())
		call.Client, call.Subject = netip.MustParseAddr("2001:db8::1"), "somebody with a name of some length"
		req := call.Bind(&http.Request{Header: http.Header{"X-Key": {"a-key-that-is-longer-than-any-small-buffer-0123456789"}}})
		l.take(key.of(req))
		if n := testing.AllocsPerRun(100, func() { l.take(key.of(req)) }); n != 0 {
			t.Errorf("%v: %v allocations, want 0", key, n)
		}
	}
}

func BenchmarkTakeKnown(b *testing.B) {
	l, err := NewLimiter(LimitConfig{Rate: Rate{PerMinute: 1e8}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := stranger(1)
		for pb.Next() {
			l.take(c)
		}
	})
}

// BenchmarkMemoryPerClient fills the table with a million clients and reports what
// one of them costs.
func BenchmarkMemoryPerClient(b *testing.B) {
	const clients = 1 << 20
	for b.Loop() {
		l, err := NewLimiter(LimitConfig{Rate: Rate{PerMinute: 1}, MaxKeys: 2 * clients})
		if err != nil {
			b.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range clients {
			l.take(stranger(i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(l.Keys()), "B/client")
	}
}
