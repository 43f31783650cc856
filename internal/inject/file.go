package inject

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

// file is a stream of documents.
type file struct {
	in   *injector
	rows []string // its lines, each without its line feed
	docs []*document
}

// syntaxError takes the parser's error apart: it has the line in its text only.
var syntaxError = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)`)

// parse reads every document. It reports whether there is something to edit.
func (f *file) parse(text []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	something := false
	for {
		node := new(yaml.Node)
		err := dec.Decode(node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.misread(err)
			return false
		}
		d := &document{file: f, node: node, shared: map[*yaml.Node]int{}, touched: map[*yaml.Node]bool{}}
		d.survey(node)
		something = something || node.Content[0].ShortTag() != "!!null"
		f.docs = append(f.docs, d)
	}
	if !something {
		f.in.fault(0, "is empty: want a Kubernetes manifest or a compose file")
		return false
	}
	return len(f.in.faults) == 0
}

// misread reports what the YAML parser refused.
func (f *file) misread(err error) {
	part := syntaxError.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	line, _ := strconv.Atoi(part[1]) // absent: the parser does not tell
	if line > 0 && strings.HasPrefix(part[2], "did not find expected") {
		line++ // of these the parser counts lines from zero
	}
	action := slices.IndexFunc(f.rows, func(row string) bool {
		return strings.HasPrefix(strings.TrimLeft(row, " \t-"), "{{")
	})
	if action >= 0 {
		f.in.template(action + 1)
		return
	}
	f.in.fault(line, "is not YAML: %s", part[2])
}

// template refuses what a tool such as helm has still to fill in.
func (in *injector) template(line int) {
	in.fault(line, "{{ … }} is a template's: render it first, as by helm template … | sidecar inject -")
}

// document is one document of a file, and how it changes.
type document struct {
	file    *file
	node    *yaml.Node         // of kind DocumentNode
	shared  map[*yaml.Node]int // what an alias repeats, and the alias' line
	touched map[*yaml.Node]bool
	splices []splice
	anew    bool // it cannot be edited in place
}

// survey finds what aliases repeat, and refuses what is no manifest yet.
func (d *document) survey(n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		d.shared[n.Alias] = n.Line
		return
	}
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode {
		d.file.in.template(n.Line) // {{ x }} parses as a map whose key is a map
		return
	}
	for _, child := range n.Content {
		d.survey(child)
	}
}
