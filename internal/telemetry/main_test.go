package telemetry_test

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares got with the file of that name in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it):\n%s", file, got)
	}
}

// exchange is one request through a stack, and how it ends.
type exchange struct {
	method, url string
	route       *mesh.Route
	service     mesh.Service
	attempts    []mesh.Attempt
	result      mesh.Result
}

// run sends the exchange through the layer. before edits request and Call as the
// server and the layers above would; it may be nil.
func (e exchange) run(t testing.TB, layer mesh.Layer, before func(*http.Request, *mesh.Call)) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, e.url, nil)
	req.Method = e.method
	call := mesh.NewCall(context.Background())
	req = call.Bind(req)
	if before != nil {
		before(req, call)
	}
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		call.Route, call.Service, call.Attempts = e.route, e.service, e.attempts
		return nil, e.result.Err
	})
	_, _ = mesh.Stack(origin, layer).RoundTrip(req) //nolint:bodyclose // there is no response
	call.End(e.result)
}

// scrape returns the metrics whose names begin with one of the prefixes, as text.
func scrape(t testing.TB, tel *telemetry.Telemetry, prefixes ...string) string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: status %d: %s", w.Code, w.Body)
	}
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(body)) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				kept.WriteString(line)
				break
			}
		}
	}
	return kept.String()
}

// has fails the test unless the scrape has the line.
func has(t testing.TB, scraped, line string) {
	t.Helper()
	for got := range strings.Lines(scraped) {
		if strings.TrimSuffix(got, "\n") == line {
			return
		}
	}
	t.Errorf("the scrape has no line %q:\n%s", line, scraped)
}
