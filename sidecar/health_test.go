package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthCommand(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path == "/ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "not ready: service cake\n")
			return
		}
		_, _ = io.WriteString(w, "alive\n")
	}))
	defer admin.Close()
	ready := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path+"\n") }))
	defer ready.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	at := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	for _, tt := range []struct {
		name  string
		args  []string
		env   string
		out   string
		fault string
		usage bool
	}{
		{name: "ready", args: []string{"--admin", at(ready)}, out: "/ready\n"},
		{name: "by the environment", env: at(ready), out: "/ready\n"},
		{name: "the flag comes first", args: []string{"--admin", at(ready)}, env: at(gone), out: "/ready\n"},
		{name: "not ready", args: []string{"--admin", at(admin)}, fault: "not ready: service cake"},
		{name: "not ready, but alive", args: []string{"--live", "--admin", at(admin)}, out: "alive\n"},
		{name: "nobody there", args: []string{"--admin", at(gone)}, fault: "no proxy answers: "},
		{name: "no address", args: []string{"--admin", "%"}, fault: "invalid URL escape", usage: true},
		{name: "a stray word", args: []string{"now"}, fault: `takes no argument, and got "now"`, usage: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OUTRIDER_ADMIN_LISTEN", tt.env)
			t.Setenv("HTTP_PROXY", gone.URL) // which is for what the app calls
			var out bytes.Buffer
			root := newRoot()
			root.SetArgs(append([]string{"health"}, tt.args...))
			root.SetOut(&out)
			err := root.ExecuteContext(t.Context())
			if (tt.fault == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.fault) || out.String() != tt.out {
				t.Errorf("got %v and %q, want %q and %q", err, out.String(), tt.fault, tt.out)
			}
			if _, usage := errors.AsType[usageError](err); usage != tt.usage {
				t.Errorf("a mistake of the caller's: %v, want %v", usage, tt.usage)
			}
		})
	}
}
