package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDrainCommand(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked []string
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodPost || r.URL.Path != "/drain" && r.URL.Path != "/leave":
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("Authorization") != "Bearer hunter2":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte("want a token"))
		default:
			asked = append(asked, r.URL.Path)
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer admin.Close()
	at := strings.TrimPrefix(admin.URL, "http://")
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, tt := range []struct {
		name  string
		args  []string
		env   string
		fault string
	}{
		{"it begins", []string{"--admin", at, "--token-file", token}, "", ""},
		{"by the environment", []string{"--token-file", token}, at, ""},
		{"it leaves", []string{"--leave", "--admin", at, "--token-file", token}, "", ""},
		{"no token", []string{"--admin", at}, "", "401 Unauthorized: want a token"},
		{"no such token", []string{"--admin", at, "--token-file", token + "s"}, "", "no such file"},
		{"nobody there", []string{"--admin", strings.TrimPrefix(gone.URL, "http://")}, "", "no proxy answers: "},
		{"a stray word", []string{"now"}, "", `takes no argument, and got "now"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OUTRIDER_ADMIN_LISTEN", tt.env)
			root := newRoot()
			root.SetArgs(append([]string{"drain"}, tt.args...))
			err := root.ExecuteContext(t.Context())
			if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
				t.Errorf("got %v, want %q", err, tt.fault)
			}
		})
	}
	if want := []string{"/drain", "/drain", "/leave"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}
