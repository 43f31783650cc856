package route_test

import (
	"errors"
	"strings"
	"testing"

	"outrider/internal/route"
)

func TestUnreachable(t *testing.T) {
	header := func(name string, v route.Value) map[string]route.Value { return map[string]route.Value{name: v} }
	tests := []struct {
		name string
		a, b route.Match // on lines 1 and 2
		want string      // in the error; empty: none
	}{
		{"same path", route.Match{Path: "/a"}, route.Match{Path: "/a"}, "same conditions"},
		{"same path, written otherwise", route.Match{Path: "/a%62"}, route.Match{Path: "//ab/"}, "same conditions"},
		{"same host", route.Match{Path: "/", Hosts: []string{"A"}}, route.Match{Path: "/", Hosts: []string{"a."}}, "same conditions"},
		{"same methods", route.Match{Path: "/", Methods: []string{"GET", "PUT"}}, route.Match{Path: "/", Methods: []string{"PUT", "GET"}}, "same conditions"},
		{"same header", route.Match{Path: "/", Headers: header("x-a", route.Value{Regex: "a"})}, route.Match{Path: "/", Headers: header("X-A", route.Value{Regex: "a"})}, "same conditions"},
		{"other host", route.Match{Path: "/", Hosts: []string{"a"}}, route.Match{Path: "/", Hosts: []string{"b"}}, ""},
		{"wider host", route.Match{Path: "/"}, route.Match{Path: "/", Hosts: []string{"b"}}, ""},
		{"all hosts taken", route.Match{Path: "/", Hosts: []string{"a", "b", "c"}}, route.Match{Path: "/", Hosts: []string{"c", "a"}}, "same conditions"},
		{"a host left", route.Match{Path: "/", Hosts: []string{"a", "b"}}, route.Match{Path: "/", Hosts: []string{"b", "c"}}, ""},
		{"fewer methods", route.Match{Path: "/", Methods: []string{"GET", "PUT"}}, route.Match{Path: "/", Methods: []string{"GET"}}, "comes before it"},
		{"more methods", route.Match{Path: "/", Methods: []string{"GET"}}, route.Match{Path: "/", Methods: []string{"GET", "PUT"}}, ""},
		{"every method", route.Match{Path: "/"}, route.Match{Path: "/", Methods: []string{"GET"}}, ""},
		{"value the regex takes", route.Match{Path: "/", Headers: header("A", route.Value{Regex: "a+"})}, route.Match{Path: "/", Headers: header("A", route.Value{Exact: "aa"})}, "comes before it"},
		{"value the regex leaves", route.Match{Path: "/", Headers: header("A", route.Value{Regex: "a+"})}, route.Match{Path: "/", Headers: header("A", route.Value{Exact: "ab"})}, ""},
		{"regex after value", route.Match{Path: "/", Headers: header("A", route.Value{Exact: "aa"})}, route.Match{Path: "/", Headers: header("A", route.Value{Regex: "a+"})}, ""},
		{"other header", route.Match{Path: "/", Headers: header("A", route.Value{Exact: "a"})}, route.Match{Path: "/", Headers: header("B", route.Value{Exact: "a"})}, ""},
		{"header before query", route.Match{Path: "/", Headers: header("A", route.Value{})}, route.Match{Path: "/", Query: header("A", route.Value{})}, ""},
		{"same query", route.Match{Path: "/", Query: header("A", route.Value{Exact: "1"})}, route.Match{Path: "/", Query: header("A", route.Value{Exact: "1"})}, "same conditions"},
		{"query in another case", route.Match{Path: "/", Query: header("A", route.Value{Exact: "1"})}, route.Match{Path: "/", Query: header("a", route.Value{Exact: "1"})}, ""},
		{"less specific", route.Match{Path: "/a/**"}, route.Match{Path: "/a/b"}, ""},
		{"one and deep before deep and literal", route.Match{Path: "/a/*/**"}, route.Match{Path: "/a/**/b"}, "comes before it"},
		{"one and deep is deep and one", route.Match{Path: "/a/*/**"}, route.Match{Path: "/a/**/*"}, "same conditions"},
		{"not the bare prefix", route.Match{Path: "/a/*/**"}, route.Match{Path: "/a/**"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.NewTable(rules(tt.a, tt.b))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var fault *route.RuleError
			if !errors.As(err, &fault) {
				t.Fatalf("got %v, want a *RuleError", err)
			}
			if fault.Line != 2 || !strings.Contains(fault.Message, tt.want) || !strings.Contains(fault.Message, "(lines 1 and 2)") {
				t.Errorf("got %q, want one on line 2 that names both and says %q", fault, tt.want)
			}
		})
	}
}

