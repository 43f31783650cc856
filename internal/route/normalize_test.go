package route_test

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"outrider/internal/mesh"
	"outrider/internal/route"
)

// parse parses a request target as net/http's server does.
func parse(t testing.TB, target string) *url.URL {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatalf("parse %q: %v", target, err)
	}
	return u
}

// normal parses and normalises a request target.
func normal(t testing.TB, target string) *url.URL {
	t.Helper()
	u := parse(t, target)
	if err := route.Normalize(u); err != nil {
		t.Fatalf("normalize %q: %v", target, err)
	}
	return u
}

func TestNormalize(t *testing.T) {
	tests := []struct{ name, target, want string }{
		{"clean", "/api/users/7", "/api/users/7"},
		{"root", "/", "/"},
		{"absolute form without path", "http://orders", "/"},
		{"absolute form", "http://orders/a/../b", "/b"},
		{"star", "*", "*"},
		{"encoded star", "/%2A", "/%2A"},
		{"encoded unreserved", "/%61pi/%7Euser/%2D%2e%5f", "/api/~user/-._"},
		{"lower-case escape", "/caf%c3%a9", "/caf%C3%A9"},
		{"raw beyond ASCII", "/café", "/caf%C3%A9"},
		{"encoded space", "/a%20b", "/a%20b"},
		{"reserved characters stay as they are", "/a!$&'()*+,=:@b", "/a!$&'()*+,=:@b"},
		{"their escapes stay too", "/%21%24%26%27%28%29%2a%2b%2c%3d%3a%40", "/%21%24%26%27%28%29%2A%2B%2C%3D%3A%40"},
		{"what no path holds raw", `/"<>[]^{|}`, "/%22%3C%3E%5B%5D%5E%7B%7C%7D"},
		{"encoded percent stays", "/%252e%252e/%252F", "/%252e%252e/%252F"},
		{"encoded question mark and hash", "/a%3fb%23c", "/a%3Fb%23c"},
		{"dot", "/a/./b", "/a/b"},
		{"dot at the end", "/a/.", "/a/"},
		{"dot dot", "/a/../b", "/b"},
		{"dot dot at the end", "/a/b/..", "/a/"},
		{"dot dot at the root", "/../../etc/passwd", "/etc/passwd"},
		{"only dot dot", "/..", "/"},
		{"encoded dots", "/a/%2e%2E/%2e/b", "/b"},
		{"half encoded dots", "/a/.%2e/b/%2e./c", "/c"},
		{"names that begin with dots", "/.well-known/..a/...", "/.well-known/..a/..."},
		{"doubled slashes", "//a///b//", "/a/b/"},
		{"doubled slashes before dot dot", "/a//../b", "/b"},
		{"trailing slash", "/a/", "/a/"},
		{"parameters", "/a;x=1/b;y", "/a;x=1/b;y"},
		{"encoded parameters", "/a%3bx", "/a%3Bx"},
		{"session at the root", "/app/;jsessionid=1", "/app/;jsessionid=1"},
		{"query stays", "/a/../b?c=../%2e", "/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := normal(t, tt.target)
			if got := u.EscapedPath(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if decoded, err := url.PathUnescape(tt.want); err != nil || u.Path != decoded {
				t.Errorf("Path is %q, want %q", u.Path, decoded)
			}
			if again := *u; u.RawPath != "" {
				again.RawPath = ""
				if again.EscapedPath() == tt.want {
					t.Errorf("RawPath %q is not needed", u.RawPath)
				}
			}
			if query := parse(t, tt.target).RawQuery; u.RawQuery != query {
				t.Errorf("query is %q, want %q", u.RawQuery, query)
			}
		})
	}
}

