package inject_test

import (
	"os"
	"path/filepath"
	"testing"

	"outrider/internal/inject"
)

// What stands in deploy is made with the injector: -update makes it anew.
func TestDeployIsMadeWithIt(t *testing.T) {
	for from, to := range map[string]string{
		"compose/services.yml":     "compose/docker-compose.yml",
		"kubernetes/services.yaml": "kubernetes/services-injected.yaml",
	} {
		deploy := filepath.Join("..", "..", "deploy")
		text, err := os.ReadFile(filepath.Join(deploy, from))
		if err != nil {
			t.Fatal(err)
		}
		result, err := inject.Inject(text, inject.Options{File: from})
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Notes) > 0 {
			t.Errorf("%s: %v", from, result.Notes)
		}
		golden(t, filepath.Join(deploy, to), string(result.Text))
	}
}
