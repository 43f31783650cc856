package inject_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"outrider/internal/inject"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files anew")

// options are those of golden files that have any.
func options(name string) inject.Options {
	o := map[string]inject.Options{
		"plain":       {Plain: true, Image: "outrider:1.2", Consul: "consul.mesh:8500", ConfigMap: "mesh", TokenSecret: "mesh"},
		"compose":     {Config: "./mesh/sidecar.yml"},
		"compose_all": {All: true, Image: "outrider:1.2"},
	}[name]
	o.File = name + ".yaml"
	return o
}

// golden compares got with a golden file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// each runs test on every manifest in a folder of testdata.
func each(t *testing.T, folder string, test func(t *testing.T, name string, text []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files (%v): the test data are not where they should be", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			test(t, name, text)
		})
	}
}

func TestInject(t *testing.T) {
	each(t, "good", func(t *testing.T, name string, text []byte) {
		result, err := inject.Inject(text, options(name))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", "good", name+".golden"), string(result.Text))
		notes := ""
		for _, n := range result.Notes {
			notes += n.String() + "\n"
		}
		golden(t, filepath.Join("testdata", "good", name+".notes"), notes)
	})
}

// Of a file in block style every line stays, but for a time that is too short.
func TestEveryOtherLineStays(t *testing.T) {
	for _, name := range []string{"deployment", "kinds", "list", "untouched", "crlf", "plain", "compose", "compose_all"} {
		text, err := os.ReadFile(filepath.Join("testdata", "good", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		result, err := inject.Inject(text, options(name))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte("PeriodSeconds: 10 #"), []byte("PeriodSeconds: 40 #"), 1)
		rest := strings.Split(string(result.Text), "\n")
		for i, line := range strings.Split(string(text), "\n") {
			for len(rest) > 0 && strings.TrimSuffix(rest[0], "\r") != strings.TrimSuffix(line, "\r") {
				rest = rest[1:]
			}
			if len(rest) == 0 {
				t.Errorf("%s:%d: %q is gone, or elsewhere", name, i+1, line)
				break
			}
			rest = rest[1:]
		}
	}
}

func TestInjectingTwiceIsInjectingOnce(t *testing.T) {
	each(t, "good", func(t *testing.T, name string, text []byte) {
		once, err := inject.Inject(text, options(name))
		if err != nil {
			t.Fatal(err)
		}
		twice, err := inject.Inject(once.Text, options(name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once.Text, twice.Text) {
			t.Errorf("once:\n%s\ntwice:\n%s", once.Text, twice.Text)
		}
	})
}

// Other flags bring a sidecar up to date, as if it had been injected so at first; and
// back again.
func TestInjectingOtherwise(t *testing.T) {
	for _, name := range []string{"deployment", "kinds", "list", "json", "crlf"} {
		text, err := os.ReadFile(filepath.Join("testdata", "good", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		native := options(name)
		plain := inject.Options{File: native.File, Plain: true, Image: "outrider:2", Consul: "consul:1", ConfigMap: "other", TokenSecret: "other"}
		must := func(text []byte, o inject.Options) []byte {
			result, err := inject.Inject(text, o)
			if err != nil {
				t.Fatal(name, err)
			}
			return result.Text
		}
		first := must(text, native)
		second := must(first, plain)
		if third := must(second, native); !bytes.Equal(first, third) {
			t.Errorf("%s: once:\n%s\nthere and back:\n%s", name, first, third)
		}
		if bytes.Count(second, []byte("- name: outrider\n")) != bytes.Count(first, []byte("- name: outrider\n")) && name != "crlf" {
			t.Errorf("%s: sidecars come or go:\n%s", name, second)
		}
	}
}

func TestResourcesStayAsTuned(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "good", "deployment.golden"))
	if err != nil {
		t.Fatal(err)
	}
	tuned := bytes.Replace(text, []byte("cpu: 100m"), []byte("cpu: 900m"), 1)
	result, err := inject.Inject(tuned, inject.Options{Image: "outrider:2"})
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.Replace(tuned, []byte("outrider:latest"), []byte("outrider:2"), 1); !bytes.Equal(result.Text, want) {
		t.Errorf("got:\n%s\nwant:\n%s", result.Text, want)
	}
}

func TestBadInput(t *testing.T) {
	each(t, "bad", func(t *testing.T, name string, text []byte) {
		result, err := inject.Inject(text, options("bad/"+name))
		var problems inject.Problems
		if !errors.As(err, &problems) || result.Text != nil {
			t.Fatalf("got %v and\n%s\nwant problems and no text", err, result.Text)
		}
		golden(t, filepath.Join("testdata", "bad", name+".golden"), err.Error()+"\n")
	})
}

func TestTooLarge(t *testing.T) {
	text := bytes.Repeat([]byte("#\n"), inject.MaxBytes/2+1)
	if _, err := inject.Inject(text, inject.Options{File: "large.yaml"}); err == nil || err.Error() != "large.yaml: has more than 8 MiB: split it" {
		t.Errorf("got %v", err)
	}
}
