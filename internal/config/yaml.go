package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// syntaxError takes the parser's error apart: it has the line in its text only.
var syntaxError = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)`)

// parse returns the top node of a file that holds one document or none.
func (l *loader) parse(text []byte) (*yaml.Node, bool) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, true
	} else if err != nil {
		l.misread(text, err)
		return nil, false
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		l.faultAt(second.Line, "a second document begins here: one file holds one configuration")
		return nil, false
	} else if !errors.Is(err, io.EOF) {
		l.misread(text, err)
		return nil, false
	}
	return doc.Content[0], true
}

// misread reports what the YAML parser refused.
func (l *loader) misread(text []byte, err error) {
	part := syntaxError.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	message := part[2]
	line, _ := strconv.Atoi(part[1]) // absent: the parser does not tell
	if line > 0 && strings.HasPrefix(message, "did not find expected") {
		line++ // of these the parser counts lines from zero
	}
	rows := strings.Split(string(text), "\n")
	for i, row := range rows {
		indent := row[:len(row)-len(strings.TrimLeft(row, " \t"))]
		if strings.Contains(indent, "\t") && (i+1 == line || i == line) {
			l.faultAt(i+1, "is indented with a tab: YAML wants spaces")
			return
		}
	}
	if line == 0 {
		line = 1 + slices.IndexFunc(rows, func(row string) bool { return culprit(row, message) })
	}
	l.faultAt(line, "is not YAML: %s", message)
}

// culprit reports whether row has what a message without a line complains of.
func culprit(row, message string) bool {
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return strings.Contains(row, "*"+name)
	}
	control := func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f }
	return strings.HasPrefix(message, "control characters") && strings.IndexFunc(row, control) >= 0
}

// place is a value in the file, and the key path that leads to it.
type place struct {
	node *yaml.Node
	path string
	line int // where it begins: its key's line, or a list member's own
}

// member is one key of a map and its value.
type member struct {
	key string
	place
}

// maxMerges bounds how deep merge keys may be nested.
const maxMerges = 16

// members returns the keys of the map at p, those of merged maps last and only
// where the map does not have them itself. A key written twice is a fault.
func (l *loader) members(p place) []member {
	seen := map[string]int{}
	return l.gather(p, seen, maxMerges)
}

func (l *loader) gather(p place, seen map[string]int, depth int) []member {
	if !l.spend(len(p.node.Content)/2, p) {
		return nil
	}
	own := []member{}
	merged := []*yaml.Node{}
	mine := map[string]int{}
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		key, value := deref(p.node.Content[i]), p.node.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			l.faultAt(key.Line, "%s: a key must be plain text, found %s", orTop(p.path), found(key))
			continue
		}
		path := under(p.path, key.Value)
		if first, twice := mine[key.Value]; twice {
			l.faultAt(key.Line, "%s: stands here twice: first in line %d", path, first)
			continue
		}
		mine[key.Value] = key.Line
		if _, nearer := seen[key.Value]; nearer {
			continue
		}
		seen[key.Value] = key.Line
		own = append(own, member{key.Value, place{value, path, key.Line}})
	}
	for _, node := range merged {
		own = append(own, l.merge(place{node, p.path, node.Line}, seen, depth)...)
	}
	return own
}

// merge returns the members that a merge key adds.
func (l *loader) merge(p place, seen map[string]int, depth int) []member {
	p.node = deref(p.node)
	if !l.spend(1, p) {
		return nil
	}
	if depth == 0 {
		l.unread(p, "merge keys are nested too deep")
		return nil
	}
	switch p.node.Kind {
	case yaml.MappingNode:
		return l.gather(p, seen, depth-1)
	case yaml.SequenceNode:
		all := []member{}
		for _, node := range p.node.Content {
			all = append(all, l.merge(place{node, p.path, node.Line}, seen, depth-1)...)
		}
		return all
	default:
		l.unread(p, "<< merges a map or a list of maps, found %s", found(p.node))
		return nil
	}
}

// deref returns what an alias stands for.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func orTop(path string) string {
	if path == "" {
		return "the top level"
	}
	return path
}
