package inject

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one fault, or one note, and its place.
type Problem struct {
	File    string
	Line    int    // from 1; zero where it is the file as a whole
	Message string // what is wrong, and what would be right
}

// String returns the problem as compilers print theirs.
func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Message)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Problems are all that is wrong with a file, by line.
type Problems []Problem

// Error lists them all, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// tidy returns ps by line, each once.
func tidy(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(ps)
}
