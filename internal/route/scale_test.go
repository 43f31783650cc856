package route_test

import (
	"fmt"
	"testing"

	"outrider/internal/route"
)

// thousand returns a thousand rules below one prefix, of every shape.
func thousand() []route.Match {
	out := []route.Match{{Path: "/**"}}
	for i := range 333 {
		out = append(out,
			route.Match{Path: fmt.Sprintf("/api/service%d/**", i)},
			route.Match{Path: fmt.Sprintf("/api/service%d/*/items", i), Methods: []string{"GET", "POST"}},
			route.Match{Path: fmt.Sprintf("/api/*/kind%d", i), Hosts: []string{"*.example.com", fmt.Sprintf("h%d.test", i)}},
		)
	}
	return out
}

func TestThousandRules(t *testing.T) {
	table := table(t, thousand()...)
	tests := []struct {
		line string
		want int
	}{
		{"GET /api/service332/a/b", 998},
		{"POST /api/service332/a/items", 999},
		{"DELETE /api/service332/a/items", 998},
		{"GET //h332.test/api/x/kind332", 1000},
		{"GET //A.Example.com:80/api/x/kind7", 25},
		{"GET /api/service333/a", 1},
	}
	for _, tt := range tests {
		req := request(t, tt.line)
		if got := lookup(table, req); got != tt.want {
			t.Errorf("%s meets rule %d, want %d", tt.line, got, tt.want)
		}
		if n := testing.AllocsPerRun(100, func() { table.Lookup(req) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.line, n)
		}
	}
}

// Neither header nor query conditions allocate where nothing is to be decoded.
func TestConditionsAllocateNothing(t *testing.T) {
	table := table(t, route.Match{
		Path:    "/a",
		Headers: map[string]route.Value{"X-A": {Exact: "1"}},
		Query:   map[string]route.Value{"q": {Exact: "1"}},
	})
	req := request(t, "GET /a?p=0&q=1", "X-A: 1")
	if n := testing.AllocsPerRun(100, func() {
		if lookup(table, req) != 1 {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	table := table(b, thousand()...)
	for _, line := range []string{"GET /api/service332/a/items", "GET //h332.test/api/x/kind332", "GET /elsewhere/a/b/c"} {
		b.Run(line, func(b *testing.B) {
			req := request(b, line)
			b.ReportAllocs()
			for b.Loop() {
				if lookup(table, req) == 0 {
					b.Fatal("no match")
				}
			}
		})
	}
}

func BenchmarkNewTable(b *testing.B) {
	rules := rules(thousand()...)
	for b.Loop() {
		if _, err := route.NewTable(rules); err != nil {
			b.Fatal(err)
		}
	}
}
