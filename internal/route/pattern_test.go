package route_test

import (
	"strings"
	"testing"

	"outrider/internal/route"
)

func pattern(t testing.TB, s string) route.Pattern {
	t.Helper()
	p, err := route.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePatternRefuses(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{"", `write "/"`},
		{"api", `write "/api"`},
		{"*", `write "/*"`},
		{"/v*", "whole segment"},
		{"/*.html", "whole segment"},
		{"/***", "whole segment"},
		{"/a/**/**", "write it once"},
		{"/a?b=1", "query"},
		{"/a#b", "?"},
		{"/a%2Fb", "encoded slash"},
		{"/a\\b", "backslash"},
		{"/a%00", "control"},
		{"/a%", "percent-encoding"},
		{"/a/../b", "without"},
		{"/a/%2e", "without"},
		{"/a;x", "parameters"},
		{"/a%3bx", "parameters"},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			_, err := route.ParsePattern(tt.pattern)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
}

func TestPatternMatch(t *testing.T) {
	tests := []struct{ pattern, yes, no string }{
		{"/", "/ /;x", "/a *"},
		{"/**", "/ /a /a/b/", "*"},
		{"/*", "/a /a/ /a;x=1 /*", "/ /a/b"},
		{"/api/users/**", "/api/users /api/users/ /api/users/7 /api/users/7/edit /api/users;x/7", "/api /api/usersx /api/user /API/users"},
		{"/api/auth/login", "/api/auth/login /api/auth/login/ /api/auth/login;x=1 /api/auth;y/login; /api/auth/login/;x /api/auth/%6Cogin", "/api/auth /api/auth/login/x /api/auth/login.x"},
		{"/api/auth/login/", "/api/auth/login /api/auth/login/", "/api/auth"},
		{"//a//b", "/a/b //a//b", "/a"},
		{"/a/*/c", "/a/b/c /a/b;x/c/", "/a/c /a//c /a/b/b/c"},
		{"/a/**/c", "/a/c /a/b/c /a/c/c /a/b/c/d/c", "/a /a/c/d /c"},
		{"/**/b/*/d", "/b/c/d /a/b/b/c/d /b/b/d", "/b/d /a/b/c/d/e"},
		{"/a/**/b/**/c", "/a/b/c /a/x/b/y/c /a/b/b/c/c", "/a/c/b /a/b /a/x/c"},
		{"/caf%c3%a9", "/caf%C3%A9 /café", "/cafe"},
		{"/a%20b", "/a%20b", "/a+b /ab"},
		{"/a!b", "/a!b /a%21b", "/ab"},
		{"/%2A", "/* /%2A", "/a"},
		{"/a+b", "/a+b /a%2Bb", "/a%20b"},
	}
	for _, tt := range tests {
		p := pattern(t, tt.pattern)
		for target := range strings.FieldsSeq(tt.yes) {
			if !p.Match(normal(t, target).Path) {
				t.Errorf("%s does not match %s", tt.pattern, target)
			}
		}
		for target := range strings.FieldsSeq(tt.no) {
			if p.Match(normal(t, target).Path) {
				t.Errorf("%s matches %s", tt.pattern, target)
			}
		}
	}
}

func TestPatternParts(t *testing.T) {
	tests := []struct {
		pattern, prefix string
		exact           bool
		path, tail      string
	}{
		{"/api/users/**", "/api/users", false, "/api/users/7/edit", "/7/edit"},
		{"/api/users/**", "/api/users", false, "/api/users/", "/"},
		{"/api/users/**", "/api/users", false, "/api/users", ""},
		{"/api/users/**", "/api/users", false, "/api/users;x=1/7;y", "/7;y"},
		{"/api/users/**", "/api/users", false, "/api/orders/7", ""},
		{"/**", "/", false, "/a/b", "/a/b"},
		{"/a/*/c/**", "/a", false, "/a/b/c/d", "/d"},
		{"/a/**/c/**", "/a", false, "/a/b/c/d/c/e", "/d/c/e"},
		{"/a/**/c", "/a", false, "/a/b/c", ""},
		{"/*", "/", false, "/a", ""},
		{"/", "/", true, "/", ""},
		{"/a/caf%C3%A9/", "/a/café", true, "/a/café", ""},
	}
	for _, tt := range tests {
		p := pattern(t, tt.pattern)
		if p.String() != tt.pattern || p.Prefix() != tt.prefix || p.Exact() != tt.exact {
			t.Errorf("%s: String %q, Prefix %q, Exact %v; want Prefix %q, Exact %v",
				tt.pattern, p.String(), p.Prefix(), p.Exact(), tt.prefix, tt.exact)
		}
		if got := p.Tail(tt.path); got != tt.tail {
			t.Errorf("%s: the tail of %s is %q, want %q", tt.pattern, tt.path, got, tt.tail)
		}
	}
}

func TestZeroPatternMatchesNothing(t *testing.T) {
	var p route.Pattern
	if p.Match("/") || p.Match("") || p.Exact() || p.Tail("/a") != "" {
		t.Error("the zero Pattern matches")
	}
}

func TestPatternMatchAllocatesNothing(t *testing.T) {
	p, path := pattern(t, "/a/**/b/*/c/**"), "/a/x/b/y/b;x=1/z/c/d"
	if n := testing.AllocsPerRun(100, func() {
		if !p.Match(path) || p.Tail(path) != "/d" {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// reference is matching as it is defined, without care for its cost.
func reference(pattern, path []string) bool {
	switch {
	case len(pattern) == 0:
		return len(path) == 0
	case pattern[0] == "**":
		return reference(pattern[1:], path) || len(path) > 0 && reference(pattern, path[1:])
	case len(path) == 0:
		return false
	default:
		return (pattern[0] == "*" || pattern[0] == path[0]) && reference(pattern[1:], path[1:])
	}
}

func FuzzPatternMatch(f *testing.F) {
	f.Add("/a/**/b", "/a/x/b")
	f.Add("/**/a/*/**", "/a/a/a")
	f.Add("/a*", "/%2e")
	f.Add("/**/a/**/a/b", "/a/a/b/a/b")
	f.Fuzz(func(t *testing.T, s, target string) {
		if len(s) > 40 || len(target) > 40 {
			return // the reference is exponential
		}
		p, err := route.ParsePattern(s)
		if err != nil {
			return
		}
		again, err := route.ParsePattern(p.String())
		if err != nil || again.Prefix() != p.Prefix() || again.Exact() != p.Exact() {
			t.Fatalf("%q parses otherwise the second time: %v", s, err)
		}
		plain := func(s string) bool { return !strings.ContainsAny(s, "%;.") && !strings.Contains(s, "//") }
		if !plain(s) || !plain(target) || len(target) == 0 || target[0] != '/' {
			return
		}
		want := reference(split(s), split(target))
		if got := p.Match(target); got != want {
			t.Fatalf("%q on %q: %v, want %v", s, target, got, want)
		}
		if tail := p.Tail(target); !strings.HasSuffix(target, tail) {
			t.Fatalf("%q on %q: the tail is %q", s, target, tail)
		}
	})
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
