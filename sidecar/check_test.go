package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"outrider/examples"
	"outrider/internal/app"
	"outrider/internal/config"
)

// check runs the command, and returns what it says.
func check(t *testing.T, args ...string) (out, warnings string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"check"}, args...))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	err = root.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

func TestCheckCommand(t *testing.T) {
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "gateway.yml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const base = "services: {tea: {url: http://127.0.0.1:1}, auth-service: {url: http://127.0.0.1:1}}\nrouting: "
	for _, tt := range []struct {
		name, text     string
		flags          []string
		warning, fault string // parts
	}{
		{name: "valid", text: base + "[{path: /, service: tea}]\n"},
		{name: "a warning", text: base + "[{path: /, service: tea, middleware: [auth, rate-limit]}]\nrate_limiting: {default: {requests_per_minute: 1}}\n",
			warning: ":2: routing[0].middleware: "},
		{name: "what reading finds", text: base + "[{path: /, service: coffee}]\n", fault: ":2: routing[0].service: "},
		{name: "what building finds", text: "services: {tea: {url: https://127.0.0.1:1, tls: {ca_file: check_test.go}}}\n", fault: ":1: services.tea: tls: "},
		{name: "a flag", text: base + "[]\n", flags: []string{"--server-port", "x"}, fault: "--server-port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := file(tt.text)
			out, warnings, err := check(t, append([]string{"--config", name}, tt.flags...)...)
			if tt.fault != "" {
				if _, usage := errors.AsType[usageError](err); !usage || !strings.Contains(err.Error(), tt.fault) || out != "" {
					t.Errorf("got %v and %q, want %q", err, out, tt.fault)
				}
				return
			}
			if err != nil || out != name+": valid\n" || !strings.Contains(warnings, tt.warning) || (tt.warning == "") != (warnings == "") {
				t.Errorf("got %v, %q and %q, want a warning of %q", err, out, warnings, tt.warning)
			}
		})
	}
}

// asDeployed is what a configuration of this repository has in its environment where it
// runs.
func asDeployed(t *testing.T, mode config.Mode) {
	t.Helper()
	t.Setenv("OUTRIDER_PROBE_LISTEN", "0.0.0.0:15020")
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1") // where none is
	if mode == config.Run {
		t.Setenv("OUTRIDER_SERVICE_NAME", "order-service")
		t.Setenv("OUTRIDER_SERVICE_APP", "127.0.0.1:3003")
	}
}

// shipped returns the files of this repository that are configurations, or hold some,
// each with its command.
func shipped(t *testing.T) map[string]config.Mode {
	t.Helper()
	all := map[string]config.Mode{}
	composed := map[string]bool{"docker-compose.yml": true, "services.yml": true} // for docker compose
	for _, folder := range []string{"../examples", "../deploy/compose"} {
		names, err := filepath.Glob(filepath.Join(folder, "*.yml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if base := filepath.Base(name); !composed[base] {
				all[name] = modeOf(base)
			}
		}
	}
	manifests, err := filepath.Glob("../deploy/kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range manifests {
		maps.Copy(all, configMaps(t, name))
	}
	for _, i := range examples.DemoInstances() {
		name := filepath.Join(t.TempDir(), "sidecar.yml")
		if err := os.WriteFile(name, i.SidecarConfig(), 0o600); err != nil {
			t.Fatal(err)
		}
		all[name] = config.Run
	}
	return all
}

func modeOf(base string) config.Mode {
	if strings.Contains(base, "sidecar") {
		return config.Run
	}
	return config.Ingress
}

// configMaps writes the configurations in a manifest's ConfigMaps to files.
func configMaps(t *testing.T, manifest string) map[string]config.Mode {
	t.Helper()
	text, err := os.Open(manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	all := map[string]config.Mode{}
	for documents := yaml.NewDecoder(text); ; {
		var object struct {
			Kind string            `yaml:"kind"`
			Data map[string]string `yaml:"data"`
		}
		if err := documents.Decode(&object); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", manifest, err)
		}
		if object.Kind != "ConfigMap" {
			continue
		}
		for key, value := range object.Data {
			name := filepath.Join(t.TempDir(), key)
			if err := os.WriteFile(name, []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
			all[name] = modeOf(key)
		}
	}
}

// Whatever configuration is shipped is valid where it runs, and none of it needs Consul
// to say so.
func TestCheckFindsNothingInWhatIsShipped(t *testing.T) {
	all := shipped(t)
	if len(all) < 2+2+2+6 {
		t.Fatalf("%d configurations: this test does not find them any more", len(all))
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(strings.TrimPrefix(name, "../"), func(t *testing.T) {
			mode := all[name]
			asDeployed(t, mode)
			if out, _, err := check(t, "--config", name); err != nil || out != name+": valid\n" { // the guide's own gateway.yml warns
				t.Errorf("%v\n%s", err, out)
			}
			cfg, err := config.Load(config.Options{File: name, Mode: mode, Environ: os.Environ()})
			if err == nil {
				err = app.Check(cfg)
			}
			if err != nil {
				t.Errorf("as %s: %v", mode, err)
			}
		})
	}
}
