package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxValues bounds how many values a file may unfold to.
const maxValues = 300_000

// spend counts n values at p, and reports false when that is too many.
func (l *loader) spend(n int, p place) bool {
	if l.left >= 0 && l.left < n {
		l.unread(p, "the file unfolds to more than %d values: use fewer aliases", maxValues)
	}
	l.left = max(-1, l.left-n)
	return l.left >= 0
}

// value reads the value at p into v, whose field has the given tags. What v holds
// already stays where the file says nothing. Faults are reported and leave v as it
// was.
func (l *loader) value(p place, tags reflect.StructTag, v reflect.Value) {
	if !l.spend(1, p) {
		return
	}
	p.node = deref(p.node)
	switch {
	case v.Kind() == reflect.Pointer:
		l.pointer(p, tags, v)
	case isScalar(v.Type()):
		l.scalar(p, tags, v)
	case p.node.ShortTag() == "!!null": // a block or list of which nothing is said
	case v.Kind() == reflect.Struct:
		l.block(p, tags, v)
	case v.Kind() == reflect.Map:
		l.entries(p, tags, v)
	case v.Kind() == reflect.Slice:
		l.list(p, tags, v)
	}
}

// pointer reads into a copy of what v points to, since others may share it.
func (l *loader) pointer(p place, tags reflect.StructTag, v reflect.Value) {
	elem := v.Type().Elem()
	if isScalar(elem) {
		fresh := reflect.New(elem)
		l.scalar(p, tags, fresh.Elem())
		v.Set(fresh)
		return
	}
	if p.node.ShortTag() == "!!null" {
		if elem == reflect.TypeFor[Consul]() { // which is thought to be on, then
			l.warnings = append(l.warnings, Problem{File: l.File, Line: p.line, Message: p.path + ": says nothing, and so is not there: for the agent on this host write consul: {}"})
		}
		return
	}
	if off := tags.Get("off"); off != "" && p.node.Kind == yaml.ScalarNode && p.node.Value == off {
		v.SetZero()
		return
	}
	fresh := reflect.New(elem)
	if v.IsNil() {
		fresh.Elem().Set(blank(elem))
	} else {
		fresh.Elem().Set(v.Elem())
	}
	l.block(p, tags, fresh.Elem())
	v.Set(fresh)
}

// block reads a map whose keys the schema fixes, or its short form.
func (l *loader) block(p place, tags reflect.StructTag, v reflect.Value) {
	fields := fieldsOf(v.Type())
	if p.node.Kind == yaml.ScalarNode {
		if f, ok := shortOf(fields); ok {
			if f.key != "" {
				l.lines[under(p.path, f.key)] = p.line
			}
			l.value(p, f.tags, v.Field(f.index))
			return
		}
	}
	if p.node.Kind != yaml.MappingNode {
		l.unfit(p, tags, v.Type())
		return
	}
	if f, ok := shortOf(fields); ok && f.key == "" && len(p.node.Content) == 0 {
		l.unfit(p, tags, v.Type())
		return
	}
	setLine(v, p.line)
	members := map[string]member{}
	for _, m := range l.members(p) {
		if _, ok := fieldOf(fields, m.key); !ok {
			if len(l.problems) < maxProblems { // else nobody would read the advice
				l.unread(m.place, "unknown key%s", advice(v.Type(), m.key))
			}
			continue
		}
		members[m.key] = m
	}
	for _, f := range fields { // in the schema's order
		m, ok := members[f.key]
		if ok && (isScalar(f.typ) || deref(m.node).ShortTag() != "!!null") { // a block of which nothing is said is not there
			l.lines[m.path] = m.line
		}
		switch {
		case !ok:
		case f.tags.Get("inherit") != "":
			l.overrides = append(l.overrides, override{owner: v.Addr().Interface(), field: f, place: m.place})
		default:
			l.value(m.place, f.tags, v.Field(f.index))
		}
	}
}

// entries reads a map whose keys are the user's.
func (l *loader) entries(p place, tags reflect.StructTag, v reflect.Value) {
	if p.node.Kind != yaml.MappingNode {
		l.unfit(p, tags, v.Type())
		return
	}
	elem := v.Type().Elem()
	fresh := reflect.MakeMap(v.Type())
	spelled := map[string]string{}
	for _, m := range l.members(p) {
		l.lines[m.path] = m.line
		if want := conform(tags.Get("keys"), m.key); want != "" {
			l.fault(m.path, "as a key, want %s", want)
			continue
		}
		if tags.Get("keys") == "header" || tags.Get("keys") == "edit" {
			if other, twice := spelled[strings.ToLower(m.key)]; twice {
				l.fault(m.path, "is the same header as %s", other)
				continue
			}
			spelled[strings.ToLower(m.key)] = m.key
		}
		entry := reflect.New(elem).Elem()
		into := entry
		if elem.Kind() == reflect.Pointer {
			entry.Set(reflect.New(elem.Elem()))
			into = entry.Elem()
		}
		into.Set(blank(into.Type()))
		setLine(into, m.line)
		if name := nameOf(into); name.IsValid() {
			name.SetString(m.key)
		}
		l.value(place{m.node, m.path, m.line}, tags, into)
		fresh.SetMapIndex(reflect.ValueOf(m.key), entry)
	}
	v.Set(fresh)
}

// list reads a list.
func (l *loader) list(p place, tags reflect.StructTag, v reflect.Value) {
	if p.node.Kind == yaml.ScalarNode && v.Type() == reflect.TypeFor[[]StatusRange]() {
		l.ranges(p, tags, v)
		return
	}
	if p.node.Kind != yaml.SequenceNode {
		l.unfit(p, tags, v.Type())
		return
	}
	fresh := reflect.MakeSlice(v.Type(), len(p.node.Content), len(p.node.Content))
	for i, node := range p.node.Content {
		at := place{node, item(p.path, i), node.Line}
		l.lines[at.path] = at.line
		into := fresh.Index(i)
		if into.Kind() == reflect.Pointer {
			into.Set(reflect.New(into.Type().Elem()))
			into = into.Elem()
		}
		into.Set(blank(into.Type()))
		setLine(into, at.line)
		l.value(at, tags, into)
	}
	v.Set(fresh)
}

// ranges reads a list of status ranges from one text, "200-299,401".
func (l *loader) ranges(p place, tags reflect.StructTag, v reflect.Value) {
	parts := strings.Split(p.node.Value, ",")
	fresh := reflect.MakeSlice(v.Type(), len(parts), len(parts))
	for i, part := range parts {
		node := *p.node
		node.Value = strings.TrimSpace(part)
		l.scalar(place{&node, p.path, p.line}, tags, fresh.Index(i))
	}
	v.Set(fresh)
}

// unfit reports a value of the wrong kind.
func (l *loader) unfit(p place, tags reflect.StructTag, t reflect.Type) {
	l.unread(p, "want %s, found %s", wants(t, tags), found(p.node))
}

// found says what stands in the file, for a fault. What ${…} put there stays
// hidden, and so do credentials in a URL.
func found(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) == 0:
		return "an empty map"
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%q", shorten(maskUserinfo(n.Value)))
}

// shorten bounds what a fault quotes.
func shorten(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
