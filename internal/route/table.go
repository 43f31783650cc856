package route

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Rule is a match and what it leads to.
type Rule[T any] struct {
	Match Match
	Line  int // where it stands in the configuration; zero is unknown
	Value T
}

// RuleError is what is wrong with one rule.
type RuleError struct {
	Line    int // of the rule
	Message string
}

// Error returns the message behind its line.
func (e *RuleError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// Table finds the rule that a request meets. It never changes: many goroutines may
// use it at once.
type Table[T any] struct {
	rules   []Rule[T]
	entries []*entry // ranked
	index   index
}

// NewTable ranks rules. Its error joins a *RuleError for every fault of every rule:
// what cannot be parsed, and rules that no request can reach, because another takes
// them all. What several others take only together is not found out.
func NewTable[T any](rules []Rule[T]) (*Table[T], error) {
	t := &Table[T]{rules: append([]Rule[T](nil), rules...)}
	var entries []*entry
	var errs []error
	for i := range t.rules {
		r := &t.rules[i]
		compiled, faults := compile(&r.Match)
		for _, e := range compiled {
			e.rule, e.line = i, r.Line
		}
		for _, fault := range faults {
			errs = append(errs, &RuleError{Line: r.Line, Message: fault.Error()})
		}
		entries = append(entries, compiled...)
	}
	rank(entries)
	for _, err := range unreachable(entries) {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	t.entries, t.index = entries, newIndex(entries)
	return t, nil
}

// Lookup returns the most specific rule that req meets. Its URL has been
// normalised. Lookup allocates nothing, unless conditions have it decode a query
// or join the lines of a header.
func (t *Table[T]) Lookup(req *http.Request) (*Rule[T], bool) {
	if e := t.index.find(req); e != nil {
		return &t.rules[e.rule], true
	}
	return nil, false
}

// entry is a rule under one of its hosts.
type entry struct {
	conditions
	host    string // empty: every host
	pattern Pattern
	rule    int // index in the table
	line    int
}

// compile returns an entry for each host of m, or all that is wrong with it.
func compile(m *Match) (entries []*entry, faults []error) {
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	pattern, err := ParsePattern(m.Path)
	fault(err)
	conditions, errs := m.compile()
	faults = append(faults, errs...)
	hosts := []string{""}
	if len(m.Hosts) > 0 {
		hosts = nil
	}
	seen := map[string]bool{}
	for _, s := range m.Hosts {
		host, err := parseHost(s)
		fault(err)
		if err == nil && seen[host] {
			fault(fmt.Errorf("host %q is there twice", s))
		}
		seen[host] = true
		hosts = append(hosts, host)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	for _, host := range hosts {
		entries = append(entries, &entry{conditions: conditions, host: host, pattern: pattern})
	}
	return entries, nil
}

// wildcard reports whether host is a *.suffix, and returns that with its dot.
func wildcard(host string) (suffix string, ok bool) {
	return strings.CutPrefix(host, "*")
}
