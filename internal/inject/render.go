package inject

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxRepairs bounds how many documents are mended one by one.
const maxRepairs = 16

// render returns the file as its trees say. Documents that have not changed keep
// every byte, and so does, where splicing can do it, the rest of those that have.
func (f *file) render() ([]byte, error) {
	for range maxRepairs {
		out := f.spliced()
		wrong := f.misspoken(out)
		if wrong < 0 {
			return out, nil
		}
		if wrong == len(f.docs) || f.docs[wrong].anew || len(f.docs[wrong].touched) == 0 {
			break // spoilt from outside
		}
		f.docs[wrong].anew = true
	}
	for _, d := range f.docs {
		d.anew = len(d.touched) > 0
	}
	if out := f.spliced(); f.misspoken(out) < 0 {
		return out, nil
	}
	return nil, errRender
}

// spliced returns the file's text with every change.
func (f *file) spliced() []byte {
	var all []splice
	for _, d := range f.docs {
		if d.anew {
			all = append(all, d.whole())
		} else {
			all = append(all, d.splices...)
		}
	}
	if len(all) == 0 {
		return []byte(strings.Join(f.rows, "\n"))
	}
	slices.SortStableFunc(all, splice.compare)
	var out []string
	next := 0
	for _, s := range all {
		out = append(out, f.rows[next:max(next, s.at)]...)
		out = append(out, s.rows...)
		next = max(next, s.at+s.drop)
	}
	out = append(out, f.rows[next:]...)
	if out[len(out)-1] != "" && next == len(f.rows) {
		out = append(out, "") // the last line was added: it ends as lines do
	}
	return []byte(strings.Join(out, "\n"))
}

// whole returns the splice that writes the document anew.
func (d *document) whole() splice {
	d.unflow(d.node)
	from := d.node.Content[0].Line - 1
	for from > 0 && !separates(d.file.rows[from]) {
		from--
	}
	var rows []string
	if separates(d.file.rows[from]) {
		rows = append(rows, "---")
	}
	to := max(from+1, d.node.Content[0].Line)
	for to < len(d.file.rows) && !separates(d.file.rows[to]) {
		to++
	}
	text, err := encode(d.node)
	if err != nil {
		return splice{} // render sees that nothing has changed
	}
	rows = append(rows, d.file.split(text)...)
	return splice{at: from, drop: to - from, rows: rows}
}

// unflow has what leads to a change written in block style: reports whether n does.
func (d *document) unflow(n *yaml.Node) bool {
	leads := d.touched[n]
	for _, child := range n.Content {
		leads = d.unflow(child) || leads
	}
	if leads {
		n.Style &^= yaml.FlowStyle
	}
	return leads
}

// misspoken returns the first document that text has otherwise than the trees, the
// number of documents where text has more, or -1.
func (f *file) misspoken(text []byte) int {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for i, d := range f.docs {
		var got yaml.Node
		if dec.Decode(&got) != nil || !same(&got, d.node) {
			return i
		}
	}
	var more yaml.Node
	if !errors.Is(dec.Decode(&more), io.EOF) {
		return len(f.docs)
	}
	return -1
}

// split returns the lines of an encoded node, ended as the file's are.
func (f *file) split(text string) []string {
	rows := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if strings.HasSuffix(f.rows[0], "\r") {
		for i := range rows {
			rows[i] += "\r"
		}
	}
	return rows
}
