package inject

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Labels of compose services.
const (
	labelled     = "outrider."
	labelService = labelled + "service"  // the name in Consul, and: inject
	labelInject  = labelled + "inject"   // true or false
	labelPort    = labelled + "app-port" // where the app listens; else the first of expose and ports
	labelSidecar = labelled + "sidecar"  // on a sidecar: whose it is
)

// compose adds sidecars to the services of a compose file.
func (in *injector) compose(d *document, top place) {
	services, ok := d.member(top, "services", yaml.MappingNode)
	if !ok || services.node == nil {
		return
	}
	chosen := 0
	// A copy: a sidecar is put among them.
	for i, all := 0, slices.Clone(services.node.Content); i+1 < len(all); i += 2 {
		key, node := all[i], deref(all[i+1])
		if key.ShortTag() == "!!merge" {
			continue
		}
		if node.Kind != yaml.MappingNode {
			in.fault(key.Line, "%s: want a map, with an image or a build", services.under(key.Value))
			continue
		}
		c := &composed{injector: in, d: d, services: services, name: key.Value, node: node, line: key.Line}
		if c.wanted() {
			chosen++
			c.inject()
		}
	}
	in.workloads += chosen
	if chosen == 0 && len(in.faults) == 0 {
		in.note(services.line, "no service has a label %s (its name in Consul) or %s: \"true\", and there is no --all", labelService, labelInject)
	}
}

// composed is one service of a compose file.
type composed struct {
	*injector
	d        *document
	services place
	name     string
	node     *yaml.Node
	line     int
}

// label returns the value of a label, and whether there is one. Labels are a map or a
// list of name=value.
func label(service *yaml.Node, name string) (string, bool) {
	labels := read(service, "labels")
	if v := read(labels, name); v != nil {
		return v.Value, true
	}
	for _, item := range items(service, "labels") {
		if key, v, _ := strings.Cut(item.Value, "="); key == name {
			return v, true
		}
	}
	return "", false
}

// wanted reports whether the service is to have a sidecar.
func (c *composed) wanted() bool {
	if _, sidecar := label(c.node, labelSidecar); sidecar {
		return false
	}
	c.typos()
	_, named := label(c.node, labelService)
	inject, said := label(c.node, labelInject)
	if said && inject != "true" && inject != "false" {
		c.fault(c.line, "%s: label %s: want \"true\" or \"false\", found %q", c.services.under(c.name), labelInject, inject)
		return false
	}
	host, _, _ := net.SplitHostPort(c.agentAddress())
	return inject == "true" || !said && (named || c.All && c.name != host) // the agent itself needs none
}

// typos refuses labels that would otherwise silently do nothing.
func (c *composed) typos() {
	var keys []string
	if labels := read(c.node, "labels"); labels != nil && labels.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(labels.Content); i += 2 {
			keys = append(keys, labels.Content[i].Value)
		}
	}
	for _, item := range items(c.node, "labels") {
		key, _, _ := strings.Cut(item.Value, "=")
		keys = append(keys, key)
	}
	for _, key := range keys {
		if strings.HasPrefix(key, labelled) && !slices.Contains([]string{labelService, labelInject, labelPort}, key) {
			c.fault(c.line, "%s: unknown label %s, want one of %s, %s, %s", c.services.under(c.name), key, labelPort, labelInject, labelService)
		}
	}
}

func (c *composed) agentAddress() string { return cmp.Or(c.Consul, "consul:8500") }

