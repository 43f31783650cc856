package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"outrider/internal/config"
)

// Load never panics, is the same every time, and places its problems.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "../../examples/gateway.yml") {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "KEY=value")
	}
	f.Add("server: {host: \"${KEY}\"}", "OUTRIDER_SERVER_PORT=${KEY}")
	f.Add("consul: {}\nservices: {a: }", "CONSUL_HTTP_ADDR=https://a:1")
	f.Fuzz(func(t *testing.T, text, variable string) {
		o := config.Options{File: "g.yml", Mode: config.Auto, Environ: []string{variable, "KEY=a"}, ReadFile: file("g.yml", text)}
		c, err := config.Load(o)
		again, errAgain := config.Load(o)
		if !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("once:\n%v\nthen:\n%v", err, errAgain)
		}
		if err != nil {
			faults, ok := errors.AsType[config.Problems](err)
			if !ok || len(faults) == 0 {
				t.Fatalf("error %#v, want Problems", err)
			}
			placed(t, faults)
			return
		}
		placed(t, c.Warnings())
		if got, want := again.Redacted().String(), c.Redacted().String(); got != want {
			t.Fatalf("once:\n%s\nthen:\n%s", want, got)
		}
	})
}

func placed(t *testing.T, problems []config.Problem) {
	t.Helper()
	for _, p := range problems {
		if p.Line < 0 || p.Message == "" || p.Line > 0 && p.File != "g.yml" {
			t.Errorf("a problem without its place: %+v", p)
		}
	}
}
