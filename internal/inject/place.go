package inject

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// place is a value in a document, and the keys that lead to it.
type place struct {
	node *yaml.Node
	path string
	line int // where it begins: its key's line, or a list member's own
}

func (p place) under(key string) string {
	if p.path == "" {
		return key
	}
	return p.path + "." + key
}

// deref returns what an alias stands for.
func deref(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// maxMerged bounds how many maps a look-up follows merge keys into.
const maxMerged = 100

// read returns the value at key in map n, its own or a merged one; nil where there
// is none or it is null.
func read(n *yaml.Node, key string) *yaml.Node {
	left := maxMerged
	return lookup(n, key, &left)
}

func lookup(n *yaml.Node, key string, left *int) *yaml.Node {
	n = deref(n)
	if n == nil || n.Kind != yaml.MappingNode || *left == 0 {
		return nil
	}
	*left--
	if _, value := own(n, key); value != nil {
		value = deref(value)
		if value.ShortTag() == "!!null" {
			return nil
		}
		return value
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() != "!!merge" {
			continue
		}
		merged := []*yaml.Node{n.Content[i+1]}
		if from := deref(n.Content[i+1]); from.Kind == yaml.SequenceNode {
			merged = from.Content
		}
		for _, m := range merged {
			if value := lookup(m, key, left); value != nil {
				return value
			}
		}
	}
	return nil
}

// at is read, along several keys.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		n = read(n, key)
	}
	return n
}

// text returns the scalar at key, or "".
func text(n *yaml.Node, keys ...string) string {
	if v := at(n, keys...); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

// items returns the members of the list at key.
func items(n *yaml.Node, key string) []*yaml.Node {
	list := read(n, key)
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]*yaml.Node, len(list.Content))
	for i, item := range list.Content {
		all[i] = deref(item)
	}
	return all
}

// own returns the key and the value that map n has itself, the value not followed.
func own(n *yaml.Node, key string) (k, v *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key && n.Content[i].Kind == yaml.ScalarNode {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// lineOf returns where key stands in map n, or n itself.
func lineOf(n *yaml.Node, key string) int {
	if k, _ := own(n, key); k != nil {
		return k.Line
	}
	return n.Line
}

// member returns the place of p's map or list at key, to be edited: what comes from
// elsewhere, or is used elsewhere too, is refused. The place has no node where there
// is nothing.
func (d *document) member(p place, key string, kind yaml.Kind) (place, bool) {
	in, path := d.file.in, p.under(key)
	k, v := own(p.node, key)
	switch {
	case k == nil && read(p.node, key) != nil:
		in.fault(p.line, "%s: comes from a merge key (<<): write it out here, so that the sidecar goes nowhere else", path)
		return place{}, false
	case k == nil || v.Kind == yaml.ScalarNode && v.ShortTag() == "!!null":
		return place{path: path, line: p.line}, true
	case v.Kind != kind:
		if v.Kind == yaml.AliasNode {
			in.fault(k.Line, "%s: is an alias (*%s): write it out here, so that the sidecar goes nowhere else", path, v.Value)
		} else {
			in.fault(k.Line, "%s: want %s, found %s", path, kindName(kind), found(v))
		}
		return place{}, false
	}
	return d.checked(place{v, path, k.Line})
}

// entry is member, for an item of p's list.
func (d *document) entry(p place, i int) (place, bool) {
	item, path := p.node.Content[i], fmt.Sprintf("%s[%d]", p.path, i)
	switch item.Kind {
	case yaml.MappingNode:
		return d.checked(place{item, path, item.Line})
	case yaml.AliasNode:
		d.file.in.fault(item.Line, "%s: is an alias (*%s): write it out here, so that the sidecar goes nowhere else", path, item.Value)
	default:
		d.file.in.fault(item.Line, "%s: want a map, found %s", path, found(item))
	}
	return place{}, false
}

// checked refuses a place that an alias repeats, and a map that has a key twice.
func (d *document) checked(p place) (place, bool) {
	if line, ok := d.shared[p.node]; ok {
		d.file.in.fault(p.line, "%s: is repeated by an alias in line %d: write it out there, so that the sidecar goes nowhere else", p.path, line)
		return place{}, false
	}
	if p.node.Kind != yaml.MappingNode {
		return p, true
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		key := p.node.Content[i]
		if first, twice := seen[key.Value]; twice && key.ShortTag() != "!!merge" {
			d.file.in.fault(key.Line, "%s: stands here twice: first in line %d", p.under(key.Value), first)
			return place{}, false
		}
		seen[key.Value] = key.Line
	}
	return p, true
}

func kindName(k yaml.Kind) string {
	switch k {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a plain value"
	}
}

// found says what n is, for "want …, found …".
func found(n *yaml.Node) string {
	n = deref(n)
	if n.Kind != yaml.ScalarNode {
		return kindName(n.Kind)
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	const most = 40
	if r := []rune(n.Value); len(r) > most {
		return fmt.Sprintf("%q…", string(r[:most]))
	}
	return fmt.Sprintf("%q", n.Value)
}
