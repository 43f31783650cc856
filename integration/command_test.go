package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"outrider/examples"
	"outrider/integration/meshtest"
)

// command is the file of the command.
type command string

// TestCommand builds the command, once, and runs it as processes.
func TestCommand(t *testing.T) {
	c := built(t)
	t.Run("Exits", c.testExits)
	t.Run("DemoConfig", c.testDemoConfig)
	t.Run("PortTaken", c.testPortTaken)
	t.Run("Signals", c.testSignals)
	t.Run("DrainThatIsCut", c.testDrainThatIsCut)
	t.Run("AccessLog", c.testAccessLog)
	t.Run("Overrides", c.testOverrides)
	t.Run("SidePorts", c.testSidePorts)
}

// built builds the command.
func built(t *testing.T) command {
	t.Helper()
	c := command(filepath.Join(t.TempDir(), "sidecar"))
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", string(c), "outrider/sidecar").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return c
}

// with returns the command with these arguments, and nothing of ours in its
// environment but env.
func (c command) with(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, string(c), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + t.TempDir()}, env...)
	return cmd
}

// run runs the command to its end, and returns its exit code and what it said.
func (c command) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := c.with(t, nil, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	return exitCode(t, cmd.Run()), out.String(), errs.String()
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// write writes a configuration to a file of its own.
func write(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (c command) testExits(t *testing.T) {
	valid := write(t, freePorts+saying("tea"))
	invalid := write(t, `server: {prt: 1}
services:
  tea: {url: ftp://tea, timeout: -3}
routing:
  - {path: /tea, service: cake}
`)
	missing := filepath.Join(t.TempDir(), "gateway.yml")
	for _, want := range []struct {
		name string
		args []string
		code int
		said []string // on standard output where the code is 0, else on standard error
	}{
		{"a valid file", []string{"check", "--config", valid}, 0, []string{valid + ": valid\n"}},
		{"an invalid file, every fault", []string{"check", "--config", invalid}, 64, []string{
			invalid + ":1: server.prt: unknown key, did you mean port?\n",
			invalid + ":3: services.tea.timeout: ", invalid + ":3: services.tea.url: ",
			invalid + `:5: routing[0].service: there is no service "cake"`,
		}},
		{"an invalid file, to run", []string{"ingress", "--config", invalid}, 64, []string{invalid + ":1: server.prt: "}},
		{"an unknown command", []string{"chekc"}, 64, []string{`there is no command "chekc"`}},
		{"an unknown flag", []string{"check", "--confg", valid}, 64, []string{"unknown flag: --confg (see sidecar check --help)"}},
		{"a stray word", []string{"check", "--config", valid, "now"}, 64, []string{`takes no argument, and got "now"`}},
		{"no file named", []string{"check"}, 64, []string{"config"}},
		{"no file named, to run", []string{"ingress"}, 64, []string{"config"}},
		{"a missing file", []string{"check", "--config", missing}, 64, []string{missing + ": cannot be read: no such file or directory\n"}},
		{"a missing file, to run", []string{"ingress", "--config", missing}, 64, []string{missing + ": cannot be read: no such file or directory\n"}},
		{"a flag's bad value", []string{"ingress", "--config", valid, "--server-port", "http"}, 64, []string{"server-port"}},
		{"help", []string{"--help"}, 0, []string{"ingress", "check", "demo"}},
		{"the demo's configuration", []string{"demo", "--print-config"}, 0, []string{string(examples.DemoConfig)}},
	} {
		t.Run(want.name, func(t *testing.T) {
			code, out, errs := c.run(t, want.args...)
			said, silent := out, errs
			if want.code != 0 {
				said, silent = errs, out
			}
			if code != want.code || silent != "" {
				t.Errorf("exit code %d, want %d; and on the wrong stream: %q", code, want.code, silent)
			}
			for _, part := range want.said {
				if !strings.Contains(said, part) {
					t.Errorf("it said\n%s\nwant\n%s", said, part)
				}
			}
		})
	}
}

// The demo runs the example as it stands.
func (c command) testDemoConfig(t *testing.T) {
	_, printed, _ := c.run(t, "demo", "--print-config")
	file, err := os.ReadFile(filepath.Join("..", "examples", "demo.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if printed != string(file) {
		t.Errorf("demo --print-config printed\n%s\nwant examples/demo.yml", printed)
	}
	if code, _, errs := c.run(t, "check", "--config", write(t, printed)); code != 0 || errs != "" {
		t.Errorf("check: exit code %d: %s", code, errs)
	}
}

// taken holds addr, or finds that somebody does.
func taken(t *testing.T, addr string) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return addr
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

func (c command) testPortTaken(t *testing.T) {
	addr := taken(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(addr)
	for key, flags := range map[string][]string{
		"server.port":  {"--server-port", port},
		"admin.listen": {"--admin-listen", addr},
		"probe.listen": {"--probe-listen", addr},
	} {
		t.Run(key, func(t *testing.T) {
			code, _, errs := c.run(t, append([]string{"ingress", "--config", write(t, freePorts+saying("tea"))}, flags...)...)
			if want := key + ": " + addr + " is taken by another process: stop it, or choose another port\n"; code != 1 || errs != want {
				t.Errorf("exit code %d:\n%s\nwant 1 and\n%s", code, errs, want)
			}
		})
	}
	t.Run("demo", func(t *testing.T) {
		first := examples.DemoInstances()[0]
		taken(t, first.Addr)
		code, _, errs := c.run(t, "demo")
		if code != 1 || !strings.Contains(errs, first.Addr) || !strings.Contains(errs, first.Service.Name) {
			t.Errorf("exit code %d: %s\nwant 1 and which instance, %s on %s", code, errs, first.Service.Name, first.Addr)
		}
	})
}

// running is the command as a process.
type running struct {
	Server, Admin, Probe string // URLs
	cmd                  *exec.Cmd
	log                  *meshtest.Log
	read                 chan struct{} // closed when all of the log has been read
}

// start starts the command, on the configuration in file, and returns when it listens.
func (c command) start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	return c.startTo(t, nil, env, args...)
}

// startTo is start with a standard output; nil discards it.
func (c command) startTo(t *testing.T, stdout io.Writer, env []string, args ...string) *running {
	t.Helper()
	r := &running{cmd: c.with(t, env, args...), log: &meshtest.Log{}, read: make(chan struct{})}
	r.cmd.Stdout = stdout
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = r.cmd.Process.Kill() // it has ended, unless the test failed
		<-r.read
		_ = r.cmd.Wait()
	})
	listening := make(chan [3]string, 1)
	go r.follow(errs, listening)
	select {
	case at := <-listening:
		r.Server, r.Admin, r.Probe = "http://"+at[0], "http://"+at[1], "http://"+at[2]
	case <-r.read:
		t.Fatalf("it ended before it listened:\n%s", r.log)
	}
	return r
}

// follow copies the log, and says where it listens.
func (r *running) follow(errs io.Reader, listening chan<- [3]string) {
	defer close(r.read)
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		_, _ = r.log.Write(append(lines.Bytes(), '\n'))
		var said struct{ Msg, Server, Admin, Probe string }
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Msg == "listening" {
			listening <- [3]string{said.Server, said.Admin, said.Probe}
		}
	}
}

