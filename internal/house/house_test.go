package house_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "outrider"

// floors lists the packages from the cellar up: a package imports only from floors
// below its own.
var floors = [][]string{
	{"internal/mesh", "internal/tracecontext"},
	{"internal/route", "internal/http1", "internal/bridge", "internal/telemetry", "internal/identity", "internal/watch", "internal/explain", "internal/why"},
	{"discovery", "outbound/balance", "policy/cache", "policy/transform", "internal/inject", "internal/door"},
	{"policy", "discovery/consul"},
	{"inbound", "outbound"},
	{"internal/config", "internal/admin"},
	{"internal/app", "examples"},
	{"sidecar", "examples/service", "integration/meshtest"},
	{"integration", "integration/bench"},
}

// anywhere lists packages that only tests import, and the house itself.
var anywhere = map[string]bool{"internal/house": true, "internal/identity/identitytest": true, "internal/tracecontext/tracecontexttest": true}

// only lists modules and the packages that they belong to, most often one.
var only = map[string]string{
	"github.com/prometheus/":         "internal/telemetry",
	"go.opentelemetry.io/":           "internal/telemetry",
	"google.golang.org/grpc":         "internal/telemetry",
	"github.com/spf13/viper":         "internal/config",
	"github.com/sony/gobreaker":      "outbound/balance",
	"github.com/hashicorp/consul/":   "discovery/consul",
	"github.com/redis/go-redis/":     "internal/redis",
	"golang.org/x/time/rate":         "policy",
	"github.com/fsnotify/fsnotify":   "internal/watch",
	"go.yaml.in/yaml/":               "internal/config internal/inject",
	"github.com/spf13/cobra":         "sidecar",
	"golang.org/x/sync/singleflight": "policy",
}

type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports,GoFiles", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module+"/")
		all = append(all, p)
	}
}

func floorOf() map[string]int {
	of := map[string]int{}
	for floor, names := range floors {
		for _, name := range names {
			of[name] = floor
		}
	}
	return of
}

func TestPackagesImportOnlyFromFloorsBelow(t *testing.T) {
	of := floorOf()
	for _, p := range packages(t) {
		if anywhere[p.ImportPath] {
			continue
		}
		floor, ok := of[p.ImportPath]
		if !ok {
			t.Errorf("%s stands on no floor: give it one in floors", p.ImportPath)
			continue
		}
		for _, path := range p.Imports {
			name, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				continue
			}
			if below, ok := of[name]; !ok || below >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d)", p.ImportPath, floor, name, below)
			}
		}
	}
}

func TestLibrariesHaveOneUser(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			for library, users := range only {
				if strings.HasPrefix(path, library) && !slices.Contains(strings.Fields(users), p.ImportPath) {
					t.Errorf("%s imports %s: only %s may", p.ImportPath, path, users)
				}
			}
		}
	}
}

func TestMeshImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != "internal/mesh" {
			continue
		}
		for _, path := range p.Imports {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") || first == module {
				t.Errorf("internal/mesh imports %s", path)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		name := p.ImportPath[strings.LastIndex(p.ImportPath, "/")+1:]
		if !strings.HasPrefix(p.Doc, "Package "+name+" ") && !strings.HasPrefix(p.Doc, "Command "+name+" ") {
			t.Errorf("%s: its package comment begins %q, not with what it is", p.ImportPath, p.Doc)
		}
	}
}