// inject adds the sidecar, or brings the one that is there up to date.
func (c *composed) inject() {
	before := len(c.faults)
	path := c.services.under(c.name)
	if mode := read(c.node, "network_mode"); mode != nil && mode.Value != "bridge" {
		c.fault(lineOf(c.node, "network_mode"), "%s: network_mode %s: the sidecar needs a network that is the service's own; drop it, or label the service %s: \"false\"", path, mode.Value, labelInject)
	}
	for _, n := range []*yaml.Node{read(c.node, "scale"), at(c.node, "deploy", "replicas")} {
		if n != nil && n.Value != "1" && n.Value != "0" {
			c.fault(n.Line, "%s: has %s replicas, and a sidecar shares the network of one: write them as services of their own", path, n.Value)
		}
	}
	service, named := label(c.node, labelService)
	if !named {
		service = c.name
	}
	c.service(service, c.line)
	c.agent(c.Consul, c.line)
	c.image(c.Image, c.line)
	port := c.appPort()
	if len(c.faults) > before {
		return
	}
	if len(items(c.node, "ports")) > 0 {
		c.note(lineOf(c.node, "ports"), "%s.ports: whoever comes by these comes around the sidecar", path)
	}
	c.place(c.sidecar(service, port))
}

// appPort returns the port that the label names, or the first that the service shows.
func (c *composed) appPort() int {
	path := c.services.under(c.name)
	if v, ok := label(c.node, labelPort); ok {
		return c.port(path+": label "+labelPort, c.line, value(v))
	}
	for _, key := range []string{"expose", "ports"} {
		for _, item := range items(c.node, key) {
			v, line := item, item.Line
			if item.Kind == yaml.MappingNode {
				if v = read(item, "target"); v == nil {
					continue
				}
			}
			number, protocol, _ := strings.Cut(v.Value, "/")
			if protocol == "udp" {
				continue
			}
			number = number[strings.LastIndex(number, ":")+1:] // HOST:PUBLISHED:TARGET
			return c.port(path+"."+key, line, value(number))
		}
	}
	c.fault(c.line, "%s: shows no port: say where the app listens by the label %s, or leave it alone by %s: \"false\"", path, labelPort, labelInject)
	return 0
}

// sidecar returns the sidecar's service.
func (c *composed) sidecar(service string, port int) *yaml.Node {
	// Where compose makes the app's container anew, the network that the sidecar is in
	// is gone, and the sidecar must follow.
	depends := object(c.name, object("condition", "service_started", "restart", true))
	if host, _, _ := net.SplitHostPort(c.agentAddress()); read(c.services.node, host) != nil && host != c.name {
		depends.Content = append(depends.Content, object(host, object("condition", "service_started")).Content...)
	}
	return object(
		"image", c.Image,
		"command", []string{"run", "--config", configFile},
		"network_mode", "service:"+c.name,
		"environment", object(
			"OUTRIDER_SERVICE_NAME", service,
			"OUTRIDER_SERVICE_APP", "127.0.0.1:"+strconv.Itoa(port),
			"OUTRIDER_PROBE_LISTEN", "0.0.0.0:"+strconv.Itoa(probePort),
			"CONSUL_HTTP_ADDR", c.agentAddress(),
		),
		"volumes", list(value(c.Config+":"+configFile+":ro")),
		"depends_on", depends,
		"healthcheck", object("test", []string{"CMD", "/sidecar", "health"}, "interval", "5s", "timeout", "3s"),
		"restart", "unless-stopped",
		"stop_grace_period", strconv.Itoa(preStop+grace+margin)+"s",
		"read_only", true,
		"cap_drop", []string{"ALL"},
		"security_opt", []string{"no-new-privileges:true"},
		"labels", object(labelSidecar, c.name),
	)
}

// place puts the sidecar's service right after the app's.
func (c *composed) place(sidecar *yaml.Node) {
	name := c.name + "-sidecar"
	k, old := own(c.services.node, name)
	switch {
	case k == nil:
		c.d.put(c.services.node, c.name, name, sidecar)
		c.d.space(c.line)
	case same(old, sidecar):
	default:
		if whose, ours := label(old, labelSidecar); !ours || whose != c.name {
			c.fault(k.Line, "%s: is there already and is not the sidecar of %s (it has no label %s: %s): give it another name", c.services.under(name), c.name, labelSidecar, c.name)
			return
		}
		c.d.swap(c.services.node, name, sidecar)
	}
}
