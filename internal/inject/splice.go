package inject

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// splice puts rows in place of some.
type splice struct {
	at, drop int // the first row, from 0, and how many
	depth    int // the indent of what is put there
	rows     []string
}

// compare orders splices: those at one row end what stands above it, the deepest first.
func (s splice) compare(t splice) int {
	return cmp.Or(cmp.Compare(s.at, t.at), cmp.Compare(min(s.drop, 1), min(t.drop, 1)), cmp.Compare(t.depth, s.depth))
}

// Each change below is made twice: in the tree, which says what the document must
// be, and as a splice, which says how little of its text changes. render compares.

// put appends key to map m, or sets it right after another key of its.
func (d *document) put(m *yaml.Node, after, key string, v *yaml.Node) {
	d.touched[m] = true
	if _, old := own(m, key); old != nil { // a null, by the callers
		*old = *v
		d.anew = true
		return
	}
	i := len(m.Content)
	if j := slices.IndexFunc(m.Content, func(n *yaml.Node) bool { return n.Value == after }); j >= 0 && after != "" {
		i = j + 2
	}
	for i < len(m.Content) && m.Content[i].Line == 0 { // put there before
		i += 2
	}
	j := i - 2
	for j > 0 && m.Content[j].Line == 0 {
		j -= 2
	}
	if j < 0 || m.Content[j].Line == 0 || m.Style&yaml.FlowStyle != 0 {
		d.anew = true
	} else {
		k, last := m.Content[j], m.Content[j+1]
		dashes := last.Kind == yaml.SequenceNode && last.Column == k.Column
		d.splice(d.end(k.Line-1, k.Column-1, dashes), 0, k.Column-1, object(key, v))
	}
	m.Content = slices.Insert(m.Content, i, value(key), v)
}

// add puts item into list p, before its others or after them.
func (d *document) add(p place, item *yaml.Node, first bool) {
	seq := p.node
	d.touched[seq] = true
	i := len(seq.Content)
	if first {
		i = 0
	}
	switch {
	case len(seq.Content) == 0 || seq.Style&yaml.FlowStyle != 0 || seq.Content[0].Line == p.line:
		d.anew = true
	case first:
		d.splice(p.line, 0, seq.Column-1, list(item)) // above the comments of the item that was first
	default:
		last := seq.Content[i-1]
		for j := i - 1; j > 0 && last.Line == 0; j-- { // added before
			last = seq.Content[j-1]
		}
		d.splice(d.end(last.Line-1, seq.Column-1, false), 0, seq.Column-1, list(item))
	}
	seq.Content = slices.Insert(seq.Content, i, item)
}

// exchange puts item in place of the i-th of list p.
func (d *document) exchange(p place, i int, item *yaml.Node) {
	d.touched[p.node] = true
	old := p.node.Content[i]
	if p.node.Style&yaml.FlowStyle != 0 {
		d.anew = true
	} else {
		from := old.Line - 1
		d.splice(from, d.end(from, p.node.Column-1, false)-from, p.node.Column-1, list(item))
	}
	item.Line, item.Column = old.Line, old.Column // what is added after it goes after those rows
	p.node.Content[i] = item
}

// remove takes the i-th item out of list p, and the key too where it was alone.
func (d *document) remove(parent, p place, i int) {
	from, depth := p.node.Content[i].Line-1, p.node.Column-1
	inline := false
	if len(p.node.Content) == 1 {
		j := 0
		for parent.node.Content[j+1] != p.node {
			j += 2
		}
		key := parent.node.Content[j]
		from, depth, inline = key.Line-1, key.Column-1, p.node.Column == key.Column
		d.anew = d.anew || j == 0 // it may share its line with a dash
		parent.node.Content = slices.Delete(parent.node.Content, j, j+2)
		d.touched[parent.node] = true
	} else {
		p.node.Content = slices.Delete(p.node.Content, i, i+1)
		d.touched[p.node] = true
	}
	if p.node.Style&yaml.FlowStyle != 0 {
		d.anew = true
		return
	}
	d.splices = append(d.splices, splice{at: from, drop: d.end(from, depth, inline) - from})
}

// set changes the plain number at n.
func (d *document) set(n *yaml.Node, v int) {
	d.touched[n] = true
	fresh := value(v)
	row, column := d.file.rows[n.Line-1], n.Column-1
	if column > len(row) || !strings.HasPrefix(row[column:], n.Value) {
		d.anew = true
	} else {
		row = row[:column] + fresh.Value + row[column+len(n.Value):]
		d.splices = append(d.splices, splice{at: n.Line - 1, drop: 1, rows: []string{row}})
	}
	n.Value = fresh.Value
}

func (d *document) splice(at, drop, indent int, n *yaml.Node) {
	text, err := encode(n)
	if err != nil {
		d.anew = true
		return
	}
	rows := d.file.split(text)
	for i, row := range rows {
		rows[i] = strings.Repeat(" ", indent) + row
	}
	d.splices = append(d.splices, splice{at: at, drop: drop, depth: indent, rows: rows})
}

// end returns the row after the value that begins in row start, below a key or a
// dash indented by depth. A list may have its dashes right below its key. Comments
// belong to the value where they are indented deeper than its key.
func (d *document) end(start, depth int, dashes bool) int {
	end, loose := start+1, false
	for i := start + 1; i < len(d.file.rows); i++ {
		row := strings.TrimRight(d.file.rows[i], " \t\r")
		in := len(row) - len(strings.TrimLeft(row, " "))
		switch {
		case row == "":
		case separates(row):
			return end
		case row[in] == '#' && (in <= depth || loose):
			loose = true // what follows says whose it is
		case in > depth || dashes && in == depth && row[in] == '-':
			end, loose = i+1, false
		default:
			return end
		}
	}
	return end
}

// separates reports whether row ends a document.
func separates(row string) bool {
	for _, mark := range []string{"---", "..."} {
		if rest, ok := strings.CutPrefix(row, mark); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t\r")) {
			return true
		}
	}
	return false
}

// space puts a blank line above what was put last, where the entry in line has one.
func (d *document) space(line int) {
	blank := func(row int) bool {
		return row >= 0 && row < len(d.file.rows)-1 && strings.TrimSpace(d.file.rows[row]) == ""
	}
	if d.anew || len(d.splices) == 0 {
		return
	}
	if last := &d.splices[len(d.splices)-1]; blank(last.at) || blank(line-2) {
		last.rows = append(d.file.split(""), last.rows...)
	}
}

// swap gives key of map m another value.
func (d *document) swap(m *yaml.Node, key string, v *yaml.Node) {
	d.touched[m] = true
	for i := 0; i+1 < len(m.Content); i += 2 {
		k := m.Content[i]
		if k.Value != key {
			continue
		}
		if m.Style&yaml.FlowStyle != 0 {
			d.anew = true
		} else {
			from := k.Line - 1
			d.splice(from, d.end(from, k.Column-1, false)-from, k.Column-1, object(key, v))
		}
		m.Content[i+1] = v
	}
}
