package cache

import (
	"strings"
	"testing"
)

// Whatever stands around it, a no-store is seen, and a number is never negative.
func FuzzDirectives(f *testing.F) {
	for _, seed := range []string{"", "max-age=60", `private="a, b", max-age="5"`, `x="\", y`, "a;b", "=", `="`, "max-age = 5", ",,;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, line := range []string{s + ", no-store", "no-store, " + s, s + ";no-store"} {
			d := parseDirectives([]string{line})
			if !d.noStore {
				t.Errorf("%q: no-store is not seen", line)
			}
			for _, n := range []delta{d.maxAge, d.sMaxAge, d.minFresh} {
				if n.value < 0 || (n.value > 0 && !n.given) {
					t.Errorf("%q: %+v", line, n)
				}
			}
		}
	})
}

func FuzzListsTag(f *testing.F) {
	for _, seed := range []string{"", `"1"`, `W/"1", "2"`, `"a,b"`, "*", `"`, `W/`, `,,"x`} {
		f.Add(seed, `"1"`)
	}
	f.Fuzz(func(t *testing.T, line, tag string) {
		got := listsTag([]string{line}, tag)
		if got && strings.TrimSpace(line) != "*" && !strings.Contains(line, strings.TrimPrefix(tag, "W/")) {
			t.Errorf("%q is said to list %q", line, tag)
		}
		if again := listsTag([]string{line}, "W/"+strings.TrimPrefix(tag, "W/")); again != got {
			t.Errorf("%q and %q: %v, and weak %v", line, tag, got, again)
		}
	})
}
