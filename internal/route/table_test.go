package route_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"outrider/internal/route"
)

// rules makes rules of matches, each with its place, from 1, as line and value.
func rules(matches ...route.Match) []route.Rule[int] {
	var out []route.Rule[int]
	for i, m := range matches {
		out = append(out, route.Rule[int]{Match: m, Line: i + 1, Value: i + 1})
	}
	return out
}

func table(t testing.TB, matches ...route.Match) *route.Table[int] {
	t.Helper()
	table, err := route.NewTable(rules(matches...))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// request makes a request of "METHOD target" or "METHOD //host/target", normalised.
func request(t testing.TB, line string, fields ...string) *http.Request {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	req := &http.Request{Method: method, Header: http.Header{}}
	if rest, ok := strings.CutPrefix(target, "//"); ok {
		i := strings.IndexByte(rest, '/')
		req.Host, target = rest[:i], rest[i:]
	}
	req.URL = normal(t, target)
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		req.Header.Add(name, value)
	}
	return req
}

// lookup returns the value of the rule that req meets, 0 for none.
func lookup(table *route.Table[int], req *http.Request) int {
	rule, ok := table.Lookup(req)
	if !ok {
		return 0
	}
	return rule.Value
}

func TestLookupByPath(t *testing.T) {
	table := table(t,
		route.Match{Path: "/**"},
		route.Match{Path: "/api/**"},
		route.Match{Path: "/api/users/**"},
		route.Match{Path: "/api/*/me"},
		route.Match{Path: "/api/users/*"},
		route.Match{Path: "/api/users/me"},
		route.Match{Path: "/api/**/edit"},
		route.Match{Path: "/api/users"},
		route.Match{Path: "/api/auth/login"},
	)
	tests := []struct {
		target string
		want   int
	}{
		{"/", 1},
		{"/apix", 1},
		{"/api", 2},
		{"/api/orders", 2},
		{"/api/orders/7/edit", 7},
		{"/api/edit", 7},
		{"/api/orders/me", 4},
		{"/api/users", 8},
		{"/api/users/", 8},
		{"/api/users/me", 6},
		{"/api/users/me;x/", 6},
		{"/api/users/7", 5},
		{"/api/users/7/edit", 3}, // users is a literal where /api/**/edit has **
		{"/api/auth/login", 9},
		{"/api/auth//login/", 9},
		{"/api/%61uth/x/../login;x=1", 9},
		{"*", 0},
	}
	for _, tt := range tests {
		if got := lookup(table, request(t, "GET "+tt.target)); got != tt.want {
			t.Errorf("%s meets rule %d, want %d", tt.target, got, tt.want)
		}
	}
}

func TestLookupByHost(t *testing.T) {
	table := table(t,
		route.Match{Path: "/**"},
		route.Match{Path: "/**", Hosts: []string{"*.example.com"}},
		route.Match{Path: "/**", Hosts: []string{"*.b.example.com"}},
		route.Match{Path: "/a", Hosts: []string{"A.b.example.com.", "[::1]", "127.0.0.1"}},
		route.Match{Path: "/a/b/c"},
	)
	tests := []struct {
		line string
		want int
	}{
		{"GET /a", 1},
		{"GET //other.test/a", 1},
		{"GET //example.com/a", 1},
		{"GET //.example.com/a", 1},
		{"GET //x.example.com/a", 2},
		{"GET //x.y.example.com/a", 2},
		{"GET //b.example.com/a", 2},
		{"GET //x.b.example.com/a", 3},
		{"GET //x.y.b.example.com/a/b/c", 3}, // the host counts before the path
		{"GET //a.b.example.com/a", 4},
		{"GET //A.B.Example.COM.:8080/a", 4},
		{"GET //a.b.example.com/b", 3},
		{"GET //[::1]:8080/a", 4},
		{"GET //127.0.0.1:80/a", 4},
		{"GET //" + strings.Repeat("x.", 200) + "example.com/a", 1}, // longer than any name
	}
	for _, tt := range tests {
		if got := lookup(table, request(t, tt.line)); got != tt.want {
			t.Errorf("%s meets rule %d, want %d", tt.line, got, tt.want)
		}
	}
}

