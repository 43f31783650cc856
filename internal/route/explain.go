package route

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Miss is a rule that a request does not go by, and the first of its conditions that
// stands against that.
type Miss[T any] struct {
	Rule *Rule[T]
	Unmet
}

// Unmet is a condition that a request does not meet.
type Unmet struct {
	Failed string // host, path, method, header NAME, query NAME; rank where another rule comes first
	Want   string // what the condition asks for
	Got    string // what the request has; empty for nothing

	near int // how close it came, for the order of the list
}

// Misses returns why req does not go by the other rules than the one that Lookup
// finds: at most so many, those that came closest first. Of those whose path does not
// match, only rules whose literal beginning has something of the request's path, or
// the request's method of a host of their own, are worth a word; one under several
// hosts is told of once. The request is as for Lookup. This is for people who ask:
// it looks at every rule.
func (t *Table[T]) Misses(req *http.Request, most int) []Miss[T] {
	found, _ := t.Lookup(req)
	best := map[int]Miss[T]{}
	for _, e := range t.entries {
		if &t.rules[e.rule] == found {
			continue
		}
		u, worth := e.unmet(req)
		m := Miss[T]{&t.rules[e.rule], u}
		if before, told := best[e.rule]; worth && (!told || m.near > before.near) {
			best[e.rule] = m
		}
	}
	var all []Miss[T]
	for i := range t.rules {
		if m, ok := best[i]; ok {
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b Miss[T]) int { return cmp.Compare(b.near, a.near) })
	return all[:min(len(all), most)]
}

// The closeness of a miss, under which the literals that a path shares are added.
const (
	nearRank   = 50000
	nearQuery  = 40000
	nearHeader = 30000
	nearMethod = 20000
	nearHost   = 10000
)

// unmet returns the first condition of e that req does not meet, and whether it came
// close enough to be worth a word.
func (e *entry) unmet(req *http.Request) (u Unmet, worth bool) {
	var buf [hostMax]byte
	host := string(foldHost(req.Host, buf[:]))
	at, named := e.host == "" || e.host == host, e.host != ""
	if suffix, wild := wildcard(e.host); wild {
		at = len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	matches, shared := e.pattern.Match(req.URL.Path), e.pattern.shared(req.URL.Path)
	switch {
	case !at:
		return Unmet{"host", e.host, req.Host, nearHost}, matches
	case !matches:
		return Unmet{"path", e.pattern.String(), req.URL.Path, shared}, shared > 0 || named
	case len(e.methods) > 0 && !slices.Contains(e.methods, req.Method):
		return Unmet{"method", strings.Join(e.methods, " or "), req.Method, nearMethod}, true
	}
	for i := range e.headers {
		c := &e.headers[i]
		if values, ok := req.Header[c.name]; !ok || !c.joined(values) {
			return Unmet{"header " + c.name, c.value.String(), presence(ok), nearHeader}, true
		}
	}
	for i := range e.query {
		c := &e.query[i]
		if value, ok := first(req.URL.RawQuery, c.name); !ok || !c.holds(value) {
			return Unmet{"query " + c.name, c.value.String(), presence(ok), nearQuery}, true
		}
	}
	return Unmet{Failed: "rank", near: nearRank}, true
}

// presence stands for a value that may be a secret.
func presence(there bool) string {
	if there {
		return "another value"
	}
	return ""
}

// shared returns how many literals the pattern's beginning has in common with path.
func (p Pattern) shared(path string) int {
	n := 0
	for _, g := range p.segments[:p.literals] {
		name, rest, more := next(path)
		if !more || name != g.name {
			break
		}
		n, path = n+1, rest
	}
	return n
}

// String says what the value is to be.
func (v Value) String() string {
	if v.Regex != "" {
		return fmt.Sprintf("a match of %q", v.Regex)
	}
	return fmt.Sprintf("%q", v.Exact)
}
