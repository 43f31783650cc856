package route

import (
	"cmp"
	"slices"
)

// rank sorts entries by precedence, the first to be tried first, so far as they
// share a host: those of different hosts are found apart. The order in the file
// stays where nothing else decides.
func rank(entries []*entry) {
	slices.SortStableFunc(entries, func(a, b *entry) int {
		return cmp.Or(
			compareSegments(a.pattern.segments, b.pattern.segments),
			present(b.methods)-present(a.methods),
			len(b.headers)-len(a.headers),
			len(b.query)-len(a.query),
		)
	})
}

// compareSegments compares segment by segment: literal before *, before the end of
// the pattern, before **. The end comes between, because /a is more specific than
// /a/**, and /a/**/b than /a/**; "longer first" is the same said otherwise.
func compareSegments(a, b []segment) int {
	for i := range max(len(a), len(b)) {
		if c := cmp.Compare(kindAt(a, i), kindAt(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

func kindAt(segments []segment, i int) kind {
	if i < len(segments) {
		return segments[i].kind
	}
	return end
}

func present(methods []string) int { return min(len(methods), 1) }
