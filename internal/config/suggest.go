package config

import (
	"reflect"
	"slices"
	"strings"
)

// advice tells what may have been meant by a key that block t does not know: a
// neighbour's name, or another block's.
func advice(t reflect.Type, key string) string {
	known := []string{}
	for _, f := range fieldsOf(t) {
		if f.key != "" {
			known = append(known, f.key)
		}
	}
	if near := nearest(key, known); near != "" {
		return ", did you mean " + near + "?"
	}
	if homes := homesOf(key); len(homes) > 0 {
		return ": it belongs to " + strings.Join(homes, ", ")
	}
	return ": known here are " + strings.Join(known, ", ")
}

// nearest returns the candidate that word is most likely a misspelling of; empty
// when none is near.
func nearest(word string, candidates []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, candidate := range candidates {
		if d := distance(bare(word), bare(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// bare returns word without case and punctuation: healthCheck and health-check are
// both health_check.
func bare(word string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' {
			return -1
		}
		return r
	}, strings.ToLower(shorten(word)))
}

// distance counts the letters to insert, delete, change or swap with a neighbour
// until a is b (the optimal string alignment distance).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// homesOf returns the blocks that know key, the outermost first, at most four.
func homesOf(key string) []string {
	homes := []string{}
	var visit func(t reflect.Type, path string)
	visit = func(t reflect.Type, path string) {
		for _, f := range fieldsOf(t) {
			if f.key == "" || path == "inbound" && f.key == "routing" { // as routing at the top
				continue
			}
			if f.key == key {
				homes = append(homes, orTop(path))
			}
			inner, below := innermost(f.typ, under(path, f.key))
			if inner.Kind() == reflect.Struct && !isScalar(inner) && f.tags.Get("inherit") == "" {
				visit(inner, below)
			}
		}
	}
	visit(reflect.TypeFor[Config](), "")
	depth := func(home string) int { return strings.Count(strings.ReplaceAll(home, ".<name>", ""), ".") }
	slices.SortStableFunc(homes, func(a, b string) int { return depth(a) - depth(b) })
	return homes[:min(len(homes), 4)]
}

// innermost returns the type that a key's pointers, maps and lists are of in the
// end, and the path that leads there.
func innermost(t reflect.Type, path string) (reflect.Type, string) {
	switch t.Kind() {
	case reflect.Pointer:
		return innermost(t.Elem(), path)
	case reflect.Map:
		return innermost(t.Elem(), path+".<name>")
	case reflect.Slice:
		return innermost(t.Elem(), path+"[]")
	default:
		return t, path
	}
}
