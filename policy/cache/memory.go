package cache

import (
	"container/list"
	"hash/maphash"
	"slices"
	"sync"
)

const (
	maxShards   = 16
	maxVariants = 16 // of one key; the oldest gives way
	epochs      = 64 // of one shard; keys share them, and a needless refusal costs one miss

	recordOverhead = 256 // bytes beside the key: map, list, slice
	entryOverhead  = 512 // bytes beside header and body: Entry, header map
	fieldOverhead  = 64  // bytes beside name and value: slices, map slot
)

// Memory is a Store in this process. Of what was not used for longest it forgets
// first.
type Memory struct {
	seed   maphash.Seed
	shards []shard // a power of two
}

var (
	_ Store  = (*Memory)(nil)
	_ Peeker = (*Memory)(nil)
)

type shard struct {
	max int64 // bytes

	mu      sync.Mutex               // protects all below
	records map[string]*list.Element // of *record
	recent  list.List                // front: used last
	entries int
	bytes   int64
	epochs  [epochs]uint64
}

// record is what is kept under one key.
type record struct {
	key      string
	variants []*Entry // newest first; replaced, never changed
}

// NewMemory returns a Memory of at most maxBytes, keys, headers and overhead
// counted. It has as many shards, each with a lock and a part of the room, as leave
// each room for eight entries with a body of largest bytes. Negative or zero
// maxBytes keeps nothing.
func NewMemory(maxBytes, largest int64) *Memory {
	n := 1
	for n < maxShards && maxBytes/int64(2*n) >= 8*max(largest, 1<<10) {
		n *= 2
	}
	m := &Memory{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range m.shards {
		m.shards[i].max = maxBytes / int64(n)
		m.shards[i].records = map[string]*list.Element{}
	}
	return m
}

// Get implements Store.
func (m *Memory) Get(key string) (variants []*Entry, epoch uint64) {
	s, slot := m.locate(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch = s.epochs[slot]
	if at, ok := s.records[key]; ok {
		s.recent.MoveToFront(at)
		variants = at.Value.(*record).variants
	}
	return variants, epoch
}

// Peek implements Peeker.
func (m *Memory) Peek(key string) []*Entry {
	s, _ := m.locate(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.records[key]; ok {
		return at.Value.(*record).variants
	}
	return nil
}

// Put implements Store.
func (m *Memory) Put(key string, epoch uint64, e *Entry) bool {
	s, slot := m.locate(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epochs[slot] != epoch || keySize(key)+entrySize(e) > s.max {
		return false
	}
	at, ok := s.records[key]
	if !ok {
		at = s.recent.PushFront(&record{key: key})
		s.records[key] = at
		s.bytes += keySize(key)
	}
	s.recent.MoveToFront(at)
	s.replace(at.Value.(*record), e)
	s.shrink()
	return true
}

// Delete implements Store.
func (m *Memory) Delete(key string) bool {
	s, slot := m.locate(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epochs[slot]++
	at, ok := s.records[key]
	if ok {
		s.remove(at)
	}
	return ok
}

// Stats implements Store.
func (m *Memory) Stats() (entries int, bytes int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		entries += s.entries
		bytes += s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}

func (m *Memory) locate(key string) (s *shard, slot uint64) {
	h := maphash.String(m.seed, key)
	return &m.shards[h%uint64(len(m.shards))], h >> 32 % epochs
}

// replace makes e the newest variant of r, and drops the one selected alike and
// those too many. s.mu is held.
func (s *shard) replace(r *record, e *Entry) {
	variants := make([]*Entry, 1, len(r.variants)+1) // anew: readers hold the old slice
	variants[0] = e
	s.entries++
	s.bytes += entrySize(e)
	for _, old := range r.variants {
		if len(variants) == maxVariants || slices.Equal(old.Selecting, e.Selecting) {
			s.entries--
			s.bytes -= entrySize(old)
			continue
		}
		variants = append(variants, old)
	}
	r.variants = variants
}

// shrink forgets until the shard is within its bounds: the records unused for
// longest, and of the last one the oldest variants. s.mu is held.
func (s *shard) shrink() {
	for s.bytes > s.max {
		at := s.recent.Back()
		if at != s.recent.Front() {
			s.remove(at)
			continue
		}
		r := at.Value.(*record)
		last := len(r.variants) - 1
		s.entries--
		s.bytes -= entrySize(r.variants[last])
		r.variants = slices.Clone(r.variants[:last])
	}
}

// remove forgets a record. s.mu is held.
func (s *shard) remove(at *list.Element) {
	r := s.recent.Remove(at).(*record)
	delete(s.records, r.key)
	s.entries -= len(r.variants)
	s.bytes -= keySize(r.key)
	for _, e := range r.variants {
		s.bytes -= entrySize(e)
	}
}

func keySize(key string) int64 { return int64(len(key)) + recordOverhead }

// entrySize returns what e counts for.
func entrySize(e *Entry) int64 {
	size := entryOverhead + len(e.Body)
	for name, values := range e.Header {
		size += len(name) + fieldOverhead
		for _, value := range values {
			size += len(value) + fieldOverhead/4
		}
	}
	for _, s := range e.Selecting {
		size += len(s.Name) + len(s.Value) + fieldOverhead
	}
	return int64(size)
}
