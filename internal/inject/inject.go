package inject

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes is the largest file that Inject reads.
const MaxBytes = 8 << 20

// Options say what is added. Zero values mean what is said at each.
type Options struct {
	File        string // its name in messages; empty: "standard input"
	Image       string // the sidecar's image; empty: outrider:latest
	Consul      string // the agent's host:port; empty: the node's agent (Kubernetes), consul:8500 (compose)
	ConfigMap   string // Kubernetes: has sidecar.yml; empty: outrider-sidecar
	TokenSecret string // Kubernetes: the Secret whose key token is for Consul; empty: none
	Plain       bool   // Kubernetes: a container among the others, for clusters before 1.30
	Config      string // compose: the file that sidecars mount; empty: ./sidecar.yml
	All         bool   // compose: every service, labelled or not
}

func (o Options) withDefaults() Options {
	o.File = cmp.Or(o.File, "standard input")
	o.Image = cmp.Or(o.Image, "outrider:latest")
	o.ConfigMap = cmp.Or(o.ConfigMap, "outrider-sidecar")
	o.Config = cmp.Or(o.Config, "./sidecar.yml")
	return o
}

// Result is the file with its sidecars.
type Result struct {
	Text  []byte
	Notes []Problem // what is worth a look, and no fault
}

// Inject returns text with a sidecar for each workload in it. Its error is a
// Problems, with every fault that it found.
func Inject(text []byte, o Options) (Result, error) {
	in := &injector{Options: o.withDefaults()}
	out := in.inject(text)
	if len(in.faults) > 0 {
		return Result{}, Problems(tidy(in.faults))
	}
	return Result{Text: out, Notes: tidy(in.notes)}, nil
}

// injector is one run over one file.
type injector struct {
	Options
	workloads int // seen: with a sidecar, or refusing one
	faults    []Problem
	notes     []Problem
}

func (in *injector) fault(line int, format string, args ...any) {
	in.faults = append(in.faults, Problem{in.File, line, fmt.Sprintf(format, args...)})
}

func (in *injector) note(line int, format string, args ...any) {
	in.notes = append(in.notes, Problem{in.File, line, fmt.Sprintf(format, args...)})
}

func (in *injector) inject(text []byte) []byte {
	if len(text) > MaxBytes {
		in.fault(0, "has more than %d MiB: split it", MaxBytes>>20)
		return nil
	}
	f := &file{in: in, rows: strings.Split(string(text), "\n")}
	if !f.parse(text) {
		return nil
	}
	for _, d := range f.docs {
		in.document(d)
	}
	if len(in.faults) > 0 {
		return nil
	}
	if in.workloads == 0 {
		in.note(0, "nothing in it takes a sidecar: it stays as it is")
	}
	out, err := f.render()
	if err != nil {
		in.fault(0, "%v", err)
	}
	return out
}

// document adds what belongs into one document.
func (in *injector) document(d *document) {
	root := d.node.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return // comments only, or nothing between two separators
	}
	top := place{node: root, line: root.Line}
	if root.Kind != yaml.MappingNode {
		in.fault(root.Line, "is %s: want a Kubernetes object (apiVersion, kind) or a compose file (services)", found(root))
		return
	}
	apiVersion, kind := read(root, "apiVersion"), read(root, "kind")
	switch {
	case apiVersion != nil || kind != nil:
		in.object(d, top)
	case read(root, "services") != nil:
		in.compose(d, top)
	default:
		in.fault(root.Line, "has neither apiVersion and kind, as a Kubernetes object, nor services, as a compose file")
	}
}

var errRender = errors.New("its sidecars cannot be written into it: write lists and maps in block style, one entry a line")
