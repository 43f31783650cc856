package manifests_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	strict "sigs.k8s.io/yaml"
)

const root = "../.."

// files lists those of dir that match, at least so many.
func files(t *testing.T, least int, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) < least {
		t.Fatalf("%d files match %q, want %d: they are not where they should be", len(all), patterns, least)
	}
	return all
}

func TestManifestsAreWhatKubernetesReads(t *testing.T) {
	pods := 0
	for _, file := range files(t, 10, "internal/inject/testdata/good/*.golden", "deploy/kubernetes/*.yaml") {
		if strings.HasPrefix(filepath.Base(file), "compose") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
				var doc any
				if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
					return
				} else if err != nil {
					t.Fatal(err)
				}
				if doc != nil {
					pods += object(t, doc)
				}
			}
		})
	}
	if pods < 14 {
		t.Errorf("%d pods have a sidecar, want 14: some went unseen", pods)
	}
}

// object reads one object, or those of a List, and returns how many sidecars it has.
func object(t *testing.T, doc any) int {
	t.Helper()
	kind := doc.(map[string]any)["kind"]
	text, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	read := func(into any) {
		t.Helper()
		if err := strict.UnmarshalStrict(text, into); err != nil {
			t.Errorf("%s: %v\n%s", kind, err, text)
		}
	}
	switch kind {
	case "List":
		sidecars := 0
		for _, item := range doc.(map[string]any)["items"].([]any) {
			sidecars += object(t, item)
		}
		return sidecars
	case "Deployment":
		var o appsv1.Deployment
		read(&o)
		return pod(t, o.Spec.Template.Spec)
	case "StatefulSet":
		var o appsv1.StatefulSet
		read(&o)
		return pod(t, o.Spec.Template.Spec)
	case "DaemonSet":
		var o appsv1.DaemonSet
		read(&o)
		return pod(t, o.Spec.Template.Spec)
	case "ReplicaSet":
		var o appsv1.ReplicaSet
		read(&o)
		return pod(t, o.Spec.Template.Spec)
	case "ReplicationController":
		var o corev1.ReplicationController
		read(&o)
		return pod(t, o.Spec.Template.Spec)
	case "Pod":
		var o corev1.Pod
		read(&o)
		return pod(t, o.Spec)
	case "Job":
		read(&batchv1.Job{})
	case "CronJob":
		read(&batchv1.CronJob{})
	case "Service":
		read(&corev1.Service{})
	case "ConfigMap":
		read(&corev1.ConfigMap{})
	default:
		t.Errorf("kind %v: nobody reads it here", kind)
	}
	return 0
}

// pod checks what types alone do not say, and returns how many sidecars it has.
func pod(t *testing.T, spec corev1.PodSpec) int {
	t.Helper()
	names, ports, volumes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	unique := func(in map[string]bool, name string, faults []string) {
		t.Helper()
		if in[name] || len(faults) > 0 {
			t.Errorf("%q: twice, or %v", name, faults)
		}
		in[name] = true
	}
	for _, v := range spec.Volumes {
		unique(volumes, v.Name, validation.IsDNS1123Label(v.Name))
	}
	sidecars := 0
	for i, c := range append(spec.InitContainers, spec.Containers...) {
		native := i < len(spec.InitContainers)
		unique(names, c.Name, validation.IsDNS1123Label(c.Name))
		for _, p := range c.Ports {
			if p.Name != "" {
				unique(ports, p.Name, validation.IsValidPortName(p.Name))
			}
			unique(ports, fmt.Sprint(p.ContainerPort, p.Protocol), nil)
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %q, and there is no such volume", c.Name, m.Name)
			}
		}
		if c.Name == "outrider" {
			sidecars++
			sidecar(t, c, native)
		}
	}
	if sidecars > 0 && (spec.TerminationGracePeriodSeconds == nil || *spec.TerminationGracePeriodSeconds < 40) {
		t.Error("there is too little time to end")
	}
	return sidecars
}

func sidecar(t *testing.T, c corev1.Container, native bool) {
	t.Helper()
	always := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	if always != native {
		t.Errorf("restartPolicy %v, and native is %v", c.RestartPolicy, native)
	}
	for _, probe := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.StrVal != "outrider-probe" {
			t.Errorf("a probe is %v", probe)
		}
	}
	if s := c.SecurityContext; s == nil || !*s.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || len(s.Capabilities.Drop) != 1 {
		t.Errorf("it may too much: %v", s)
	}
}
