package inject

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What the sidecar is called and where it listens: the defaults of its configuration.
const (
	containerName = "outrider"
	configVolume  = "outrider-config"
	stateVolume   = "outrider-state"
	stateFolder   = "/var/lib/outrider"
	configFolder  = "/etc/outrider"
	configFile    = configFolder + "/sidecar.yml"

	adminPort    = 15000
	outboundPort = 15001
	inboundPort  = 15006
	probePort    = 15020

	preStop = 5  // seconds in which callers leave, before the app is told to stop
	grace   = 30 // shutdown.grace, in seconds
	margin  = 5  // for the processes to end
)

// sidecarPorts are where no app of the pod may listen.
func sidecarPorts() []int { return []int{adminPort, outboundPort, inboundPort, probePort} }

func ports() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(sidecarPorts()), " ", ", "), "[]")
}

// proxyURL is what HTTP_PROXY says to an app.
const proxyURL = "http://127.0.0.1:15001"

// container returns the sidecar's container.
func (s settings) container(plain bool) *yaml.Node {
	c := object(
		"name", containerName,
		"image", s.image,
		"args", []string{"run", "--config", configFile},
	)
	if !plain {
		// A native sidecar: it starts before the app and stops after it, so that the app
		// can call out through it to the very end.
		c.Content = append(c.Content, value("restartPolicy"), value("Always"))
	}
	c.Content = append(c.Content, object(
		"env", s.env(),
		"ports", list(
			object("name", "outrider-in", "containerPort", inboundPort),
			object("name", "outrider-probe", "containerPort", probePort),
		),
	).Content...)
	c.Content = append(c.Content, probes(plain).Content...)
	if !plain {
		// A native sidecar is told to stop when the app has gone. Its callers must leave
		// before: the drain begins as soon as the pod is to end. A plain one is told at once.
		c.Content = append(c.Content, value("lifecycle"),
			object("preStop", object("exec", object("command", []string{"/sidecar", "drain", "--leave"}))))
	}
	c.Content = append(c.Content, object(
		"securityContext", object(
			"runAsNonRoot", true,
			"runAsUser", 65532,
			"runAsGroup", 65532,
			"allowPrivilegeEscalation", false,
			"readOnlyRootFilesystem", true,
			"capabilities", object("drop", []string{"ALL"}),
			"seccompProfile", object("type", "RuntimeDefault"),
		),
		// No limit of CPU: it would stall requests, not save any.
		"resources", object(
			"requests", object("cpu", "100m", "memory", "64Mi"),
			"limits", object("memory", "256Mi"),
		),
		"volumeMounts", list(
			object("name", configVolume, "mountPath", configFolder, "readOnly", true), // the folder: a file would never be updated
			object("name", stateVolume, "mountPath", stateFolder),
		),
	).Content...)
	return c
}

func (s settings) env() *yaml.Node {
	field := func(path string) *yaml.Node { return object("fieldRef", object("fieldPath", path)) }
	env := list(
		object("name", "OUTRIDER_SERVICE_NAME", "value", s.service),
		object("name", "OUTRIDER_SERVICE_APP", "value", fmt.Sprintf("127.0.0.1:%d", s.appPort)),
		object("name", "OUTRIDER_SERVICE_ADDRESS", "valueFrom", field("status.podIP")),
		object("name", "OUTRIDER_PROBE_LISTEN", "value", fmt.Sprintf("0.0.0.0:%d", probePort)),
		object("name", "OUTRIDER_CONSUL_SNAPSHOT_DIR", "value", stateFolder), // survives the container, not the pod
	)
	if s.consul == "" {
		env.Content = append(env.Content,
			object("name", "HOST_IP", "valueFrom", field("status.hostIP")),
			object("name", "CONSUL_HTTP_ADDR", "value", "$(HOST_IP):8500"))
	} else {
		env.Content = append(env.Content, object("name", "CONSUL_HTTP_ADDR", "value", s.consul))
	}
	if s.tokenSecret != "" {
		env.Content = append(env.Content, object("name", "CONSUL_HTTP_TOKEN",
			"valueFrom", object("secretKeyRef", object("name", s.tokenSecret, "key", "token"))))
	}
	return env
}

// probes returns the kubelet's questions. The app waits for a native sidecar's
// startup, as it does under sidecar run -- CMD.
func probes(plain bool) *yaml.Node {
	ask := func(path string) *yaml.Node { return object("path", path, "port", "outrider-probe") }
	p := object()
	if !plain {
		p.Content = object("startupProbe", object("httpGet", ask("/ready"), "periodSeconds", 1, "failureThreshold", 300)).Content
	}
	p.Content = append(p.Content, object(
		"livenessProbe", object("httpGet", ask("/live")),
		"readinessProbe", object("httpGet", ask("/ready"), "periodSeconds", 2),
	).Content...)
	return p
}

// volumes returns what the container mounts.
func (s settings) volumes() []*yaml.Node {
	return []*yaml.Node{
		object("name", configVolume, "configMap", object("name", s.configMap)),
		object("name", stateVolume, "emptyDir", object("sizeLimit", "64Mi")),
	}
}
