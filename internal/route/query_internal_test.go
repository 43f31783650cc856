package route

import (
	"net/url"
	"testing"
)

func FuzzFirst(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "b=1;c&b=2", "b=%zz&b=3", "%62=+", "b", "=x&&b=", "a&b&b=1"} {
		f.Add(seed, "b")
	}
	f.Add("=x", "")
	f.Fuzz(func(t *testing.T, query, name string) {
		value, ok := first(query, name)
		values, _ := url.ParseQuery(query) // what it could not parse is left out
		if want := values[name]; ok != (len(want) > 0) || ok && value != want[0] {
			t.Fatalf("%q of %q: got %q, %v; net/url says %q", name, query, value, ok, want)
		}
	})
}
