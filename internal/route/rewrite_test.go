package route_test

import (
	"strings"
	"testing"

	"outrider/internal/route"
)

func TestRewrite(t *testing.T) {
	tests := []struct{ name, pattern, replacement, target, want string }{
		{"tail", "/api/users/**", "/v2/people/**", "/api/users/7/edit?x=1", "/v2/people/7/edit?x=1"},
		{"bare prefix", "/api/users/**", "/v2/**", "/api/users", "/v2"},
		{"trailing slash", "/api/users/**", "/v2/**", "/api/users/", "/v2/"},
		{"to the root", "/api/**", "/**", "/api/a", "/a"},
		{"bare prefix to the root", "/api/**", "/**", "/api", "/"},
		{"whole", "/api/**", "/health", "/api/a/b", "/health"},
		{"whole, exact", "/old", "/new/", "/old", "/new/"},
		{"escapes in the tail", "/a/**", "/b/**", "/a/x%20y/%21/caf%C3%A9", "/b/x%20y/%21/caf%C3%A9"},
		{"escapes before the tail", "/a!/**", "/b/**", "/a%21/x%3Fy", "/b/x%3Fy"},
		{"escapes in the replacement", "/a/**", "/b c%2A!/**", "/a/x", "/b%20c%2A!/x"},
		{"wildcards before the tail", "/a/*/b/**", "/c/**", "/a/%21/b/%21;x/", "/c/%21;x/"},
		{"parameters of the prefix go", "/a/**", "/c/**", "/a;x=1/b;y", "/c/b;y"},
		{"what is refused changes nothing", "/a/**", "/%00/**", "/a/b", "/a/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := normal(t, tt.target)
			route.Rewrite(u, pattern(t, tt.pattern), tt.replacement)
			if got := u.RequestURI(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			before := *u
			if err := route.Normalize(u); err != nil || *u != before {
				t.Errorf("%q is not in normal form: %v", before.RequestURI(), err)
			}
		})
	}
}

func TestStrip(t *testing.T) {
	tests := []struct{ name, pattern, target, want string }{
		{"prefix", "/api/users/**", "/api/users/7?x=1", "/7?x=1"},
		{"bare prefix", "/api/users/**", "/api/users?x=1", "/?x=1"},
		{"trailing slash", "/api/users/**", "/api/users/", "/"},
		{"exact", "/api", "/api", "/"},
		{"exact, escaped", "/a!", "/a%21", "/"},
		{"no literal", "/*/b", "/a/b", "/a/b"},
		{"before the first wildcard", "/a/*/c/**", "/a/b/c/d", "/b/c/d"},
		{"before a ** in the middle", "/a/**/c", "/a/b/c", "/b/c"},
		{"escapes", "/a!/b/**", "/a%21/b/%21/%C3%A9", "/%21/%C3%A9"},
		{"parameters", "/a/**", "/a;x=1/b;y", "/b;y"},
		{"RawPath is dropped where it is needed no longer", "/a!/**", "/a!/b", "/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := normal(t, tt.target)
			route.Strip(u, pattern(t, tt.pattern))
			if got := u.RequestURI(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			before := *u
			if err := route.Normalize(u); err != nil || *u != before {
				t.Errorf("%q is not in normal form: %v", before.RequestURI(), err)
			}
		})
	}
}

func TestStripAllocatesNothing(t *testing.T) {
	p, u := pattern(t, "/api/users/**"), normal(t, "/api/users/7")
	original := *u
	if n := testing.AllocsPerRun(100, func() {
		*u = original
		route.Strip(u, p)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestCheckReplacement(t *testing.T) {
	tests := []struct{ pattern, replacement, want string }{
		{"/a/**", "/b/**", ""},
		{"/a/**", "/**", ""},
		{"/a/**", "/", ""},
		{"/a", "/caf%C3%A9/b c", ""},
		{"/a", "", "slash"},
		{"/a", "b", `write "/b"`},
		{"/a", "/b/**", "no **"},
		{"/a/**/c", "/b/**", "no **"},
		{"/a/**", "/b/*", "star"},
		{"/a/**", "/**/b/**", "star"},
		{"/a/**", "/b**", "star"},
		{"/a", "/b?c", "path only"},
		{"/a", "/b%2Fc", "encoded slash"},
		{"/a", "/b/../c", "dot segments"},
		{"/a/**", "/b//**", "doubled slashes"},
		{"/a", "//b", "doubled slashes"},
	}
	for _, tt := range tests {
		err := route.CheckReplacement(pattern(t, tt.pattern), tt.replacement)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s for %s: got %v, want something about %q", tt.replacement, tt.pattern, err, tt.want)
		}
	}
}
