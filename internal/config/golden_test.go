package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"outrider/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files anew")

// Each file of testdata is loaded, those called run_ for that command; its faults, or
// else its warnings, are golden.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files (%v): the test data are not where they should be", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		t.Run(name, func(t *testing.T) {
			mode := config.Ingress
			if strings.HasPrefix(name, "run_") {
				mode = config.Run
			}
			got := report(config.Load(config.Options{
				File:     name + ".yml",
				Mode:     mode,
				Environ:  []string{"HOST=users", "SECRET_URL=http://user:hunter2@users/path"},
				ReadFile: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join("testdata", name)) },
			}))
			if strings.Contains(got, "hunter2") {
				t.Errorf("a password is shown:\n%s", got)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// report is what a user would read.
func report(c *config.Config, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	text := "loads\n"
	for _, w := range c.Warnings() {
		text += "warning: " + w.String() + "\n"
	}
	return text
}
