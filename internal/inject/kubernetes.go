package inject

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object adds the sidecar to one Kubernetes object, or to those of a List.
func (in *injector) object(d *document, p place) {
	apiVersion, kind := in.required(p, "apiVersion", "such as apps/v1"), in.required(p, "kind", "such as Deployment")
	if apiVersion == "" || kind == "" {
		return
	}
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	switch group + "/" + kind {
	case "/List":
		in.list(d, p)
	case "/Pod":
		in.workload(d, p, kind)
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "/ReplicationController":
		in.workload(d, p, kind, "spec", "template")
	case "extensions/Deployment", "extensions/DaemonSet", "extensions/ReplicaSet":
		in.fault(lineOf(p.node, "apiVersion"), "apiVersion: Kubernetes has no %s in %s any more: want apps/v1", kind, apiVersion)
	case "batch/Job":
		in.job(p, kind, "spec", "template")
	case "batch/CronJob":
		in.job(p, kind, "spec", "jobTemplate", "spec", "template")
	default:
		if at(p.node, "spec", "template", "spec", "containers") != nil {
			in.note(p.line, "kind %s has pods, and Outrider does not know it: it stays as it is", kind)
		}
	}
}

// required returns the text at key, which must be there.
func (in *injector) required(p place, key, such string) string {
	v := read(p.node, key)
	switch {
	case v == nil:
		in.fault(p.line, "%s is missing: %s", p.under(key), such)
	case v.Kind != yaml.ScalarNode || v.ShortTag() != "!!str" || v.Value == "":
		in.fault(v.Line, "%s: want a name, %s, found %s", p.under(key), such, found(v))
	default:
		return v.Value
	}
	return ""
}

func (in *injector) list(d *document, p place) {
	items, ok := d.member(p, "items", yaml.SequenceNode)
	if !ok || items.node == nil {
		return
	}
	for i := range items.node.Content {
		item, ok := d.entry(items, i)
		if !ok {
			continue
		}
		if text(item.node, "kind") == "List" {
			in.fault(item.line, "%s: is a List in a List: want the objects themselves", item.path)
			continue
		}
		in.object(d, item)
	}
}

// job leaves a Job as it is, unless somebody wants a sidecar there: it has no port to
// guard, nobody should find it in Consul, and beside a container that never ends it
// would not end either.
func (in *injector) job(p place, kind string, path ...string) {
	for _, annotations := range []*yaml.Node{at(p.node, "metadata", "annotations"), at(p.node, append(path, "metadata", "annotations")...)} {
		if v := read(annotations, annotate+"inject"); v != nil && v.Value == "true" {
			in.fault(v.Line, "a %s gets no sidecar: it serves nobody, so there is nothing to guard; drop %sinject", kind, annotate)
			return
		}
	}
	in.note(p.line, "a %s gets no sidecar: it serves nobody; it stays as it is", kind)
}

// workload adds the sidecar to the pods of an object, whose template is at path.
func (in *injector) workload(d *document, p place, kind string, path ...string) {
	in.workloads++
	object := p
	name := text(p.node, "metadata", "name")
	if name == "" && text(p.node, "metadata", "generateName") == "" {
		in.fault(lineOf(p.node, "metadata"), "%s is missing: a %s needs one", p.under("metadata.name"), kind)
		return
	}
	for _, key := range path {
		var ok bool
		if p, ok = in.must(d, p, key); !ok {
			return
		}
	}
	s, ok := in.settings(object, p, name)
	if !ok || s.off {
		return
	}
	spec, ok := in.must(d, p, "spec")
	if !ok {
		return
	}
	pod := &pod{injector: in, d: d, settings: s, what: fmt.Sprintf("%s %s", kind, name), template: p, spec: spec}
	pod.inject()
}

// must is member, for a map that has to be there.
func (in *injector) must(d *document, p place, key string) (place, bool) {
	next, ok := d.member(p, key, yaml.MappingNode)
	if ok && next.node == nil {
		in.fault(p.line, "%s is missing: want a map", next.path)
		ok = false
	}
	return next, ok
}
