package integration_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"outrider/integration/meshtest"
)

// TestRunCommand is `sidecar run -- COMMAND`, as processes.
func TestRunCommand(t *testing.T) {
	t.Parallel()
	c := built(t)
	t.Run("StartsWhenReady", c.testStartsWhenReady)
	t.Run("DrainsBeforeTheApp", c.testDrainsBeforeTheApp)
	t.Run("PassesSignals", c.testPassesSignals)
	t.Run("FollowsTheExit", c.testFollowsTheExit)
	t.Run("KillsWhoIsDeaf", c.testKillsWhoIsDeaf)
	t.Run("DiesWithTheSidecar", c.testDiesWithTheSidecar)
	t.Run("Health", c.testHealth)
}

// diary is a sidecar whose app it starts itself: one that keeps a diary.
type diary struct{ *beside }

// diary makes one. Code is the app's exit code after SIGTERM.
func (c command) diary(t *testing.T, code int, yaml string) diary {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := c.beside(t, "shutdown: {grace: 20s}\n"+yaml)
	b.commandLine = append(b.commandLine, "--", "env",
		serviceKind+"="+diaryKind, serviceListen+"="+b.app, serviceOutbound+"=http://"+b.outbound,
		diaryReady+"="+b.answers, fmt.Sprintf("%s=%d", diaryCode, code), self)
	d := diary{b}
	t.Cleanup(func() {
		if m := startedAs.FindStringSubmatch(d.out.String()); m != nil && t.Failed() {
			pid, _ := strconv.Atoi(m[1])
			_ = syscall.Kill(pid, syscall.SIGKILL) // it would be left behind
		}
	})
	return d
}

// begins starts it and waits until its app listens.
func (d diary) begins() {
	d.t.Helper()
	d.run()
	d.writes("app: listening")
}

// writes waits until the app has written a line.
func (d diary) writes(line string) {
	d.t.Helper()
	meshtest.Eventually(d.t, "the app writes "+line, func() bool { return slices.Contains(d.entries(), line) })
}

// entries are the lines that the app has written.
func (d diary) entries() (all []string) {
	for line := range strings.Lines(d.out.String()) {
		if strings.HasPrefix(line, "app: ") && strings.HasSuffix(line, "\n") {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	return all
}

var startedAs = regexp.MustCompile(`app: started as (\d+)`)

// process returns the app's process.
func (d diary) process() int {
	d.t.Helper()
	m := startedAs.FindStringSubmatch(d.out.String())
	if m == nil {
		d.t.Fatalf("the app has not started: %s", d.out.String())
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		d.t.Fatal(err)
	}
	return pid
}

// leavesNothing waits until the app's process is gone and its port is free.
func (d diary) leavesNothing() {
	d.t.Helper()
	pid := d.process()
	meshtest.Eventually(d.t, "the app's process is gone", func() bool { return !lives(pid) })
	if c, err := new(net.Dialer).DialContext(d.t.Context(), "tcp", d.app); err == nil {
		c.Close()
		d.t.Error("somebody still listens as the app")
	}
}

// lives reports whether a process runs: one that nobody has waited for does not.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// agent stands in for Consul's agent: until it is well it knows nothing, and then that
// the service orders has no instance.
func agent(t *testing.T) (address string, well *atomic.Bool) {
	well = new(atomic.Bool)
	origin := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		if !well.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("X-Consul-Index", "7")
		w.Header().Set("X-Consul-Lastcontact", "0")
		w.Header().Set("X-Consul-Knownleader", "true")
		_, _ = io.WriteString(w, "[]")
	})
	return strings.TrimPrefix(origin.URL, "http://"), well
}

// The app starts when the sidecar is ready, and not before.
func (c command) testStartsWhenReady(t *testing.T) {
	address, well := agent(t)
	d := c.diary(t, 0, "services: {orders: {}}\nconsul: {address: \""+address+"\", register: false}\n")
	d.start()
	d.says(`"msg":"nothing is known of the service"`, `"msg":"listening"`)
	if status, text := get(t, http.MethodGet, d.answers); status != http.StatusServiceUnavailable || !strings.Contains(text, "service orders: ") {
		t.Errorf("/ready: %d %s\nwant 503, and which service is missing", status, text)
	}
	if out := d.out.String(); out != "" {
		t.Errorf("before the sidecar is ready there is\n%s", out)
	}
	well.Store(true)
	d.writes("app: listening")
	if want := fmt.Sprintf("app: started as %d, its sidecar answers 200", d.process()); d.entries()[0] != want {
		t.Errorf("the app wrote %q, want %q", d.entries(), want)
	}
	d.ends()
	d.leavesNothing()
}

// What is in flight ends first, then the app is told to, then the sidecar ends as it
// did.
func (c command) testDrainsBeforeTheApp(t *testing.T) {
	origin := meshtest.Origin(t, meshtest.Says(http.StatusOK, "tea"))
	d := c.diary(t, 9, "services: {tea: {url: "+origin.URL+"}}\n")
	d.begins()
	body, upload := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.inbound+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		text string
		err  error
	}
	answer := make(chan outcome, 1)
	go func() {
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			answer <- outcome{err: err}
			return
		}
		defer resp.Body.Close()
		answer <- outcome{text: meshtest.ReadAll(resp.Body)}
	}()
	_, _ = io.WriteString(upload, "at ")
	d.writes("app: a request has begun")
	d.send(syscall.SIGTERM)
	d.says(`"msg":"draining"`)
	meshtest.Eventually(t, "the inbound takes nobody any more", func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", d.inbound)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if slices.Contains(d.entries(), "app: got terminated") {
		t.Error("the app was told to end while a request was in flight")
	}
	_, _ = io.WriteString(upload, "last")
	upload.Close()
	if got := await(t, "the answer", answer); got.err != nil || got.text != "at last" {
		t.Errorf("the request in flight: %q, %v", got.text, got.err)
	}
	if code := d.end(); code != 9 {
		t.Errorf("exit code %d, want the app's, 9\n%s", code, d.errs.String())
	}
	got, want := d.entries()[2:], []string{
		"app: a request has begun", "app: a request has ended (<nil>)", "app: got terminated", "app: its last call is answered 200 OK",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the app wrote\n%q, want\n%q", got, want)
	}
	if !strings.Contains(d.errs.String(), "the app ended with exit code 9\n") {
		t.Errorf("it does not say so:\n%s", d.errs.String())
	}
	d.leavesNothing()
}

