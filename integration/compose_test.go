package integration_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dockerCompose is the file of docker compose, built from integration/compose.
func dockerCompose(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("TEST_TOOLS")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(dir, "outrider")
	}
	file := filepath.Join(cache, "docker-compose-5.5.1", "docker-compose")
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("there is no docker compose at %s: run `make compose`, which builds it once", file)
	}
	return file
}

// composed is what docker compose config says of a service.
type composed struct {
	NetworkMode string `json:"network_mode"`
	DependsOn   map[string]struct {
		Condition string
		Restart   bool
	} `json:"depends_on"`
	Labels map[string]string
}

// What sidecar inject writes, and what stands in deploy, is what docker compose reads:
// each sidecar in the network of its app.
func TestDockerComposeReadsTheFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "internal", "inject", "testdata", "good", "compose*.golden"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files (%v): they are not where they should be", len(files), err)
	}
	source := filepath.Join(deployFolder, "compose", "services.yml")
	for _, file := range append(files, source, filepath.Join(deployFolder, "compose", "docker-compose.yml")) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), dockerCompose(t), "-f", file, "config", "--format", "json")
			out, err := cmd.Output()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("docker compose config: %v\n%s", err, exit.Stderr)
			} else if err != nil {
				t.Fatal(err)
			}
			var project struct{ Services map[string]composed }
			if err := json.Unmarshal(out, &project); err != nil {
				t.Fatal(err)
			}
			sidecars := 0
			for name, s := range project.Services {
				app, ours := strings.CutSuffix(name, "-sidecar")
				if !ours {
					continue
				}
				sidecars++
				if _, ok := project.Services[app]; !ok || s.NetworkMode != "service:"+app || !s.DependsOn[app].Restart || s.Labels["outrider.sidecar"] != app {
					t.Errorf("%s: %+v", name, s)
				}
			}
			if (file == source) != (sidecars == 0) {
				t.Errorf("%d sidecars", sidecars)
			}
		})
	}
}
