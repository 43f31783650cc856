package manifests_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// Compose reads a file as docker compose config does: by its schema, and with every
// name in it resolved.
func TestComposeFilesAreWhatComposeReads(t *testing.T) {
	for _, file := range files(t, 5, "internal/inject/testdata/good/compose*.golden", "deploy/compose/services.yml", "deploy/compose/docker-compose.yml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			options, err := cli.NewProjectOptions([]string{file}, cli.WithName("outrider"), cli.WithResolvedPaths(true))
			if err != nil {
				t.Fatal(err)
			}
			project, err := options.LoadProject(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sidecars := 0
			for name, s := range project.Services {
				app, ours := strings.CutSuffix(name, "-sidecar")
				if !ours {
					continue
				}
				sidecars++
				if s.NetworkMode != "service:"+app || s.DependsOn[app].Condition == "" || s.Labels["outrider.sidecar"] != app {
					t.Errorf("%s: %+v", name, s)
				}
				if _, ok := project.Services[app]; !ok {
					t.Errorf("%s is the sidecar of nobody", name)
				}
			}
			if source := strings.HasSuffix(file, "services.yml"); source != (sidecars == 0) {
				t.Errorf("%d sidecars", sidecars)
			}
		})
	}
}