func TestNormalizeQuery(t *testing.T) {
	tests := []struct{ name, query, want string }{
		{"none", "", ""},
		{"clean", "a=1&b=2", "a=1&b=2"},
		{"all that a query may hold", "aZ09-._~!$&'()*+,;=:@/?", "aZ09-._~!$&'()*+,;=:@/?"},
		{"brackets", "a[]=1&b[c]=2", "a[]=1&b[c]=2"},
		{"escapes stay as they are", "a=%2e%2F%c3%a9%00%20", "a=%2e%2F%c3%a9%00%20"},
		{"bad escapes too", "a=100%&b=%zz&c=%2", "a=100%&b=%zz&c=%2"},
		{"what no query holds raw", "\"<>#\\^`{|}", "%22%3C%3E%23%5C%5E%60%7B%7C%7D"},
		{"beyond ASCII", "q=café&r=\x80\xff", "q=caf%C3%A9&r=%80%FF"},
		{"a bad escape does not become a good one", "a=%\"2", "a=%%222"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := &url.URL{Path: "/a/../b", RawQuery: tt.query}
			if err := route.Normalize(u); err != nil {
				t.Fatal(err)
			}
			if u.RawQuery != tt.want || u.Path != "/b" {
				t.Errorf("got %q and the path %q, want %q", u.RawQuery, u.Path, tt.want)
			}
		})
	}
}

func TestNormalizeRefuses(t *testing.T) {
	tests := []struct {
		name string
		url  url.URL
		want string
	}{
		{"encoded NUL", url.URL{Path: "/a\x00b"}, "control"},
		{"encoded NUL beside an escape", url.URL{Path: "/a\x00!", RawPath: "/a%00!"}, "control"},
		{"newline", url.URL{Path: "/a\n"}, "control"},
		{"DEL", url.URL{Path: "/a\x7f"}, "control"},
		{"encoded DEL", url.URL{Path: "/a\x7f!", RawPath: "/a%7f!"}, "control"},
		{"encoded slash", url.URL{Path: "/a/b", RawPath: "/a%2Fb"}, "encoded slash"},
		{"encoded slash, lower case", url.URL{Path: "/a/../b", RawPath: "/a%2f..%2fb"}, "encoded slash"},
		{"encoded slash beside what net/url would not keep raw", url.URL{Path: `/"/b`, RawPath: `/"%2fb`}, "encoded slash"},
		{"backslash", url.URL{Path: `/a\..\b`}, "backslash"},
		{"encoded backslash", url.URL{Path: `/a\!`, RawPath: "/a%5C!"}, "backslash"},
		{"invalid escape", url.URL{Path: "/a%zz", RawPath: "/a%zz"}, "percent-encoding"},
		{"cut escape", url.URL{Path: "/a%2", RawPath: "/a%2"}, "percent-encoding"},
		{"escape cut short", url.URL{Path: "/a%", RawPath: "/a%"}, "percent-encoding"},
		{"dot dot with parameters", url.URL{Path: "/a/..;x/b"}, "dot segment"},
		{"dot with parameters", url.URL{Path: "/a/.;/b"}, "dot segment"},
		{"encoded dots with parameters", url.URL{Path: "/a/..;x", RawPath: "/a/%2e%2e;x"}, "dot segment"},
		{"dot dot with encoded parameters", url.URL{Path: "/a/..;x", RawPath: "/a/..%3bx"}, "dot segment"},
		{"parameters without a name", url.URL{Path: "/;x/admin"}, "empty segment"},
		{"encoded parameters without a name", url.URL{Path: "/;x;/admin", RawPath: "/%3bx;/admin"}, "empty segment"},
		{"no slash", url.URL{Path: "admin"}, "slash"},
		{"space in the query", url.URL{Path: "/a", RawQuery: "x y HTTP/1.0"}, "query has a space"},
		{"line break in the query", url.URL{Path: "/a", RawQuery: "x\r\nHost: b"}, "control character"},
		{"NUL in the query", url.URL{Path: "/a/../b", RawQuery: "\x00"}, "control character"},
		{"tab in the query", url.URL{Path: "/a", RawQuery: "\t"}, "control character"},
		{"DEL in the query", url.URL{Path: "*", RawQuery: "\x7f"}, "control character"},
		{"encoded slash before a query to escape", url.URL{Path: "/a/b", RawPath: "/a%2Fb", RawQuery: "<"}, "encoded slash"},
		{"opaque", url.URL{Scheme: "http", Opaque: "admin"}, "not a path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.url
			err := route.Normalize(&tt.url)
			var fault *mesh.Fault
			if !errors.As(err, &fault) || fault.Kind != mesh.Malformed {
				t.Fatalf("got %v, want a Fault of kind Malformed", err)
			}
			if !strings.Contains(fault.Text(), tt.want) {
				t.Errorf("the client reads %q, want something about %q", fault.Text(), tt.want)
			}
			if tt.url != before {
				t.Errorf("the refused URL has been changed to %+v", tt.url)
			}
		})
	}
}

