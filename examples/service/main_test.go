package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"outrider/examples"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunSaysWhatIsWrong(t *testing.T) {
	taken, err := examples.Start(t.Context(), examples.Users("users-1"), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Stop()
	tests := []struct{ name, kind, listen, want string }{
		{"no such kind", "tea", "127.0.0.1:0", `-kind "tea": there are auth, users and orders`},
		{"a port that is taken", "users", taken.Addr, taken.Addr},
		{"no address", "users", "nowhere", "nowhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := run(tt.kind, "", tt.listen); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
