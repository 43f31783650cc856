package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSlotsCoverEveryDurationOnce(t *testing.T) {
	var before int64 = -1
	for s := range 4000 {
		first, last := before+1, upper(s)
		if slot(first) != s || slot(last) != s || slot(last+1) != s+1 {
			t.Fatalf("slot %d has %d to %d, but slot() puts them into %d and %d, and the next into %d", s, first, last, slot(first), slot(last), slot(last+1))
		}
		if width := last - first + 1; width > 1 && width*128 > last+1 {
			t.Fatalf("slot %d is %d wide at %d: more than 1/128", s, width, last)
		}
		before = last
	}
	var h histogram
	h.add(1<<63 - 1)
	h.add(-1)
	if h.counts[len(h.counts)-1] != 1 || h.counts[0] != 1 {
		t.Error("the longest and a negative duration are not in the last and the first slot")
	}
}

func TestQuantilesAreThoseOfTheSortedDurations(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		h.add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, .5, .9, .99, .999, 1} {
		want := all[min(max(int(q*float64(len(all))+.9999)-1, 0), len(all)-1)]
		got := h.quantile(q)
		if got < want || float64(got) > float64(want)*(1+1./64)+1 {
			t.Errorf("quantile %g is %s, and of the sorted ones %s", q, got, want)
		}
	}
}

func TestQuantileOfFew(t *testing.T) {
	var h, other histogram
	if got := h.quantile(.5); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
	for d := range time.Duration(100) {
		other.add(d + 1)
	}
	h.merge(&other)
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{.5, 50}, {.501, 51}, {.99, 99}, {.999, 100}, {1, 100}} {
		if got := h.quantile(c.q); got != c.want {
			t.Errorf("quantile %g of 1 to 100 is %d, not %d", c.q, got, c.want)
		}
	}
}
