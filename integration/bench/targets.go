package main

import (
	"fmt"
	"strings"
)

// target is a ratio, or a figure, that we want to stay below.
type target struct {
	cases []string
	text  string
	limit float64
	above bool // the figure is to be at least the limit
	of    func(*result) spread
}

// targets are what the data path is measured by.
var targets = []target{
	{[]string{"c64"}, "CPU a request, × the better of nginx and HAProxy", 0.90, false, cpuAgainstBest},
	{[]string{"policy"}, "CPU a request, full policy, × the better of nginx and HAProxy without", 1.10, false, cpuAgainstBest},
	{[]string{"c1", "c8", "c512"}, "CPU a request, × the better of nginx and HAProxy", 1.0, false, cpuAgainstBest},
	{[]string{"c1", "c8", "c64", "c512"}, "p99 at half of saturation, × HAProxy's", 1.0, false, against("haproxy", p99Of)},
	{[]string{"1m"}, "CPU a request, × nginx's", 1.0, false, against("nginx", cpuOf)},
	{[]string{"c1", "c8", "c64", "c512"}, "CPU a request, × Caddy's", 0.25, false, against("caddy", cpuOf)},
	{[]string{"c1", "c8", "c64", "c512"}, "CPU a request, × Traefik's", 0.25, false, against("traefik", cpuOf)},
	{[]string{"idle"}, "MiB resident at start", 20, false, func(r *result) spread { return spreadOf(r.memory(ours, idleOf)) }},
	{[]string{"idle"}, "MiB resident with 10,000 connections", 60, false, func(r *result) spread { return spreadOf(r.memory(ours, heldOf)) }},
	{[]string{"c1", "c8", "c64", "c512"}, "allocations a request", 4, false, func(r *result) spread { return spreadOf(r.figures(ours, allocationsOf)) }},
}

// cpuAgainstBest divides our CPU by the lower of nginx's and HAProxy's, round by round.
func cpuAgainstBest(r *result) spread {
	nginx, haproxy := r.figures("nginx", cpuOf), r.figures("haproxy", cpuOf)
	var best []float64
	for i := range min(len(nginx), len(haproxy)) {
		best = append(best, min(nginx[i], haproxy[i]))
	}
	return ratios(r.figures(ours, cpuOf), best)
}

func against(name string, of func(sample) float64) func(*result) spread {
	return func(r *result) spread { return ratios(r.figures(ours, of), r.figures(name, of)) }
}

// met reports whether a figure is as it should be.
func (t target) met(s spread) bool {
	if t.above {
		return s.Median >= t.limit
	}
	return s.Median <= t.limit
}

// judge writes which of the targets are met, as far as they were measured.
func (r *report) judge() {
	byCase := map[string]*result{}
	for _, of := range r.Results {
		byCase[of.Case] = of
	}
	var lines []string
	for _, t := range append(targets, scaling(byCase["c64"])) {
		for _, name := range t.cases {
			of := byCase[name]
			if of == nil {
				continue
			}
			s := t.of(of)
			if s.Rounds == 0 {
				continue
			}
			verdict := "met"
			if !t.met(s) {
				verdict = "MISSED"
			}
			sign := "≤"
			if t.above {
				sign = "≥"
			}
			lines = append(lines, fmt.Sprintf("%-6s  %-6s  %s %s %g: %s", verdict, name, t.text, sign, t.limit, s))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(r.out, "\ntargets, by the median of the rounds (least..greatest)\n%s\n", strings.Join(lines, "\n"))
	}
}

// scaling is the throughput of two cores over that of one. On a machine of two cores
// the load takes from the second what it needs, so it is not the requests a second
// that are compared but those for a second of processor time of the proxy's own: what
// two cores can do if the load is elsewhere.
func scaling(one *result) target {
	return target{[]string{"cores2"}, "throughput of two cores, × that of one, from the CPU a request", 1.8, true, func(two *result) spread {
		if one == nil {
			return spread{}
		}
		s := ratios(one.figures(ours, cpuOf), two.figures(ours, cpuOf))
		return spread{2 * s.Median, 2 * s.Min, 2 * s.Max, s.Rounds}
	}}
}