// An inconsistent URL never comes from a parser; RawPath is then what counts, for
// it is what was written.
func TestNormalizeInconsistent(t *testing.T) {
	u := &url.URL{Path: "/open", RawPath: "/%61dmin"}
	if err := route.Normalize(u); err != nil {
		t.Fatal(err)
	}
	if u.Path != "/admin" || u.RawPath != "" {
		t.Errorf("got %q and %q", u.Path, u.RawPath)
	}
}

func TestNormalizeDropsSuperfluousRawPath(t *testing.T) {
	u := &url.URL{Path: "/a", RawPath: "/a"}
	if err := route.Normalize(u); err != nil || u.RawPath != "" {
		t.Errorf("got %q, %v", u.RawPath, err)
	}
}

func TestNormalizeAllocatesNothing(t *testing.T) {
	for _, target := range []string{"/api/users/7", "/a%20b/caf%C3%A9", "/a!b", "/.well-known/x", "/a;x=1/", "*", "/a?b[]=%c3%a9&c=%zz"} {
		u := parse(t, target)
		if n := testing.AllocsPerRun(100, func() {
			if err := route.Normalize(u); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", target, n)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{
		"/", "/api/users/7", "/a/../b", "/%2e%2e/%2E", "/a//b/", "/a;x/..;y", "/%3b/a", "/%252e", "/a%2fb",
		"/\\", "/%5c", "/%00", "/!'()*", "/[]\"", "http://h/a/./b", "*", "//h/../a", "/a/%2e%2e%3bx", "/é",
		"/a?b=c#d", "/a?x y HTTP/1.0", "/?\"<>\\^`{|}é", "/?%\"22&a=%zz", "/?a[]=;b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		came := u.RawQuery
		if route.Normalize(u) != nil {
			return
		}
		once := *u
		if err := route.Normalize(u); err != nil {
			t.Fatalf("%q: refused at second sight: %v", once.EscapedPath(), err)
		}
		if *u != once {
			t.Fatalf("%q: normalised twice to %+v, once to %+v", target, *u, once)
		}
		sameQuery(t, came, u.RawQuery)
		if u.Path == "*" {
			return
		}
		escaped := u.EscapedPath()
		if decoded, err := url.PathUnescape(escaped); err != nil || decoded != u.Path {
			t.Fatalf("%q: Path is %q, EscapedPath %q", target, u.Path, escaped)
		}
		for _, path := range []string{escaped, u.Path} {
			if path == "" || path[0] != '/' || strings.Contains(path, "//") || strings.ContainsAny(path, "\\\x00\x7f\n") {
				t.Fatalf("%q: passes %q", target, path)
			}
			for segment := range strings.SplitSeq(path, "/") {
				if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
					t.Fatalf("%q: passes a dot segment: %q", target, path)
				}
			}
		}
		if wire, err := url.ParseRequestURI(escaped); err != nil || wire.Path != u.Path {
			t.Fatalf("%q: an endpoint reads %q as %v, %v", target, escaped, wire, err)
		}
	})
}

// sameQuery fails unless got is fit for a request line, and says what came says.
func sameQuery(t *testing.T, came, got string) {
	t.Helper()
	for i := range len(got) {
		if c := got[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>#\\^`{|}", c) >= 0 {
			t.Fatalf("%q: passes %q", came, got)
		}
	}
	want, wantErr := url.ParseQuery(came)
	values, err := url.ParseQuery(got)
	if (err == nil) != (wantErr == nil) || !maps.EqualFunc(values, want, slices.Equal) {
		t.Fatalf("%q says %v, %v; normalised to %q it says %v, %v", came, want, wantErr, got, values, err)
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, target := range []string{"/api/users/7/orders", "/api/./users//7/%6frders"} {
		b.Run(target, func(b *testing.B) {
			raw := parse(b, target)
			b.ReportAllocs()
			for b.Loop() {
				u := *raw
				if err := route.Normalize(&u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
