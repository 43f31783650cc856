package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// besides writes a sidecar's configuration, on free ports, for an app that never answers.
func besides(t *testing.T, rest string) string {
	t.Helper()
	for _, name := range []string{"INBOUND", "OUTBOUND", "ADMIN"} {
		t.Setenv("OUTRIDER_"+name+"_LISTEN", "127.0.0.1:0")
	}
	file := filepath.Join(t.TempDir(), "sidecar.yml")
	text := "service: {name: tea, app: \"127.0.0.1:1\"}\nlogging: {level: error, access: false}\nshutdown: {grace: 30s}\n" + rest
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The app's exit is the sidecar's.
func TestRunEndsAsItsAppDoes(t *testing.T) {
	for role, want := range map[string]int{"exit 0": 0, "exit 3": 3} {
		t.Setenv(roleVar, role)
		if got := run([]string{"run", "--config", besides(t, ""), "--", os.Args[0]}); got != want {
			t.Errorf("%s: exit code %d", role, got)
		}
	}
}

func TestRunOfAnAppThatCannotStart(t *testing.T) {
	if got := run([]string{"run", "--config", besides(t, ""), "--", "/nowhere/orders"}); got != 1 {
		t.Errorf("exit code %d, want 1", got)
	}
}

// A configuration that is wrong starts no app.
func TestRunStartsNoAppWithoutAProxy(t *testing.T) {
	t.Setenv(roleVar, "exit 3")
	if got := run([]string{"run", "--config", besides(t, "servces: {}\n"), "--", os.Args[0]}); got != exitUsage {
		t.Errorf("exit code %d, want %d", got, exitUsage)
	}
}

// SIGTERM reaches the app through the drain.
func TestRunStopsItsApp(t *testing.T) {
	_, script, _ := playing(t, "polite")
	ended := make(chan int, 1)
	file := besides(t, "")
	go func() { ended <- run([]string{"run", "--config", file, "--", os.Args[0]}) }()
	script.says("up")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	script.says("terminated")
	if got := <-ended; got != 0 {
		t.Errorf("exit code %d", got)
	}
}

func TestCommandLines(t *testing.T) {
	for _, tt := range []struct {
		args string
		want int
	}{
		{"", 0}, {"--version", 0}, {"run --help", 0},
		{"rum", exitUsage}, {"ingress", exitUsage}, {"check", exitUsage}, {"run --cofnig x", exitUsage}, {"check --config /nowhere.yml", exitUsage},
		{"demo now", exitUsage}, {"run --", exitUsage},
	} {
		if got := run(strings.Fields(tt.args)); got != tt.want {
			t.Errorf("sidecar %s: exit code %d, want %d", tt.args, got, tt.want)
		}
	}
}
