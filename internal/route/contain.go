package route

import "slices"

// containMax bounds the work of contains. Patterns that a person writes need a few
// dozen steps.
const containMax = 4096

// contains reports whether wide matches every path that narrow matches. Both are
// automata over segments, a bit for each place in the pattern: narrow is walked
// through, and wide must be at its end wherever narrow is. Where that takes too
// many steps or places it answers false.
func contains(wide, narrow []segment) bool {
	if len(wide) > 62 || len(narrow) > 62 || !mentions(narrow, wide) {
		return false
	}
	type pair struct{ wide, narrow uint64 }
	start := pair{closure(wide, 1), closure(narrow, 1)}
	seen := map[pair]bool{start: true}
	queue := []pair{start}
	for len(queue) > 0 && len(seen) <= containMax {
		at := queue[0]
		queue = queue[1:]
		if at.narrow>>len(narrow)&1 == 1 && at.wide>>len(wide)&1 == 0 {
			return false
		}
		// The names that make a difference: each literal of wide's, of narrow's, and
		// one that is none of them.
		for _, name := range names(wide, narrow) {
			to := pair{step(wide, at.wide, name), step(narrow, at.narrow, name)}
			if to.narrow != 0 && !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return len(queue) == 0
}

// mentions reports whether segments has every literal of others. Where it has not,
// it matches a path without one, which others cannot: the quick answer for most.
func mentions(segments, others []segment) bool {
	for _, g := range others {
		if g.kind == literal && !slices.Contains(segments, g) {
			return false
		}
	}
	return true
}

// names returns the literals of both patterns and the empty name, which no segment
// of a path has and no literal takes.
func names(patterns ...[]segment) []string {
	all := []string{""}
	for _, segments := range patterns {
		for _, g := range segments {
			if g.kind == literal {
				all = append(all, g.name)
			}
		}
	}
	return all
}

// step returns the places that follow places by one segment of that name.
func step(segments []segment, places uint64, name string) uint64 {
	var to uint64
	for i, g := range segments {
		switch {
		case places>>i&1 == 0:
		case g.kind == deep:
			to |= 1 << i
		case g.takes(name):
			to |= 1 << (i + 1)
		}
	}
	return closure(segments, to)
}

// closure adds the places that ** lets reach without a segment.
func closure(segments []segment, places uint64) uint64 {
	for i, g := range segments {
		if places>>i&1 == 1 && g.kind == deep {
			places |= 1 << (i + 1)
		}
	}
	return places
}
