package main

import (
	"runtime"
	"testing"
)

func TestRestsAsLongAsItHelps(t *testing.T) {
	const mib = 1 << 20
	var r rest
	var allocated uint64
	for i, at := range []struct {
		name  string
		alloc uint64 // since the time before
		spare uint64
		want  bool
	}{
		{"busy", 50 * mib, 90 * mib, false},
		{"quiet for the first time", 1000, 90 * mib, false},
		{"quiet again", 1000, 90 * mib, true},
		{"that has helped", 1000, 50 * mib, true},
		{"that has not", 1000, 48 * mib, false},
		{"nothing has changed", 1000, 48 * mib, false},
		{"busy again", 2 * mib, 48 * mib, false},
		{"and quiet", 1000, 48 * mib, false},
		{"for longer", 1000, 48 * mib, true},
		{"busy with little", 2 * mib, 7 * mib, false},
		{"quiet with little", 1000, 7 * mib, false},
		{"not worth it", 1000, 7 * mib, false},
	} {
		allocated += at.alloc
		if got := r.due(allocated, at.spare, 30*mib); got != at.want {
			t.Errorf("%d, %s: due() = %t, want %t", i, at.name, got, at.want)
		}
	}
}

func TestMemoryInUseIsMeasured(t *testing.T) {
	before, spare, _ := memoryInUse()
	kept := make([]byte, 64<<20)
	after, _, heap := memoryInUse()
	if more := uint64(len(kept)); after-before < more || heap < more || spare == 0 {
		t.Errorf("%d bytes allocated before and %d after 64 MiB more, %d on the heap, %d spare", before, after, heap, spare)
	}
	runtime.KeepAlive(kept)
}

func TestLeavesALargeHeapAlone(t *testing.T) {
	const mib = 1 << 20
	var r rest
	r.due(0, 100*mib, 500*mib)
	if r.due(0, 100*mib, 500*mib) {
		t.Error("a heap of 500 MiB is gone through for 100 MiB")
	}
	if !r.due(0, 130*mib, 500*mib) {
		t.Error("130 MiB beside a heap of 500 are not given back")
	}
}
