package inject_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"outrider/internal/inject"
)

// Whatever comes in, what goes out takes no second sidecar.
func FuzzInject(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			f.Fatalf("%d files (%v)", len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text, false, false)
			f.Add(text, true, true)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, plain, all bool) {
		o := inject.Options{Plain: plain, All: all}
		once, err := inject.Inject(text, o)
		if err != nil {
			if once.Text != nil {
				t.Errorf("%v, and text", err)
			}
			return
		}
		twice, err := inject.Inject(once.Text, o)
		if err != nil {
			t.Fatalf("%v, in what was written:\n%s", err, once.Text)
		}
		if !bytes.Equal(once.Text, twice.Text) {
			t.Errorf("once:\n%s\ntwice:\n%s", once.Text, twice.Text)
		}
	})
}
