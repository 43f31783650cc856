package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outrider/internal/config"
)

// sidecarConfig reads a sidecar's configuration that must be valid.
func sidecarConfig(t *testing.T, yaml string) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Options{File: file(t, "service: {name: tea, app: \"127.0.0.1:1\"}\n"+yaml), Mode: config.Run})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A check leaves no trace.
func TestCheckWritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshots")
	if err := Check(sidecarConfig(t, "consul: {address: \"127.0.0.1:1\", snapshot_dir: "+dir+"}\nservices: {cake: {}}\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the snapshots: %v, want that there is none", err)
	}
}

func TestCheckFindsWhatIsAmissWithConsul(t *testing.T) {
	roots := file(t, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	cfg := sidecarConfig(t, "consul: {scheme: https, tls: {ca_file: "+roots+"}}\n")
	problems, ok := errors.AsType[config.Problems](Check(cfg))
	if !ok || len(problems) != 1 || !strings.HasPrefix(problems.Error(), cfg.File+": consul.tls: ") {
		t.Errorf("got %v", problems)
	}
}

// What cannot be opened stops a proxy before it listens anywhere.
func TestRunWithoutAFolderForSnapshots(t *testing.T) {
	err := New(Options{}).Run(t.Context(), sidecarConfig(t, "consul: {snapshot_dir: "+file(t, "")+"}\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "consul.snapshot_dir: ") {
		t.Errorf("got %v", err)
	}
}
