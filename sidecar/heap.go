package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is the heap, in bytes, below which collecting garbage is not worth its
// cost. A proxy's live heap is a few megabytes, and the default ratio of two would
// have the collector run many times a second.
const heapFloor = 32 << 20

// minHeap is the smallest heap that Go collects at, for a ratio of two.
const minHeap = 4 << 20

// keepHeapFloor has each collection wait until the heap is at least heapFloor, and
// twice what is live above that. GOGC in the environment wins.
func keepHeapFloor() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(100 * heapFloor / minHeap)
	afterEachCollection(&cycle{percent: 100 * heapFloor / minHeap})
}

// cycle is unreachable from its making on: its finalizer runs after each collection.
type cycle struct {
	percent int
	_       [16]byte // Go packs smaller objects together, and finds none of them unreachable alone
}

func afterEachCollection(c *cycle) {
	runtime.SetFinalizer(c, func(c *cycle) {
		// Setting it stops the world for a moment, so only for a change that matters.
		if percent := percentFor(liveHeap()); percent < c.percent*9/10 || percent > c.percent*11/10 {
			c.percent = percent
			debug.SetGCPercent(percent)
		}
		afterEachCollection(c)
	})
}

// percentFor returns the GOGC that puts the next collection at the floor, or at
// twice what is live.
func percentFor(live uint64) int {
	if live >= heapFloor/2 {
		return 100
	}
	live = max(live, minHeap)
	return int(100 * (heapFloor - live) / live)
}

// liveHeap returns what the last collection found in use, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
