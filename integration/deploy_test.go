package integration_test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// deployFolder is where the manifests are.
var deployFolder = filepath.Join("..", "deploy")

// promtool runs it, and fails where there is none.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: run `make promtool`, or apt-get install prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolReadsTheRules(t *testing.T) {
	promtool(t, "", "check", "config", filepath.Join(deployFolder, "prometheus", "prometheus.yml")) // and the rules that it names
	promtool(t, "", "test", "rules", filepath.Join(deployFolder, "prometheus", "rules_test.yml"))
}

func TestPromtoolReadsTheMetrics(t *testing.T) {
	origin := meshtest.Origin(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("tea")) })
	g := meshtest.Gateway(t, "services: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\n")
	for _, path := range []string{"/tea", "/nowhere"} {
		get(t, http.MethodGet, g.URL+path)
	}
	status, metrics := get(t, http.MethodGet, g.Admin+"/metrics")
	if status != http.StatusOK || !strings.Contains(metrics, "gateway_requests_total{") {
		t.Fatalf("%d\n%s", status, metrics)
	}
	promtool(t, metrics, "check", "metrics")
}

// The manifests' own module has tests of its own.
func TestManifestsModule(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "./...")
	cmd.Dir = "manifests"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test in integration/manifests: %v\n%s", err, out)
	}
}
