package main

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		name string
		of   []float64
		want spread
	}{
		{"nothing", nil, spread{}},
		{"not measured", []float64{math.NaN()}, spread{}},
		{"odd", []float64{3, 1, 2}, spread{2, 1, 3, 3}},
		{"even", []float64{4, 1, 2, 8}, spread{3, 1, 8, 4}},
		{"one missing", []float64{4, math.NaN(), 2}, spread{3, 2, 4, 2}},
	} {
		if got := spreadOf(c.of); got != c.want {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	// The machine was twice as slow in the second round: the ratio does not show it.
	if got, want := ratios([]float64{9, 18, 9}, []float64{10, 20, 10}), (spread{.9, .9, .9, 3}); got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
	if got, want := ratios([]float64{1, 2}, []float64{0, 4}), (spread{.5, .5, .5, 1}); got != want {
		t.Errorf("with a zero: %+v, not %+v", got, want)
	}
}

func TestRotated(t *testing.T) {
	var got []string
	for round := range 4 {
		got = append(got, strings.Join(rotated([]string{"A", "B", "C"}, round), ""))
	}
	if want := []string{"ABC", "BCA", "CAB", "ABC"}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	if got := rotated(nil, 3); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

func TestTargetsAreJudgedByTheBetterPeer(t *testing.T) {
	r := &result{Case: "c64", Samples: []sample{
		{Round: 1, Proxy: ours, CPU: 9}, {Round: 1, Proxy: "nginx", CPU: 10}, {Round: 1, Proxy: "haproxy", CPU: 20},
		{Round: 2, Proxy: "haproxy", CPU: 10}, {Round: 2, Proxy: ours, CPU: 8}, {Round: 2, Proxy: "nginx", CPU: 20},
	}}
	if got, want := cpuAgainstBest(r), (spread{.85, .8, .9, 2}); math.Abs(got.Median-want.Median) > 1e-9 || got.Min != want.Min || got.Max != want.Max {
		t.Errorf("%+v, not %+v", got, want)
	}
	var out strings.Builder
	report := &report{out: &out, Results: []*result{r}}
	report.judge()
	if !strings.Contains(out.String(), "met     c64     CPU a request, × the better of nginx and HAProxy ≤ 0.9: 0.85 (0.80..0.90)") {
		t.Errorf("the verdict is %q", out.String())
	}
	r.Samples[0].CPU, r.Samples[4].CPU = 9.5, 9.5
	out.Reset()
	if report.judge(); !strings.Contains(out.String(), "MISSED  c64     CPU a request, × the better") {
		t.Errorf("the verdict is %q", out.String())
	}
}