func TestLookupByConditions(t *testing.T) {
	exact := func(s string) route.Value { return route.Value{Exact: s} }
	table := table(t,
		route.Match{Path: "/a"},
		route.Match{Path: "/a", Query: map[string]route.Value{"q": exact("1")}},
		route.Match{Path: "/a", Headers: map[string]route.Value{"x-one": exact("1")}},
		route.Match{Path: "/a", Headers: map[string]route.Value{"X-One": exact("1"), "x-two": {Regex: "a+|b"}}},
		route.Match{Path: "/a", Methods: []string{"PUT", "POST"}},
		route.Match{Path: "/a", Headers: map[string]route.Value{"X-Many": exact("1, 2")}},
		route.Match{Path: "/a", Query: map[string]route.Value{"q": exact("1"), "r s": {}}},
	)
	tests := []struct {
		name   string
		line   string
		fields []string
		want   int
	}{
		{"none", "GET /a", nil, 1},
		{"method", "POST /a", nil, 5},
		{"method before headers", "PUT /a", []string{"X-One: 1"}, 5},
		{"method in another case", "post /a", nil, 1},
		{"header", "GET /a", []string{"X-One: 1"}, 3},
		{"header before query", "GET /a?q=1", []string{"X-One: 1"}, 3},
		{"header with another value", "GET /a", []string{"X-One: 11"}, 1},
		{"more headers", "GET /a", []string{"X-One: 1", "X-Two: aa"}, 4},
		{"regex matches the whole value", "GET /a", []string{"X-One: 1", "X-Two: ab"}, 3},
		{"regex is not cut by its alternatives", "GET /a", []string{"X-One: 1", "X-Two: bb"}, 3},
		{"lines joined", "GET /a", []string{"X-Many: 1", "X-Many: 2"}, 6},
		{"one line of two", "GET /a", []string{"X-Many: 1"}, 1},
		{"query", "GET /a?q=1", nil, 2},
		{"the first of a query parameter", "GET /a?q=2&q=1", nil, 1},
		{"more parameters", "GET /a?r%20s=&%71=%31", nil, 7},
		{"a plus is a space", "GET /a?r+s&q=1", nil, 7},
		{"empty is not another value", "GET /a?r+s=x&q=1", nil, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lookup(table, request(t, tt.line, tt.fields...)); got != tt.want {
				t.Errorf("meets rule %d, want %d", got, tt.want)
			}
		})
	}
}

// A header without lines is not there; net/http's parser never leaves one.
func TestLookupByHeaderWithoutLines(t *testing.T) {
	table := table(t, route.Match{Path: "/a", Headers: map[string]route.Value{"X-A": {}}})
	req := request(t, "GET /a")
	req.Header["X-A"] = nil
	if got := lookup(table, req); got != 0 {
		t.Errorf("meets rule %d", got)
	}
	req.Header["X-A"] = []string{""}
	if got := lookup(table, req); got != 1 {
		t.Errorf("an empty line meets rule %d", got)
	}
}

func TestLookupFallsThrough(t *testing.T) {
	table := table(t,
		route.Match{Path: "/a/b", Methods: []string{"GET"}, Hosts: []string{"h"}},
		route.Match{Path: "/a/*", Methods: []string{"POST"}},
		route.Match{Path: "/a/**", Methods: []string{"PUT"}},
		route.Match{Path: "/**/b", Methods: []string{"PATCH"}},
	)
	for method, want := range map[string]int{"GET": 1, "POST": 2, "PUT": 3, "PATCH": 4, "DELETE": 0} {
		if got := lookup(table, request(t, method+" //h/a/b")); got != want {
			t.Errorf("%s meets rule %d, want %d", method, got, want)
		}
	}
}

func TestLookupKeepsTheOrderOfTheFile(t *testing.T) {
	table := table(t,
		route.Match{Path: "/a", Headers: map[string]route.Value{"X-A": {Regex: ".*x.*"}}},
		route.Match{Path: "/a", Headers: map[string]route.Value{"X-A": {Regex: ".*y.*"}}},
	)
	for value, want := range map[string]int{"xy": 1, "yx": 1, "y": 2} {
		if got := lookup(table, request(t, "GET /a", "X-A: "+value)); got != want {
			t.Errorf("%s meets rule %d, want %d", value, got, want)
		}
	}
}

func TestEmptyTable(t *testing.T) {
	if got := lookup(table(t), request(t, "GET //h/a")); got != 0 {
		t.Errorf("an empty table has rule %d", got)
	}
}

func TestTableKeepsItsRules(t *testing.T) {
	given := rules(route.Match{Path: "/a"})
	table, err := route.NewTable(given)
	if err != nil {
		t.Fatal(err)
	}
	given[0].Value = 7
	if got := lookup(table, request(t, "GET /a")); got != 1 {
		t.Errorf("the caller changed the table's rule to %d", got)
	}
}

