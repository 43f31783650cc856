package route

import (
	"fmt"
	"slices"
	"strings"
)

// unreachable returns an error for each rule that no request can reach, because
// under each of its hosts an entry ranked before it takes all its requests.
func unreachable(ranked []*entry) []*RuleError {
	// Who takes all of another's requests and comes before it has the same host and
	// the same literals before the first wildcard: only those need comparing.
	type home struct {
		host, prefix string
		literals     int
	}
	before := map[home][]*entry{}
	by := map[int]*entry{} // by the rule that is taken from
	reachable := map[int]bool{}
	for _, e := range ranked {
		at := home{e.host, e.pattern.prefix, e.pattern.literals}
		i := slices.IndexFunc(before[at], func(other *entry) bool { return other.takesAll(e) })
		if i < 0 {
			before[at] = append(before[at], e)
			reachable[e.rule] = true
		} else if by[e.rule] == nil {
			by[e.rule] = before[at][i]
		}
	}
	var errs []*RuleError
	for _, e := range ranked {
		other := by[e.rule]
		if other == nil || reachable[e.rule] {
			continue
		}
		delete(by, e.rule) // once a rule, not once a host
		errs = append(errs, &RuleError{Line: e.line, Message: e.explain(other)})
	}
	slices.SortStableFunc(errs, func(a, b *RuleError) int { return a.Line - b.Line })
	return errs
}

// explain says why other leaves nothing for e.
func (e *entry) explain(other *entry) string {
	if other.same(e) {
		return fmt.Sprintf("path %q: the rule on line %d has the same conditions: remove one of them (lines %d and %d)",
			e.pattern, other.line, other.line, e.line)
	}
	return fmt.Sprintf("path %q: no request can reach this rule: %q on line %d comes before it and takes them all (lines %d and %d)",
		e.pattern, other.pattern, other.line, other.line, e.line)
}

// same reports whether the entries match alike.
func (e *entry) same(other *entry) bool { return e.takesAll(other) && other.takesAll(e) }

// takesAll reports whether every request that meets other meets e. The two share a
// host.
func (e *entry) takesAll(other *entry) bool {
	if len(e.methods) > 0 {
		if len(other.methods) == 0 {
			return false
		}
		for _, method := range other.methods {
			if !slices.Contains(e.methods, method) {
				return false
			}
		}
	}
	return implied(e.headers, other.headers) && implied(e.query, other.query) &&
		contains(e.pattern.segments, other.pattern.segments)
}

// implied reports whether each of wide's conditions holds wherever narrow's do.
func implied(wide, narrow []condition) bool {
	for _, w := range wide {
		i, ok := slices.BinarySearchFunc(narrow, w.name, func(c condition, name string) int { return strings.Compare(c.name, name) })
		if !ok {
			return false
		}
		n := narrow[i]
		if w.value != n.value && (n.regex != nil || !w.holds(n.value.Exact)) {
			return false
		}
	}
	return true
}