// A rule taken by a later one is told of by its own line, and only once.
func TestUnreachableByLater(t *testing.T) {
	hosts := []string{"a", "b"}
	_, err := route.NewTable(rules(route.Match{Path: "/a/**/b", Hosts: hosts}, route.Match{Path: "/a/*/**", Hosts: hosts}))
	if err == nil || !strings.HasPrefix(err.Error(), "line 1: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one error on line 1", err)
	}
}

func TestUnreachableInOrder(t *testing.T) {
	_, err := route.NewTable(rules(
		route.Match{Path: "/b/**"}, route.Match{Path: "/a"}, route.Match{Path: "/b/**"}, route.Match{Path: "/a"},
	))
	if err == nil {
		t.Fatal("no error")
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "line 3: ") || !strings.HasPrefix(lines[1], "line 4: ") {
		t.Errorf("got %v, want an error on line 3, then one on line 4", err)
	}
}

// every returns every list of at most n of the given words.
func every(n int, words ...string) [][]string {
	lists := [][]string{nil}
	if n == 0 {
		return lists
	}
	for _, rest := range every(n-1, words...) {
		for _, w := range words {
			lists = append(lists, append([]string{w}, rest...))
		}
	}
	return lists
}

// patterns returns every pattern of at most n segments.
func patterns(n int) []string {
	var out []string
	for _, segments := range every(n, "a", "b", "*", "**") {
		s := "/" + strings.Join(segments, "/")
		if !strings.Contains(s, "**/**") {
			out = append(out, s)
		}
	}
	return out
}

// classes maps a pattern's segments to letters that sort as they rank.
func classes(pattern string) string {
	var out strings.Builder
	for _, s := range split(pattern) {
		switch s {
		case "*":
			out.WriteByte('2')
		case "**":
			out.WriteByte('4')
		default:
			out.WriteByte('1')
		}
	}
	return out.String() + "3"
}

// Of each two patterns, the table says that one is unreachable exactly when the
// other ranks first and takes all its paths; and of two that live together, it
// looks up the one that ranks first.
func TestEveryTwoPatterns(t *testing.T) {
	all := patterns(3)
	paths := every(4, "a", "b", "c")
	matches := make([][]bool, len(all))
	for i, p := range all {
		for _, path := range paths {
			matches[i] = append(matches[i], reference(split(p), path))
		}
	}
	for i, p := range all {
		for j, q := range all {
			before, after := i, j
			if classes(q) < classes(p) {
				before, after = j, i
			}
			reachable := false
			for n := range paths {
				reachable = reachable || matches[after][n] && !matches[before][n]
			}
			table, err := route.NewTable(rules(route.Match{Path: p}, route.Match{Path: q}))
			if (err == nil) != reachable {
				t.Fatalf("%s and %s: got %v, want reachable %v", p, q, err, reachable)
			}
			if err != nil {
				continue
			}
			n := (i*len(all) + j) % len(paths) // all of them would take too long
			want := 0
			for _, at := range []int{before, after} {
				if want == 0 && matches[at][n] {
					want = map[bool]int{true: 1, false: 2}[at == i]
				}
			}
			if got := lookup(table, request(t, "GET /"+strings.Join(paths[n], "/"))); got != want {
				t.Fatalf("%s and %s: %v meets rule %d, want %d", p, q, paths[n], got, want)
			}
		}
	}
}
