package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outrider/internal/inject"
)

const pod = `apiVersion: v1
kind: Pod
metadata: {name: tea}
spec:
  containers:
    - name: tea
      ports: [{containerPort: 80}, {containerPort: 81}]
`

func TestInjectCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good, bad := file("good.yaml", pod), file("bad.yaml", pod+"  volumes: 7\n")
	large := file("large.yaml", strings.Repeat("#\n", inject.MaxBytes/2+1))
	absent := filepath.Join(dir, "absent.yaml")
	for _, tt := range []struct {
		name  string
		args  []string
		stdin string
		out   string // a part of standard output, where it goes well
		note  string // a part of standard error
		fault string // a part of the error
	}{
		{name: "a file", args: []string{good}, out: "initContainers:\n", note: good + ":6: Pod tea declares 2 ports"},
		{name: "standard input", args: []string{"-"}, stdin: pod, out: "initContainers:\n", note: "standard input:6: "},
		{name: "flags", args: []string{good, "--native=false", "--image=tea:2", "--consul=c:1", "--config-map=m", "--token-secret=s"},
			out: "- name: outrider\n      image: tea:2\n", note: "80, the first"},
		{name: "compose flags", args: []string{"-", "--all", "--config=../s.yml"}, stdin: "services:\n  tea: {image: tea, expose: ['80']}\n",
			out: "- ../s.yml:/etc/outrider/sidecar.yml:ro\n"},
		{name: "a fault, and no text", args: []string{bad}, fault: bad + ":8: spec.volumes: want a list"},
		{name: "nothing", args: []string{"-"}, fault: "standard input: is empty"},
		{name: "no file", args: nil, fault: "takes one file, or - for standard input, and got 0"},
		{name: "two files", args: []string{good, good}, fault: "and got 2"},
		{name: "a missing file", args: []string{absent}, fault: absent + ": cannot be read: no such file or directory"},
		{name: "a folder", args: []string{dir}, fault: dir + ": cannot be read: is a directory"},
		{name: "too much", args: []string{large}, fault: large + ": has more than 8 MiB"},
		{name: "an unknown flag", args: []string{good, "--nativ"}, fault: "unknown flag: --nativ (see sidecar inject --help)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			root := newRoot()
			root.SetArgs(append([]string{"inject"}, tt.args...))
			root.SetIn(strings.NewReader(tt.stdin))
			root.SetOut(&out)
			root.SetErr(&errs)
			err := root.ExecuteContext(t.Context())
			if tt.fault != "" {
				var usage usageError
				if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.fault) || out.Len() > 0 {
					t.Errorf("got %v and %q, want a usage error with %q and nothing", err, out.String(), tt.fault)
				}
				return
			}
			if err != nil || !strings.Contains(out.String(), tt.out) {
				t.Errorf("%v\n%s\nwant %q", err, out.String(), tt.out)
			}
			if !strings.Contains(errs.String(), tt.note) || (tt.note == "") != (errs.Len() == 0) {
				t.Errorf("said %q, want %q", errs.String(), tt.note)
			}
		})
	}
}