func TestNewTableRefuses(t *testing.T) {
	long := strings.Repeat("a", 64)
	tests := []struct {
		name  string
		match route.Match
		want  string
	}{
		{"pattern", route.Match{Path: "/v*"}, "whole segment"},
		{"no path", route.Match{}, "slash"},
		{"method", route.Match{Path: "/", Methods: []string{"GE T"}}, "not a token"},
		{"empty method", route.Match{Path: "/", Methods: []string{""}}, "not a token"},
		{"method in lower case", route.Match{Path: "/", Methods: []string{"get"}}, `write "GET"`},
		{"any host", route.Match{Path: "/", Hosts: []string{"*"}}, "leave hosts out"},
		{"empty host", route.Match{Path: "/", Hosts: []string{""}}, "leave hosts out"},
		{"host with port", route.Match{Path: "/", Hosts: []string{"a:80"}}, "port"},
		{"host with scheme", route.Match{Path: "/", Hosts: []string{"http://a"}}, "scheme"},
		{"star inside a host", route.Match{Path: "/", Hosts: []string{"a.*.com"}}, "*.example.com"},
		{"star inside a label", route.Match{Path: "/", Hosts: []string{"a*.com"}}, "*.example.com"},
		{"empty label", route.Match{Path: "/", Hosts: []string{"a..com"}}, "label"},
		{"long label", route.Match{Path: "/", Hosts: []string{long}}, "label"},
		{"long host", route.Match{Path: "/", Hosts: []string{strings.Repeat("a.", 127) + "a"}}, "longer than 253"},
		{"other letters", route.Match{Path: "/", Hosts: []string{"é.com"}}, "xn--"},
		{"host twice", route.Match{Path: "/", Hosts: []string{"a", "A."}}, "twice"},
		{"header name", route.Match{Path: "/", Headers: map[string]route.Value{"X Y": {}}}, "field name"},
		{"header Host", route.Match{Path: "/", Headers: map[string]route.Value{"host": {}}}, "under hosts"},
		{"header twice", route.Match{Path: "/", Headers: map[string]route.Value{"a": {}, "A": {}}}, "twice"},
		{"value and regex", route.Match{Path: "/", Headers: map[string]route.Value{"A": {Exact: "a", Regex: "b"}}}, "one of them"},
		{"bad regex", route.Match{Path: "/", Query: map[string]route.Value{"a": {Regex: "("}}}, "RE2"},
		{"regex that would close our group", route.Match{Path: "/", Query: map[string]route.Value{"a": {Regex: "a)|(?:b"}}}, "RE2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, err := route.NewTable([]route.Rule[int]{{Match: tt.match, Line: 42}})
			var fault *route.RuleError
			if !errors.As(err, &fault) || table != nil {
				t.Fatalf("got %v, want a *RuleError and no table", err)
			}
			if fault.Line != 42 || !strings.Contains(fault.Message, tt.want) {
				t.Errorf("got %q, want line 42 and something about %q", fault, tt.want)
			}
		})
	}
}

func TestNewTableFindsEveryFault(t *testing.T) {
	_, err := route.NewTable(rules(
		route.Match{Path: "a", Methods: []string{"g t", "get"}, Hosts: []string{"*"}},
		route.Match{Path: "/ok"},
		route.Match{Path: "/v*"},
		route.Match{Path: "/ok/"},
	))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v", err)
	}
	var lines []int
	for _, err := range joined.Unwrap() {
		var fault *route.RuleError
		if !errors.As(err, &fault) {
			t.Fatalf("%v is no *RuleError", err)
		}
		lines = append(lines, fault.Line)
	}
	if got := fmt.Sprint(lines); got != "[1 1 1 1 3 4]" {
		t.Errorf("faults on lines %s", got)
	}
}

// A host that is accepted is met by the request that names it.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"example.com", "*.Example.com.", "[::1]", "::ffff:1.2.3.4", "1.2.3.4", "0::", "::1%eth0", "a_b", "a:80", "[a]", "é", "*.*", "fe80::1%eth0", "[", "a.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		table, err := route.NewTable(rules(route.Match{Path: "/", Hosts: []string{host}}))
		if err != nil {
			return
		}
		req := request(t, "GET /")
		req.Host = host
		if suffix, ok := strings.CutPrefix(host, "*."); ok {
			req.Host = "x." + suffix
		} else if strings.Count(host, ":") > 1 && host[0] != '[' {
			req.Host = "[" + host + "]" // so it stands in an authority
		}
		for _, port := range []string{"", ":8080"} {
			req.Host += port
			if lookup(table, req) != 1 && len(req.Host) <= 253 {
				t.Fatalf("%q is not met by %q", host, req.Host)
			}
		}
	})
}
