package app

import (
	"slices"
	"strings"
	"testing"
)

// How lines read, and which are written, is the newest configuration's business.
func TestTheAccessLogFollowsTheConfiguration(t *testing.T) {
	tea := origin(t, "tea")
	yaml := func(access string) string {
		return "logging: {access: " + access + "}\nservices: {tea: {url: " + tea.URL + "}}\nrouting: [{path: /tea, service: tea}]\n"
	}
	g := start(t, yaml("true"))
	g.want("/tea", 200)
	wants := []string{`"route":"/tea","service":"tea","status":200,`}
	for _, step := range []struct{ access, path, want string }{
		{`{format: "{direction} {path} {status} {code}"}`, "/tea", "ingress /tea 200 -\n"},
		{`{format: "{path}", sample: 0}`, "/tea", ""},
		{`{format: "{path} {code}", sample: 0}`, "/none", "/none no_route\n"},
		{`{format: "{path} slow={slow}", sample: 0, slow: 1ns}`, "/tea", "/tea slow=true\n"},
		{`{format: "{path} slow={slow}", slow: 1h}`, "/tea", "/tea slow=-\n"},
		{"false", "/none", ""},
		{"{format: common, buffer: 64KiB}", "/none", `] "GET /none HTTP/1.1" 404 `},
	} {
		if err := g.reload(yaml(step.access)); err != nil {
			t.Fatal(err)
		}
		g.get(step.path)
		if step.want != "" {
			wants = append(wants, step.want)
		}
	}
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	lines := slices.Collect(strings.Lines(g.access.String()))
	if len(lines) != len(wants) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(wants), g.access)
	}
	for i, want := range wants {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
}

// What a reload refuses changes nothing of the log either.
func TestAnAccessLogThatIsRefused(t *testing.T) {
	tea := origin(t, "tea")
	rest := "\nservices: {tea: {url: " + tea.URL + "}}\nrouting: [{path: /tea, service: tea}]\n"
	g := start(t, `logging: {access: {format: "{path}"}}`+rest)
	err := g.reload(`logging: {access: {format: "{pth}"}}` + rest)
	if err == nil || !strings.Contains(err.Error(), "there is no field {pth}, did you mean {path}?") {
		t.Errorf("the reload returned %v", err)
	}
	g.want("/tea", 200)
	if err := g.stop(); err != nil || g.access.String() != "/tea\n" {
		t.Errorf("%v; the log is %q", err, g.access)
	}
}
