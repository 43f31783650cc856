package main

import (
	"math/bits"
	"time"
)

// subBits is the resolution of a histogram: 1/128 of each value.
const subBits = 7

// histogram counts durations in buckets that are at most 1/128 of their value wide.
// The zero value is empty.
type histogram struct {
	counts [(64 - subBits) << subBits]int64
	total  int64
}

// slot returns the bucket of v nanoseconds: below 256 one each, above that 128 for
// every power of two.
func slot(v int64) int {
	if v < 0 {
		v = 0
	}
	shift := max(bits.Len64(uint64(v))-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// upper returns the largest value of a bucket, in nanoseconds.
func upper(slot int) int64 {
	shift := max(slot>>subBits-1, 0)
	return (int64(slot-shift<<subBits)+1)<<shift - 1
}

// add counts one duration. One below zero counts as zero.
func (h *histogram) add(d time.Duration) {
	h.counts[slot(int64(d))]++
	h.total++
}

// merge adds all that other has counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile returns the duration that the share q of all is not above. Zero when
// nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) {
		rank++
	}
	rank = max(rank, 1)
	var seen int64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return time.Duration(upper(i))
		}
	}
	return 0
}
