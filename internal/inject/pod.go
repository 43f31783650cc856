package inject

import (
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// pod is one pod, or the template of many.
type pod struct {
	*injector
	d              *document
	settings       settings
	what           string // for messages: Deployment orders
	template, spec place
	containers     place
	inits          place // without a node where there are none
}

// inject adds the sidecar, or brings the one that is there up to date.
func (p *pod) inject() {
	before := len(p.faults)
	if v := read(p.spec.node, "hostNetwork"); v != nil && v.Value == "true" {
		p.fault(lineOf(p.spec.node, "hostNetwork"), "%s: hostNetwork: the sidecar's ports would be the node's, one pod a node; drop it, or leave the pod alone by the annotation %sinject: \"false\"", p.what, annotate)
		return
	}
	var ok, okay bool
	p.containers, ok = p.d.member(p.spec, "containers", yaml.SequenceNode)
	p.inits, okay = p.d.member(p.spec, "initContainers", yaml.SequenceNode)
	if !ok || !okay {
		return
	}
	if p.containers.node == nil || len(p.containers.node.Content) == 0 {
		p.fault(p.spec.line, "%s is missing: want the app's container", p.containers.path)
		return
	}
	apps := p.apps()
	guarded := p.guard(apps)
	if len(p.faults) > before {
		return
	}
	p.sidecar()
	p.volumes()
	p.endings(guarded)
	p.scraped()
	if p.settings.httpProxy {
		for _, app := range apps {
			p.proxied(app)
		}
	}
}

// apps returns the containers that are not the sidecar's.
func (p *pod) apps() []place {
	before := len(p.faults)
	var apps []place
	for i := range p.containers.node.Content {
		c, ok := p.d.entry(p.containers, i)
		if !ok {
			continue
		}
		if name := p.required(c, "name", "a container needs one"); name != "" && name != containerName {
			apps = append(apps, c)
		}
	}
	if len(apps) == 0 && len(p.faults) == before {
		p.fault(p.containers.line, "%s: has no container but the sidecar's: want the app's", p.containers.path)
	}
	return apps
}

// guard finds the port of the app, and the container that listens there.
func (p *pod) guard(apps []place) (guarded place) {
	declared, first := 0, 0
	for _, app := range apps {
		for _, port := range items(app.node, "ports") {
			n := read(port, "containerPort")
			if n == nil || text(port, "protocol") == "UDP" || text(port, "protocol") == "SCTP" {
				continue
			}
			number := p.port(app.path+".ports.containerPort", n.Line, n)
			if number == 0 {
				return guarded
			}
			if declared++; declared == 1 {
				first = number
			}
			if guarded.node == nil && (p.settings.appPort == 0 || p.settings.appPort == number) {
				guarded = app
			}
		}
	}
	if p.settings.appPort == 0 {
		p.settings.appPort = first
		if declared > 1 {
			p.note(guarded.line, "%s declares %d ports: the sidecar guards %d, the first; the annotation %sapp-port names another", p.what, declared, first, annotate)
		}
	}
	if p.settings.appPort == 0 && len(apps) > 0 {
		p.fault(p.spec.line, "%s declares no containerPort: say where the app listens by the annotation %sapp-port, or leave it alone by %sinject: \"false\"", p.what, annotate, annotate)
	}
	if guarded.node == nil && len(apps) > 0 {
		guarded = apps[0]
	}
	return guarded
}

// sidecar puts the container where it belongs, and takes it away from where it does not.
func (p *pod) sidecar() {
	want, other, parent := p.inits, p.containers, "initContainers"
	if p.Plain {
		want, other, parent = p.containers, p.inits, "containers"
	}
	container := p.settings.container(p.Plain)
	old, ok := p.find(other)
	if !ok {
		return
	}
	if old >= 0 {
		keepResources(container, other.node.Content[old])
		p.d.remove(p.spec, other, old)
	}
	old, ok = p.find(want)
	switch {
	case !ok:
	case want.node == nil:
		p.d.put(p.spec.node, "containers", parent, list(container))
	case old < 0:
		p.d.add(want, container, !p.Plain) // a native one is first: other init containers may call out too
	default:
		keepResources(container, want.node.Content[old])
		if !same(want.node.Content[old], container) {
			p.d.exchange(want, old, container)
		}
	}
}

// keepResources keeps what people tune by hand.
func keepResources(fresh, old *yaml.Node) {
	_, tuned := own(old, "resources")
	for i, n := range fresh.Content {
		if n.Value == "resources" && tuned != nil && tuned.Kind == yaml.MappingNode {
			fresh.Content[i+1] = tuned
		}
	}
}

// find returns where in a list the sidecar's container is, or -1. It refuses another's
// of that name.
func (p *pod) find(list place) (int, bool) {
	if list.node == nil {
		return -1, true
	}
	i := slices.IndexFunc(list.node.Content, func(n *yaml.Node) bool { return text(n, "name") == containerName })
	if i < 0 {
		return -1, true
	}
	c, ok := p.d.entry(list, i)
	if !ok {
		return -1, false
	}
	args := items(c.node, "args")
	ours := len(args) > 0 && args[0].Value == "run" && slices.ContainsFunc(items(c.node, "env"), func(e *yaml.Node) bool {
		return text(e, "name") == "OUTRIDER_SERVICE_NAME"
	})
	if !ours {
		p.fault(c.line, "%s: is called %s and is not the sidecar: give it another name", c.path, containerName)
	}
	return i, ours
}

func (p *pod) volumes() {
	volumes, ok := p.d.member(p.spec, "volumes", yaml.SequenceNode)
	if !ok {
		return
	}
	wanted := p.settings.volumes()
	if volumes.node == nil {
		p.d.put(p.spec.node, "", "volumes", list(wanted...))
		return
	}
	for _, want := range wanted {
		name, kind := want.Content[1].Value, want.Content[2].Value
		i := slices.IndexFunc(volumes.node.Content, func(n *yaml.Node) bool { return text(n, "name") == name })
		switch {
		case i < 0:
			p.d.add(volumes, want, false)
		case same(volumes.node.Content[i], want):
		case volumes.node.Content[i].Kind != yaml.MappingNode || read(volumes.node.Content[i], kind) == nil:
			p.fault(volumes.node.Content[i].Line, "%s[%d]: is called %s and is not the sidecar's: give it another name", volumes.path, i, name)
		default:
			p.d.exchange(volumes, i, want)
		}
	}
}

// endings gives a pod that ends the time to do so without turning anybody away.
func (p *pod) endings(guarded place) {
	const least = preStop + grace + margin
	k, v := own(p.spec.node, "terminationGracePeriodSeconds")
	if k == nil {
		p.d.put(p.spec.node, "", "terminationGracePeriodSeconds", value(least))
	} else if n, err := strconv.Atoi(v.Value); err != nil || v.ShortTag() != "!!int" {
		p.fault(k.Line, "%s: want seconds, found %s", p.spec.under(k.Value), found(v))
	} else if n < least {
		p.d.set(v, least)
	}
	if p.Plain {
		return // clusters that know no native sidecar know no sleep either
	}
	// The app serves on while its callers leave: else those that have not heard would
	// find it gone.
	sleep := object("sleep", object("seconds", preStop))
	lifecycle, ok := p.d.member(guarded, "lifecycle", yaml.MappingNode)
	switch {
	case !ok:
	case lifecycle.node == nil:
		p.d.put(guarded.node, "", "lifecycle", object("preStop", sleep))
	case read(lifecycle.node, "preStop") == nil:
		p.d.put(lifecycle.node, "", "preStop", sleep)
	}
}

// scraped has Prometheus read the sidecar's metrics, unless it reads the app's.
func (p *pod) scraped() {
	const scrape, port = "prometheus.io/scrape", "prometheus.io/port"
	if annotations := at(p.template.node, "metadata", "annotations"); read(annotations, scrape) != nil || read(annotations, port) != nil {
		return
	}
	metadata, ok := p.d.member(p.template, "metadata", yaml.MappingNode)
	if !ok {
		return
	}
	wanted := object(scrape, "true", port, strconv.Itoa(probePort))
	if metadata.node == nil {
		p.d.put(p.template.node, "", "metadata", object("annotations", wanted))
		return
	}
	annotations, ok := p.d.member(metadata, "annotations", yaml.MappingNode)
	switch {
	case !ok:
	case annotations.node == nil:
		p.d.put(metadata.node, "", "annotations", wanted)
	default:
		for i := 0; i < len(wanted.Content); i += 2 {
			p.d.put(annotations.node, "", wanted.Content[i].Value, wanted.Content[i+1])
		}
	}
}

// proxied has an app's plain HTTP go through the sidecar.
func (p *pod) proxied(app place) {
	env, ok := p.d.member(app, "env", yaml.SequenceNode)
	if !ok {
		return
	}
	missing := []*yaml.Node{}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		v := proxyURL
		if name == "NO_PROXY" || name == "no_proxy" {
			v = "localhost,127.0.0.1,::1"
		}
		old := slices.IndexFunc(items(app.node, "env"), func(e *yaml.Node) bool { return text(e, "name") == name })
		if old < 0 {
			missing = append(missing, object("name", name, "value", v))
		} else if e := items(app.node, "env")[old]; text(e, "value") != v && v == proxyURL {
			p.fault(e.Line, "%s.env: %s is %s: drop it, or the annotation %shttp-proxy", app.path, name, fmt.Sprintf("%q", text(e, "value")), annotate)
		}
	}
	switch {
	case len(missing) == 0:
	case env.node == nil:
		p.d.put(app.node, "", "env", list(missing...))
	default:
		for _, m := range missing {
			p.d.add(env, m, false)
		}
	}
}
