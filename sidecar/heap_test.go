package main

import (
	"runtime"
	"testing"
)

func TestPercentForKeepsTheFloor(t *testing.T) {
	for _, c := range []struct {
		name string
		live uint64
		next uint64 // where the next collection begins
	}{
		{"nothing live: no more than the floor", 0, heapFloor},
		{"a small heap", 8 << 20, heapFloor},
		{"half the floor: the ratio of two begins", 16 << 20, heapFloor},
		{"a large heap", 100 << 20, 200 << 20},
	} {
		live := max(c.live, minHeap)
		got := live + live*uint64(percentFor(c.live))/100
		if got > c.next || got < c.next*98/100 { // whole percents
			t.Errorf("%s: the next collection is at %d bytes, want %d", c.name, got, c.next)
		}
	}
}

func TestLiveHeapIsMeasured(t *testing.T) {
	kept := make([]byte, 64<<20)
	runtime.GC()
	if got := liveHeap(); got < uint64(len(kept)) {
		t.Errorf("liveHeap() = %d, and %d bytes are in use", got, len(kept))
	}
	runtime.KeepAlive(kept)
}
