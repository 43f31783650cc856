package route_test

import (
	"net/http"
	"testing"

	"outrider/internal/route"
)

func TestMisses(t *testing.T) {
	table, err := route.NewTable([]route.Rule[string]{
		{Match: route.Match{Path: "/api/users/**"}, Value: "users"},
		{Match: route.Match{Path: "/api/users/me", Methods: []string{"PUT", "POST"}}, Value: "method"},
		{Match: route.Match{Path: "/api/**"}, Value: "api"},
		{Match: route.Match{Path: "/api/orders/**"}, Value: "orders"},
		{Match: route.Match{Path: "/static/**"}, Value: "static"},
		{Match: route.Match{Path: "/api/users/*", Headers: map[string]route.Value{"X-Beta": {Exact: "1"}}}, Value: "header"},
		{Match: route.Match{Path: "/api/users/*", Query: map[string]route.Value{"v": {Regex: "2.*"}}}, Value: "query"},
		{Match: route.Match{Path: "/api/users/**", Hosts: []string{"a.example", "*.b.example"}}, Value: "host"},
		{Match: route.Match{Path: "/x", Hosts: []string{"shop.example"}}, Value: "elsewhere"},
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.example/api/users/me?v=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	type told struct{ rule, failed, want, got string }
	want := []told{
		{"api", "rank", "", ""},
		{"query", "query v", `a match of "2.*"`, "another value"},
		{"header", "header X-Beta", `"1"`, ""},
		{"method", "method", "POST or PUT", "GET"},
		{"host", "host", "a.example", "shop.example"},
		{"orders", "path", "/api/orders/**", "/api/users/me"},
		{"elsewhere", "path", "/x", "/api/users/me"},
	}
	misses := table.Misses(req, 10)
	if len(misses) != len(want) {
		t.Errorf("%d misses, want %d", len(misses), len(want))
	}
	for i, m := range misses[:min(len(misses), len(want))] {
		if got := (told{m.Rule.Value, m.Failed, m.Want, m.Got}); got != want[i] {
			t.Errorf("miss %d: %+v, want %+v", i, got, want[i])
		}
	}
	if got := len(table.Misses(req, 2)); got != 2 {
		t.Errorf("%d misses where two were asked for", got)
	}
	req.Host, req.URL.Path = "c.b.example:80", "/api/users/7"
	for _, m := range table.Misses(req, 10) {
		if m.Rule.Value == "host" {
			t.Errorf("the rule that was found is among the misses: %+v", m)
		}
	}
}
