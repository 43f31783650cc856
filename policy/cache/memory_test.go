package cache_test

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"outrider/policy/cache"
)

func entry(size int, selected string) *cache.Entry {
	e := &cache.Entry{Status: 200, Header: http.Header{"Date": {date(epoch)}}, Body: make([]byte, size), Received: epoch, Lifetime: time.Hour}
	if selected != "" {
		e.Selecting = []cache.Selector{{Name: "Accept", Value: selected, Sent: true}}
	}
	return e
}

func put(m *cache.Memory, key string, e *cache.Entry) bool {
	_, epoch := m.Get(key)
	return m.Put(key, epoch, e)
}

func has(m *cache.Memory, key string) bool {
	variants, _ := m.Get(key)
	return len(variants) > 0
}

func TestMemoryForgetsTheLeastRecentlyUsed(t *testing.T) {
	m := cache.NewMemory(10_000, 10_000) // one shard
	for _, key := range []string{"a", "b", "c"} {
		if !put(m, key, entry(2_000, "")) {
			t.Fatalf("%s was not kept", key)
		}
	}
	m.Get("a")
	put(m, "d", entry(2_000, ""))
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if got := has(m, key); got != want {
			t.Errorf("%s is kept: %v, want %v", key, got, want)
		}
	}
}

func TestMemoryStaysWithinItsBounds(t *testing.T) {
	for _, maxBytes := range []int64{-1, 0, 1, 5_000, 1 << 20} {
		t.Run(strconv.FormatInt(maxBytes, 10), func(t *testing.T) {
			m := cache.NewMemory(maxBytes, 1_000)
			for i := range 5_000 {
				put(m, fmt.Sprintf("key %d", i%3_000), entry(i%3_000, strconv.Itoa(i%5)))
				if _, bytes := m.Stats(); bytes > max(maxBytes, 0) {
					t.Fatalf("holds %d bytes, more than %d", bytes, maxBytes)
				}
			}
			if entries, _ := m.Stats(); (entries > 0) != (maxBytes >= 5_000) {
				t.Errorf("%d entries", entries)
			}
		})
	}
}

func TestMemoryCountsWhatItHolds(t *testing.T) {
	const maxBytes = 16 << 20
	m := cache.NewMemory(maxBytes, 64<<10)
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	for i := range 40_000 { // small ones: overhead is most of them
		e := entry(100, "")
		for j := range 8 {
			e.Header["X-Field-"+strconv.Itoa(j)] = []string{"value " + strconv.Itoa(i)}
		}
		put(m, fmt.Sprintf("http://orders/%d", i), e)
	}
	held := heap() - before
	if _, counted := m.Stats(); held > counted*5/4 {
		t.Errorf("holds %d bytes and counts %d", held, counted)
	}
	runtime.KeepAlive(m)
}

func TestMemoryBoundsVariants(t *testing.T) {
	m := cache.NewMemory(1<<20, 1_000)
	for i := range 40 {
		put(m, "k", entry(10, strconv.Itoa(i)))
	}
	variants, _ := m.Get("k")
	if len(variants) != 16 || variants[0].Selecting[0].Value != "39" || variants[15].Selecting[0].Value != "24" {
		t.Errorf("%d variants, from %v to %v: want the newest 16, newest first", len(variants), variants[0].Selecting, variants[len(variants)-1].Selecting)
	}
	if entries, _ := m.Stats(); entries != 16 {
		t.Errorf("counts %d entries, want 16", entries)
	}
}

func TestMemoryReplacesAVariantSelectedAlike(t *testing.T) {
	m := cache.NewMemory(1<<20, 1_000)
	put(m, "k", entry(10, "a"))
	put(m, "k", entry(10, "b"))
	_, before := m.Stats()
	put(m, "k", entry(20, "a"))
	variants, _ := m.Get("k")
	if _, after := m.Stats(); len(variants) != 2 || len(variants[0].Body) != 20 || after != before+10 {
		t.Errorf("%d variants, the newest of %d bytes, %d bytes counted more", len(variants), len(variants[0].Body), after-before)
	}
}

func TestMemoryShrinksASingleKeyByItsOldestVariants(t *testing.T) {
	m := cache.NewMemory(5_000, 5_000)
	for _, v := range []string{"a", "b", "c"} {
		if !put(m, "k", entry(1_500, v)) {
			t.Fatalf("%s was not kept", v)
		}
	}
	variants, _ := m.Get("k")
	if len(variants) != 1+1 || variants[0].Selecting[0].Value != "c" {
		t.Errorf("%d variants, want the newest two", len(variants))
	}
}

func TestMemoryRefusesWhatCameBeforeADelete(t *testing.T) {
	m := cache.NewMemory(1<<20, 1_000)
	if m.Delete("k") {
		t.Error("deleted what was never there")
	}
	_, epoch := m.Get("k")
	put(m, "k", entry(1, ""))
	if !m.Delete("k") || has(m, "k") {
		t.Error("not deleted")
	}
	if m.Put("k", epoch, entry(1, "")) || has(m, "k") {
		t.Error("an entry of an epoch that has ended was kept")
	}
	if entries, bytes := m.Stats(); entries != 0 || bytes != 0 {
		t.Errorf("%d entries of %d bytes remain", entries, bytes)
	}
}

func TestWhatReadersHoldIsNotChanged(t *testing.T) {
	m := cache.NewMemory(1<<20, 1_000)
	put(m, "k", entry(1, "a"))
	variants, _ := m.Get("k")
	put(m, "k", entry(2, "b"))
	if len(variants) != 1 || !bytes.Equal(variants[0].Body, make([]byte, 1)) {
		t.Error("a slice that was handed out has changed")
	}
}
