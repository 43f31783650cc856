package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one fault, or one warning, and the place to mend it.
type Problem struct {
	File    string // empty where the environment or a flag is at fault; Message then names it
	Line    int    // from 1; zero where it is the file as a whole
	Message string // what is wrong, and what would be right
}

// String returns the problem as compilers print theirs.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return fmt.Sprintf("%s: %s", p.File, p.Message)
	default:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
}

// Problems are all that is wrong with a configuration, by line.
type Problems []Problem

// Error lists them all, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// tidy returns ps by line, each fault once.
func tidy(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.File, b.File), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(ps)
}