// SIGUSR1 and SIGUSR2 are the app's; SIGHUP is the sidecar's own.
func (c command) testPassesSignals(t *testing.T) {
	d := c.diary(t, 0, "")
	d.begins()
	d.send(syscall.SIGUSR1)
	d.writes("app: got user defined signal 1")
	d.send(syscall.SIGHUP)
	d.says(`"msg":"the configuration was reloaded"`)
	d.send(syscall.SIGUSR2)
	d.writes("app: got user defined signal 2")
	d.ends()
	if slices.Contains(d.entries(), "app: got hangup") {
		t.Error("the app got the sidecar's SIGHUP")
	}
	d.leavesNothing()
}

// The sidecar ends when its app does, and as it did.
func (c command) testFollowsTheExit(t *testing.T) {
	for _, want := range []struct {
		name    string
		command []string
		code    int
		said    string
	}{
		{"exit 0", []string{"true"}, 0, ""},
		{"exit 7", []string{"sh", "-c", "exit 7"}, 7, "the app ended with exit code 7\n"},
		{"SIGKILL", []string{"sh", "-c", "kill -9 $$"}, 137, "the app ended with exit code 137\n"},
		{"SIGTERM", []string{"sh", "-c", "kill -15 $$"}, 143, "the app ended with exit code 143\n"},
		{"no such command", []string{"/nowhere/app", "--fast"}, 1, "the app cannot be started: fork/exec /nowhere/app: no such file or directory\n"},
		{"no such command in PATH", []string{"no-such-app"}, 1, `the app cannot be started: exec: "no-such-app": executable file not found in $PATH` + "\n"},
		{"no command", nil, 64, "there is no command behind --"},
	} {
		t.Run(want.name, func(t *testing.T) {
			b := c.beside(t, "", append([]string{"--"}, want.command...)...)
			b.start()
			if code := b.end(); code != want.code || !strings.Contains(b.errs.String(), want.said) {
				t.Errorf("exit code %d, want %d, and %q:\n%s", code, want.code, want.said, b.errs.String())
			}
		})
	}
}

// An app that does not end by itself is killed at the end of the grace.
func (c command) testKillsWhoIsDeaf(t *testing.T) {
	b := c.beside(t, "shutdown: {grace: 300ms}\n", "--", "sh", "-c", `trap "" TERM; echo "app: started as $$"; while :; do sleep 0.05; done`)
	d := diary{b}
	d.start()
	meshtest.Eventually(t, "the app has started", func() bool { return len(d.entries()) == 1 })
	d.send(syscall.SIGTERM)
	if code := d.end(); code != 137 {
		t.Errorf("exit code %d, want 137: killed", code)
	}
	d.leavesNothing()
}

// An app is not to go on without its guard.
func (c command) testDiesWithTheSidecar(t *testing.T) {
	d := c.diary(t, 0, "")
	d.begins()
	if !lives(d.process()) {
		t.Fatal("the app does not live")
	}
	d.signal(syscall.SIGKILL)
	d.leavesNothing()
	if slices.Contains(d.entries(), "app: got terminated") {
		t.Error("the sidecar was not killed: it said goodbye")
	}
}

// sidecar health asks a proxy that runs.
func (c command) testHealth(t *testing.T) {
	address, well := agent(t)
	b := c.beside(t, "services: {orders: {}}\nconsul: {address: \""+address+"\", register: false}\n")
	ask := func(want int, said string, args ...string) {
		t.Helper()
		code, out, errs := c.run(t, append([]string{"health"}, args...)...)
		if code != want || !strings.Contains(out+errs, said) || want == 0 && errs != "" || want != 0 && out != "" {
			t.Errorf("health %q: exit code %d, %q, %q\nwant %d and %q", args, code, out, errs, want, said)
		}
	}
	ask(1, "no proxy answers", "--admin", b.admin)
	b.start()
	meshtest.Eventually(t, "it says that it lives", func() bool { return statusOf("http://"+b.admin+"/live") == http.StatusOK })
	ask(1, "starting", "--admin", b.admin)
	ask(0, "ok\n", "--admin", b.admin, "--live")
	if status, _ := get(t, http.MethodGet, "http://"+b.admin+"/config"); status != http.StatusNotFound {
		t.Errorf("/config of a proxy that has none yet: %d, want 404", status)
	}
	b.says(`"msg":"listening"`)
	ask(1, "service orders: ", "--admin", b.admin)
	ask(0, "ok\n", "--admin", b.admin, "--live")
	well.Store(true)
	b.ready()
	ask(0, "ok\n", "--admin", b.admin)
	ask(64, "unknown flag", "--admni", b.admin)
	ask(64, "takes no argument", b.admin)
	b.ends()
	ask(1, "no proxy answers", "--admin", b.admin, "--live")
}