// signal sends s to the process.
func (r *running) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end waits for the process and returns its exit code.
func (r *running) end(t *testing.T) int {
	t.Helper()
	await(t, "the process' end", r.read)
	return exitCode(t, r.cmd.Wait())
}

func (c command) testSignals(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	origin := meshtest.Origin(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "at last")
	})
	yaml := "services: {tea: {url: " + origin.URL + "}}\nrouting:\n  - {path: /tea, service: tea}\n"
	file := write(t, freePorts+yaml)
	r := c.start(t, nil, "ingress", "--config", file)

	r.signal(t, syscall.SIGHUP)
	eventually(t, "SIGHUP has it read the file that nobody touched", func() bool {
		_, metrics := get(t, http.MethodGet, r.Admin+"/metrics")
		return strings.Contains(metrics, reloadsOK+" 1\n")
	})

	answer := make(chan string, 1)
	go func() {
		_, text := get(t, http.MethodGet, r.Server+"/tea")
		answer <- text
	}()
	await(t, "the request at the endpoint", arrived)
	r.signal(t, syscall.SIGTERM)
	eventually(t, "it drains", func() bool { return strings.Contains(r.log.String(), `"msg":"draining"`) })
	close(finish)
	if got := await(t, "the answer", answer); got != "at last" {
		t.Errorf("the request in flight got %q", got)
	}
	if code := r.end(t); code != 0 {
		t.Errorf("after SIGTERM: exit code %d, want 0\n%s", code, r.log)
	}
}

