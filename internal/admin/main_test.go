package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/internal/admin"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full returns a Config with every field set.
func full() admin.Config {
	return admin.Config{
		Version:   "1.2.3",
		Started:   time.Now().Add(-(3*24*time.Hour + 4*time.Hour)),
		Live:      func() error { return nil },
		Ready:     func() []string { return nil },
		Metrics:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
		Config:    func() any { return map[string]any{"server": map[string]any{"port": 8080}, "token": "s3cr3t"} },
		Services:  example,
		Listeners: func() []string { return []string{"server 0.0.0.0:8080", "admin 127.0.0.1:15000"} },
		Reload:    func(context.Context) error { return nil },
		Drain:     func() {},
		Leave:     func() {},
		LastReload: func() admin.Reload {
			return admin.Reload{At: time.Now().Add(-90 * time.Second)}
		},
		Level: new(slog.LevelVar),
	}
}

// example is what the page shows in its golden file: out of order, and in every
// state.
func example() []admin.Service {
	return []admin.Service{
		{Name: "order-service", Policy: "p2c", Ready: true, Mode: "live", AgeS: 12.4, Endpoints: []admin.Endpoint{
			{Address: "10.0.3.11:3003", Zone: "eu-1a", State: "healthy", Breaker: "closed", Weight: 1, InFlight: 3, LatencyMS: 4.217, Successes: 1284911, Failures: 12},
			{Address: "10.0.3.12:3003", Zone: "eu-1b", State: "ejected", Note: "5 failures in a row", Breaker: "open", Weight: 1, LatencyMS: 912, Successes: 88120, Failures: 5210},
			{Address: "10.0.3.13:3003", Zone: "eu-1b", State: "unhealthy", Note: "GET /health: connection refused", Breaker: "half-open", Weight: 2, InFlight: 1, Waiting: 4, LatencyMS: 2310, Successes: 31, Failures: 9},
			{Address: "[2001:db8::7]:3003", State: "warming", Weight: 1},
		}},
		{Name: "auth-service", Policy: "round_robin", Ready: true, Mode: "stale", AgeS: 754, Endpoints: []admin.Endpoint{
			{Address: "10.0.1.5:3001", State: "healthy", Weight: 1, LatencyMS: 0.84, Successes: 402},
		}},
		{Name: "user-service", Policy: "least_connections", Error: "lookup user-service: no such host"},
		{Name: "cake-service", Policy: "p2c", Mode: "waiting", AgeS: 0.2, Error: "consul 127.0.0.1:8500: connection refused"},
		{Name: "tea-service", Policy: "p2c", Ready: true, Mode: "snapshot", AgeS: 266400},
		{Name: "milk-service", Policy: "ring_hash", Ready: true, Mode: "probing", AgeS: 61},
	}
}

// ask sends a request to the handler, as from curl on this machine. edit may be nil.
func ask(h http.Handler, method, path string, edit func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	req.Host = "localhost:15000"
	if edit != nil {
		edit(req)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// header returns an edit that sets one field.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// isProblem fails the test unless w is a problem of that status whose sentence
// contains the words.
func isProblem(t *testing.T, w *httptest.ResponseRecorder, status int, words string) {
	t.Helper()
	var p struct {
		Title, Error string
		Status       int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	if w.Code != status || p.Status != status || p.Title != http.StatusText(status) ||
		w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s %+v, want problem %d", w.Code, w.Header().Get("Content-Type"), p, status)
	}
	if !strings.Contains(p.Error, words) {
		t.Errorf("error = %q, want %q in it", p.Error, words)
	}
}

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

var errBroken = errors.New("broken")
