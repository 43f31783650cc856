package inject

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// annotate begins the annotations that speak to the injector.
const annotate = "outrider/"

// settings are the options, and what the annotations of one workload change.
type settings struct {
	off         bool   // no sidecar wanted
	service     string // the name in Consul
	appPort     int    // zero: the first containerPort
	image       string
	configMap   string
	consul      string // empty: the node's agent
	tokenSecret string // empty: none
	httpProxy   bool   // the app's HTTP_PROXY is the sidecar
}

// settings reads the annotations of the pod template, and of the object where the
// template has none of that name.
func (in *injector) settings(object, template place, name string) (settings, bool) {
	before := len(in.faults)
	s := settings{image: in.Image, configMap: in.ConfigMap, consul: in.Consul, tokenSecret: in.TokenSecret}
	labels := at(template.node, "metadata", "labels")
	s.service = cmp.Or(text(labels, "app"), text(labels, "app.kubernetes.io/name"), name)
	for _, from := range []*yaml.Node{at(object.node, "metadata", "annotations"), at(template.node, "metadata", "annotations")} {
		if from == nil {
			continue
		}
		for i := 0; i+1 < len(from.Content); i += 2 {
			if key, ours := strings.CutPrefix(from.Content[i].Value, annotate); ours {
				in.annotation(&s, key, from.Content[i].Line, deref(from.Content[i+1]))
			}
		}
	}
	if line := lineOf(object.node, "metadata"); !s.off {
		in.service(s.service, line)
		in.agent(s.consul, line)
		in.resource(annotate+"config-map", s.configMap, line)
		in.resource(annotate+"token-secret", cmp.Or(s.tokenSecret, "none"), line)
		in.image(s.image, line)
	}
	return s, len(in.faults) == before
}

// annotation takes over one annotation.
func (in *injector) annotation(s *settings, key string, line int, v *yaml.Node) {
	if v.Kind != yaml.ScalarNode || v.ShortTag() != "!!str" {
		in.fault(line, "%s%s: want a text in quotes, as all annotations are, found %s", annotate, key, found(v))
		return
	}
	texts := map[string]*string{"service": &s.service, "image": &s.image, "config-map": &s.configMap, "consul": &s.consul, "token-secret": &s.tokenSecret}
	switch to := texts[key]; {
	case to != nil:
		*to = v.Value
	case key == "inject" && (v.Value == "true" || v.Value == "false"):
		s.off = v.Value == "false"
	case key == "http-proxy" && (v.Value == "true" || v.Value == "false"):
		s.httpProxy = v.Value == "true"
	case key == "inject", key == "http-proxy":
		in.fault(line, "%s%s: want \"true\" or \"false\", found %s", annotate, key, found(v))
	case key == "app-port":
		s.appPort = in.port(annotate+key, line, v)
	default:
		in.fault(line, "%s%s: unknown annotation, want one of app-port, config-map, consul, http-proxy, image, inject, service, token-secret", annotate, key)
	}
}

// port returns the number of a port, or zero and a fault.
func (in *injector) port(what string, line int, v *yaml.Node) int {
	n, err := strconv.Atoi(v.Value)
	if err != nil || n < 1 || n > 65535 {
		in.fault(line, "%s: want a port, 1 to 65535, found %s", what, found(v))
		return 0
	}
	if slices.Contains(sidecarPorts(), n) {
		in.fault(line, "%s: %d is a port of the sidecar's (%s): have the app listen on another", what, n, ports())
		return 0
	}
	return n
}

// service refuses what cannot be a service's name.
func (in *injector) service(name string, line int) {
	good := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
	}
	if name == "" {
		in.fault(line, "has no name for the service: give it a label app, or an annotation %sservice", annotate)
	} else if len(name) > 253 || strings.IndexFunc(name, func(r rune) bool { return !good(r) }) >= 0 {
		in.fault(line, "%q cannot be a service's name: want letters, digits, - _ and ., at most 253", name)
	}
}

// agent refuses what is no address of an agent.
func (in *injector) agent(address string, line int) {
	if address == "" {
		return
	}
	host, port, err := net.SplitHostPort(address)
	if n, e := strconv.Atoi(port); err != nil || e != nil || host == "" || n < 1 || n > 65535 || strings.ContainsAny(host, "/ ") {
		in.fault(line, "consul %q: want the agent's host:port, as consul:8500", address)
	}
}

// resource refuses what cannot be the name of a Kubernetes object.
func (in *injector) resource(what, name string, line int) {
	good := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' }
	if name == "" || len(name) > 253 || strings.Trim(name, "-.") != name || strings.IndexFunc(name, func(r rune) bool { return !good(r) }) >= 0 {
		in.fault(line, "%s: %q cannot be an object's name: want small letters, digits, - and .", what, name)
	}
}

func (in *injector) image(name string, line int) {
	if name == "" || strings.ContainsAny(name, " \t\r\n{}") {
		in.fault(line, "image %q: want an image's name, as outrider:latest", name)
	}
}
