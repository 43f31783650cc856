package route

import (
	"fmt"
	"net/url"
	"strings"
)

// Pattern is a path glob: /api/users/** . A segment of it is a literal, * for
// exactly one segment of any name, or ** for any number of them, none included.
// The zero Pattern matches nothing.
type Pattern struct {
	text     string // as written
	prefix   string // the literals before the first wildcard, decoded
	literals int    // how many they are
	segments []segment
}

// segment is one segment of a pattern.
type segment struct {
	kind kind
	name string // of a literal, decoded
}

// kind is the sort of a segment; the more specific comes first.
type kind int

const (
	literal kind = iota
	one          // *
	end          // no segment at all: the pattern has ended
	deep         // **
)

// ParsePattern parses a path pattern. It is normalised as request paths are, so
// that /caf%c3%a9 and /café are one; %2A is a literal star.
func ParsePattern(s string) (Pattern, error) {
	if !strings.HasPrefix(s, "/") {
		return Pattern{}, fmt.Errorf("path %q does not begin with a slash: write %q", s, "/"+s)
	}
	if strings.ContainsAny(s, "?#") {
		return Pattern{}, fmt.Errorf("path %q has a ? or #: a pattern is a path only; conditions on the query are a key of their own", s)
	}
	recoded, err := recode(s)
	if err != nil {
		return Pattern{}, fmt.Errorf("path %q can match no request: %w", s, err)
	}
	p := Pattern{text: s, segments: []segment{}}
	for raw := range strings.SplitSeq(recoded, "/") {
		if raw == "" {
			continue // doubled and trailing slashes say nothing
		}
		g, err := parseSegment(raw)
		if err != nil {
			return Pattern{}, fmt.Errorf("path %q: %w", s, err)
		}
		if n := len(p.segments); n > 0 && g.kind == deep && p.segments[n-1].kind == deep {
			return Pattern{}, fmt.Errorf("path %q: ** beside ** says nothing more: write it once", s)
		}
		p.segments = append(p.segments, g)
	}
	for _, g := range p.segments {
		if g.kind != literal {
			break
		}
		p.literals++
		p.prefix += "/" + g.name
	}
	return p, nil
}

func parseSegment(raw string) (segment, error) {
	switch raw {
	case "*":
		return segment{kind: one}, nil
	case "**":
		return segment{kind: deep}, nil
	case ".", "..":
		return segment{}, fmt.Errorf("%q is resolved before matching, so no request has it: write the path without", raw)
	}
	if strings.Contains(raw, "*") {
		return segment{}, fmt.Errorf("%q: * stands for a whole segment, ** for any number of them; write %q, or %%2A for a star itself", raw, "*")
	}
	if parameters(raw) >= 0 {
		return segment{}, fmt.Errorf("%q: parameters after ; are passed over in matching: write it without them", raw)
	}
	name, err := url.PathUnescape(raw)
	return segment{kind: literal, name: name}, err
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Match reports whether the pattern matches path: the decoded path of a URL after
// Normalize. It allocates nothing.
func (p Pattern) Match(path string) bool {
	_, ok := p.match(path)
	return ok
}

// Prefix returns the literal prefix before the first wildcard, "/" where there is
// none, and the whole path where there is no wildcard. It is decoded.
func (p Pattern) Prefix() string {
	if p.prefix == "" {
		return "/"
	}
	return p.prefix
}

// Exact reports whether the pattern has no wildcard.
func (p Pattern) Exact() bool { return p.text != "" && p.literals == len(p.segments) }

// Tail returns what a final ** matched of path, with its leading slash: "/7/edit".
// It is empty for the bare prefix, for a pattern without a final **, and for a
// path that does not match.
func (p Pattern) Tail(path string) string {
	tail, _ := p.match(path)
	return tail
}

func (p Pattern) match(path string) (tail string, ok bool) {
	if p.text == "" || path == "" || path[0] != '/' {
		return "", false
	}
	return match(p.segments, path)
}

// match matches path, which is empty or begins with a slash, and returns what a
// final ** took. A ** in the middle takes as little as it can: when what follows
// it does not fit, it takes one segment more, and only the last ** need ever do so.
func match(segments []segment, path string) (tail string, ok bool) {
	var after []segment // what follows the last ** met
	var taken string    // the path after what that ** takes
	for {
		if len(segments) > 0 && segments[0].kind == deep {
			segments = segments[1:]
			if len(segments) == 0 {
				return path, true
			}
			after, taken = segments, path
		}
		name, rest, more := next(path)
		switch {
		case !more && len(segments) == 0:
			return "", true
		case !more:
			return "", false
		case len(segments) > 0 && segments[0].takes(name):
			segments, path = segments[1:], rest
		case after == nil:
			return "", false
		default:
			_, taken, _ = next(taken)
			segments, path = after, taken
		}
	}
}

func (g segment) takes(name string) bool { return g.kind == one || g.name == name }

// next returns the name of the first segment of a decoded path, without its
// parameters, and the path after it. Segments without a name do not count: that is
// how a trailing slash, bare or with parameters, is passed over.
func next(path string) (name, rest string, more bool) {
	for path != "" {
		name, rest = path[1:], ""
		if i := strings.IndexByte(name, '/'); i >= 0 {
			name, rest = name[:i], name[i:]
		}
		if i := strings.IndexByte(name, ';'); i >= 0 {
			name = name[:i]
		}
		if name != "" {
			return name, rest, true
		}
		path = rest
	}
	return "", "", false
}
