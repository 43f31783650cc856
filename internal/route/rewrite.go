package route

import (
	"fmt"
	"net/url"
	"strings"
)

// CheckReplacement returns what is wrong with a replacement for the paths that p
// matches, and nil for one that Rewrite can use.
func CheckReplacement(p Pattern, replacement string) error {
	base, tail := strings.CutSuffix(replacement, "/**")
	switch {
	case !strings.HasPrefix(replacement, "/"):
		return fmt.Errorf("replacement %q does not begin with a slash: write %q", replacement, "/"+replacement)
	case tail && !p.open():
		return fmt.Errorf("replacement %q: %s has no ** at its end that could be put there", replacement, p)
	case strings.Contains(base, "*"):
		return fmt.Errorf("replacement %q: only /** at the end stands for something; write %%2A for a star itself", replacement)
	case strings.ContainsAny(base, "?#"):
		return fmt.Errorf("replacement %q has a ? or #: it replaces the path only", replacement)
	}
	normal, err := normalize(base)
	if err != nil {
		return fmt.Errorf("replacement %q: %w", replacement, err)
	}
	if base != "" && strings.Count(normal, "/") != strings.Count(base, "/") || strings.Contains(replacement, "//") {
		return fmt.Errorf("replacement %q has dot segments or doubled slashes: write what they come to", replacement)
	}
	return nil
}

// open reports whether the pattern ends in **.
func (p Pattern) open() bool {
	n := len(p.segments)
	return n > 0 && p.segments[n-1].kind == deep
}

// Rewrite replaces u's path, which is normalised and matches p. A replacement that
// ends in /** gets there what the final ** of p matched; any other is the whole new
// path. A replacement that CheckReplacement refuses changes nothing.
func Rewrite(u *url.URL, p Pattern, replacement string) {
	base, open := strings.CutSuffix(replacement, "/**")
	if base != "" {
		var err error
		if base, err = normalize(base); err != nil {
			return
		}
	}
	if open {
		base += after(u, p.Tail(u.Path))
	}
	if base == "" {
		base = "/"
	}
	setPath(u, base)
}

// Strip removes p's literal prefix from u's path, which is normalised and matches
// p. At least "/" stays.
func Strip(u *url.URL, p Pattern) {
	rest := u.Path
	for range p.literals {
		_, rest, _ = next(rest)
	}
	if rest == "" {
		rest = "/"
		u.Path, u.RawPath = rest, ""
		return
	}
	if u.RawPath == "" { // as nearly always: nothing to take apart
		u.Path = rest
		return
	}
	setPath(u, after(u, rest))
}

// after returns the escaped form of tail, which ends u.Path. An encoded slash has
// been refused, so that both forms have the same slashes.
func after(u *url.URL, tail string) string {
	if tail == "" {
		return ""
	}
	escaped := u.EscapedPath()
	for range strings.Count(u.Path, "/") - strings.Count(tail, "/") {
		escaped = escaped[1+strings.IndexByte(escaped[1:], '/'):]
	}
	return escaped
}
