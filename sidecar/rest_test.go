package main

import "testing"

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
		if got := r.due(allocated, at.spare); got != at.want {
			t.Errorf("%d, %s: due() = %t, want %t", i, at.name, got, at.want)
		}
	}
}

func TestMemoryInUseIsMeasured(t *testing.T) {
	before, spare := memoryInUse()
	kept := make([]byte, 64<<20)
	after, _ := memoryInUse()
	if after-before < uint64(len(kept)) || spare == 0 {
		t.Errorf("%d bytes allocated before and %d after 64 MiB more, %d spare", before, after, spare)
	}
}