func (c command) testDrainThatIsCut(t *testing.T) {
	arrived := make(chan struct{})
	origin := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	r := c.start(t, nil, "ingress", "--config", write(t, freePorts+"services: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\nshutdown: {grace: 50ms}\n"))
	talk := dial(t, r.Server)
	_, _ = io.WriteString(talk.conn, "GET /tea HTTP/1.1\r\nHost: tea\r\n\r\n")
	await(t, "the request at the endpoint", arrived)
	r.signal(t, syscall.SIGTERM)
	if code := r.end(t); code != 1 || !strings.Contains(r.log.String(), "cut at the end of the grace") {
		t.Errorf("exit code %d, want 1 and the reason:\n%s", code, r.log)
	}
}

// A flag outdoes the environment, and that the file.
func (c command) testOverrides(t *testing.T) {
	yaml := "server: {host: 127.0.0.1, port: 1}\nadmin: {listen: \"127.0.0.1:1\"}\nlogging: {level: error}\n" + saying("tea")
	r := c.start(t,
		[]string{"OUTRIDER_SERVER_PORT=0", "OUTRIDER_SERVER_HOST=127.0.0.2", "OUTRIDER_ADMIN_LISTEN=127.0.0.2:0", "OUTRIDER_LOGGING_LEVEL=info"},
		"ingress", "--config", write(t, yaml), "--server-host", "127.0.0.3", "--probe-listen", "127.0.0.4:0")
	for _, want := range []struct{ name, got, want string }{
		{"server.host, by flag", r.Server, `^http://127\.0\.0\.3:\d+$`},
		{"admin.listen, by environment", r.Admin, `^http://127\.0\.0\.2:\d+$`},
		{"probe.listen, by flag", r.Probe, `^http://127\.0\.0\.4:\d+$`},
	} {
		if !regexp.MustCompile(want.want).MatchString(want.got) {
			t.Errorf("%s: listening on %s, want %s", want.name, want.got, want.want)
		}
	}
	r.signal(t, syscall.SIGTERM)
	if code := r.end(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func (c command) testSidePorts(t *testing.T) {
	r := c.start(t, []string{"TEA_KEY=hunter2"}, "ingress", "--config", write(t, freePorts+`
transform: {request: {set: {X-Api-Key: "${TEA_KEY}", X-Plain: shown}}}
`+saying("tea")))
	for _, want := range []struct {
		name, method, url string
		headers           []string
		status            int
		text              string
	}{
		{"alive", "GET", r.Probe + "/live", nil, 200, "ok"},
		{"ready", "GET", r.Probe + "/ready", nil, 200, "ok"},
		{"metrics", "GET", r.Probe + "/metrics", nil, 200, "outrider_build_info"},
		{"the probe port by any name", "GET", r.Probe + "/live", []string{"Host", "pod.example"}, 200, "ok"},
		{"no configuration there", "GET", r.Probe + "/config", nil, 404, ""},
		{"no reload there", "POST", r.Probe + "/reload", nil, 404, ""},
		{"the status page", "GET", r.Admin + "/", nil, 200, "<html"},
		{"services", "GET", r.Admin + "/services", nil, 200, `"services"`},
		{"the configuration", "GET", r.Admin + "/config", nil, 200, "shown"},
		{"profiles", "GET", r.Admin + "/debug/pprof/cmdline", nil, 200, "ingress"},
		{"another name", "GET", r.Admin + "/live", []string{"Host", "evil.example"}, 403, ""},
		{"another name's address", "GET", r.Admin + "/config", []string{"Host", "10.0.0.1:15000"}, 403, ""},
		{"a page of another site", "POST", r.Admin + "/reload", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"GET changes nothing", "GET", r.Admin + "/reload", nil, 405, ""},
		{"a level that there is none", "POST", r.Admin + "/log-level?level=loud", nil, 400, ""},
		{"a level", "POST", r.Admin + "/log-level?level=debug", nil, 200, "debug"},
		{"not on the gateway itself", "GET", r.Server + "/metrics", nil, 404, `"code":"no_route"`},
	} {
		t.Run(want.name, func(t *testing.T) {
			status, text := get(t, want.method, want.url, want.headers...)
			if status != want.status || !strings.Contains(text, want.text) {
				t.Errorf("%s %s: %d %s\nwant %d with %q", want.method, want.url, status, text, want.status, want.text)
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("a secret is shown:\n%s", text)
			}
		})
	}
	if strings.Contains(r.log.String(), "hunter2") {
		t.Errorf("a secret is in the log:\n%s", r.log)
	}
	r.signal(t, syscall.SIGTERM)
	if code := r.end(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
