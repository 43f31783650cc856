package config_test

import (
	"os"
	"strings"
	"testing"

	"outrider/internal/config"
)

// The reference is one valid configuration, so that nobody copies a key from it that
// does not exist.
func TestTheReferenceLoads(t *testing.T) {
	text, err := os.ReadFile("../../docs/CONFIG.md")
	if err != nil {
		t.Fatal(err)
	}
	var yaml strings.Builder
	inside := false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside
		case inside:
			yaml.WriteString(line)
		}
	}
	read := func(string) ([]byte, error) { return []byte(yaml.String()), nil }
	cfg, err := config.Load(config.Options{File: "reference.yml", ReadFile: read})
	if err != nil {
		t.Fatalf("docs/CONFIG.md does not load:\n%v\n%s", err, yaml.String())
	}
	if len(cfg.Routing) != 5 || len(cfg.Services) != 2 {
		t.Errorf("%d routes, %d services: the blocks were not put together", len(cfg.Routing), len(cfg.Services))
	}
}
