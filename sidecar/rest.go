package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	restEvery = 500 * time.Millisecond
	restAfter = 2       // times in a row that little was allocated, before memory is given back
	restQuiet = 1 << 20 // bytes allocated from one time to the next, up to which that is little
	restWorth = 8 << 20 // bytes unused or on stacks, below which it is not worth a collection
	restShare = 4       // nor below this part of the heap, which is what a collection has to go through
)

// rest decides when a proxy that has nothing to do gives memory back: below heapFloor no
// collection would come for long, and without one the stacks stay as deep as the busiest
// request of each connection made them.
type rest struct {
	allocated uint64 // bytes, ever
	quiet     int    // times in a row
	spare     uint64 // bytes when it last gave back; zero since it was last busy
}

// due reports whether memory is to be given back now. Allocated is what ever was, spare
// what is unused or on stacks, heap what objects take, in bytes. Once is not enough, for
// a collection only halves a stack: it goes on as long as that helps.
func (r *rest) due(allocated, spare, heap uint64) bool {
	busy := allocated-r.allocated > restQuiet
	r.allocated = allocated
	if busy {
		r.quiet, r.spare = 0, 0
		return false
	}
	r.quiet++
	if r.quiet < restAfter || spare < max(restWorth, heap/restShare) || r.spare != 0 && spare > r.spare/10*9 {
		return false
	}
	r.spare = spare
	return true
}

// startResting gives memory back whenever the process rests, until ctx ends or the
// returned function is called, which waits for that.
func startResting(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { keepResting(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

func keepResting(ctx context.Context) {
	tick := time.NewTicker(restEvery)
	defer tick.Stop()
	var r rest
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.due(memoryInUse()) {
				debug.FreeOSMemory()
			}
		}
	}
}

// memoryInUse returns what rest's due asks for.
func memoryInUse() (allocated, spare, heap uint64) {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples[:])
	return samples[0].Value.Uint64(), samples[1].Value.Uint64() + samples[2].Value.Uint64(), samples[3].Value.Uint64()
}
