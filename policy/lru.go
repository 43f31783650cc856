package policy

import (
	"hash/maphash"
	"sync"
)

// table is a map of bounded size that many goroutines use at once. It is split
// into shards, each with a lock of its own, so that two clients seldom meet.
type table[K comparable, V any] struct {
	seed   maphash.Seed
	shards []shard[K, V]
	room   int // how many entries a shard may hold
}

// shard is one part of a table. Its lru is used under mu only.
type shard[K comparable, V any] struct {
	mu sync.Mutex // protects lru
	lru[K, V]
}

const (
	maxShards = 64 // enough for contention to vanish on the machines we run on
	minRoom   = 64 // in smaller shards an uneven hash would evict far too early
)

// newTable returns an empty table that holds at most limit entries; limit is
// positive.
func newTable[K comparable, V any](limit int) *table[K, V] {
	n := maxShards
	for n > 1 && limit/n < minRoom {
		n /= 2
	}
	t := &table[K, V]{seed: maphash.MakeSeed(), shards: make([]shard[K, V], n), room: limit / n}
	for i := range t.shards {
		t.shards[i].init()
	}
	return t
}

// shard returns the part that k belongs to. The seed is random: nobody outside
// can choose keys that fall into one shard.
func (t *table[K, V]) shard(k K) *shard[K, V] {
	return &t.shards[maphash.Comparable(t.seed, k)%uint64(len(t.shards))]
}

// len returns the number of entries.
func (t *table[K, V]) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}

// lru is a map whose entries are also strung in the order of their last use.
type lru[K comparable, V any] struct {
	entries map[K]*entry[K, V]
	ring    entry[K, V] // next is the newest entry, prev the oldest
}

type entry[K comparable, V any] struct {
	prev, next *entry[K, V]
	key        K
	value      V
}

func (l *lru[K, V]) init() {
	l.entries = make(map[K]*entry[K, V])
	l.ring.prev, l.ring.next = &l.ring, &l.ring
}

// get returns the entry of k, which becomes the newest, or nil.
func (l *lru[K, V]) get(k K) *entry[K, V] {
	e := l.entries[k]
	if e != nil {
		e.unlink()
		e.linkAfter(&l.ring)
	}
	return e
}

// add returns a new entry for k, which must have none.
func (l *lru[K, V]) add(k K) *entry[K, V] {
	e := &entry[K, V]{key: k}
	l.entries[k] = e
	e.linkAfter(&l.ring)
	return e
}

// oldest returns the entry whose last use is longest ago, or nil.
func (l *lru[K, V]) oldest() *entry[K, V] {
	if l.ring.prev == &l.ring {
		return nil
	}
	return l.ring.prev
}

func (l *lru[K, V]) drop(e *entry[K, V]) {
	e.unlink()
	delete(l.entries, e.key)
}

func (e *entry[K, V]) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

func (e *entry[K, V]) linkAfter(at *entry[K, V]) {
	e.prev, e.next = at, at.next
	at.next.prev, at.next = e, e
}
