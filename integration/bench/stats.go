package main

import (
	"fmt"
	"math"
	"slices"
)

// spread is what a figure was over the rounds: its median, least and greatest. The
// zero value stands for a figure that was never measured.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Rounds int     `json:"rounds"`
}

// spreadOf sums up the figures of the rounds. What is NaN was not measured.
func spreadOf(figures []float64) spread {
	kept := slices.DeleteFunc(slices.Clone(figures), math.IsNaN)
	if len(kept) == 0 {
		return spread{}
	}
	slices.Sort(kept)
	return spread{Median: median(kept), Min: kept[0], Max: kept[len(kept)-1], Rounds: len(kept)}
}

// median returns the middle of sorted figures, or the mean of the two there.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratios divides figure by figure, round by round. A round that lacks either, or has
// a zero to divide by, is left out.
func ratios(ours, theirs []float64) spread {
	var of []float64
	for i := range min(len(ours), len(theirs)) {
		if theirs[i] != 0 {
			of = append(of, ours[i]/theirs[i])
		}
	}
	return spreadOf(of)
}

// String writes the median and the spread, or a dash.
func (s spread) String() string {
	if s.Rounds == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f..%.2f)", s.Median, s.Min, s.Max)
}

// rotated returns names from the round's on: ABC, BCA, CAB.
func rotated(names []string, round int) []string {
	if len(names) == 0 {
		return nil
	}
	at := round % len(names)
	return slices.Concat(names[at:], names[:at])
}
