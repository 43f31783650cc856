package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// script is what an app that plays a role says.
type script struct {
	t  *testing.T
	ln net.Listener
	in *bufio.Reader
}

// playing returns a child that plays a role with this test as its audience, and a channel
// that has a value when it has ended.
func playing(t *testing.T, role string) (*child, *script, <-chan error) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	t.Setenv(roleVar, role+" "+ln.Addr().String())
	ended := make(chan error, 1)
	c := newChild([]string{os.Args[0]}, func(err error) { ended <- err })
	t.Cleanup(func() { _ = c.result() })
	return c, &script{t: t, ln: ln}, ended
}

// says waits for the app's next line.
func (s *script) says(want string) {
	s.t.Helper()
	if s.in == nil {
		c, err := s.ln.Accept()
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { c.Close() })
		s.in = bufio.NewReader(c)
	}
	if line, err := s.in.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
		s.t.Fatalf("the app says %q, %v, want %q", line, err, want)
	}
}

// codeOf returns the exit code that err carries: 0 for nil, -1 for none.
func codeOf(err error) int {
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[exitError](err)
	if !ok {
		return -1
	}
	return exit.code
}

// over is a context that has ended.
func over(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestChildEndsByItself(t *testing.T) {
	for _, tt := range []struct {
		role string
		want int
	}{{"exit 0", 0}, {"exit 3", 3}, {"exit 255", 255}} {
		c, _, ended := playing(t, tt.role)
		c.start()
		if err := <-ended; err == nil {
			t.Errorf("%s: no reason is given", tt.role)
		}
		c.stop(t.Context()) // there is nobody left
		if err := c.result(); codeOf(err) != tt.want {
			t.Errorf("%s: got %v", tt.role, err)
		}
	}
}

func TestChildIsStopped(t *testing.T) {
	for _, tt := range []struct {
		role string
		last string // what it says when it is told
		at   func(*testing.T) context.Context
		want int
	}{
		{"polite", "terminated", (*testing.T).Context, 0},
		{"plain", "", (*testing.T).Context, 128 + int(syscall.SIGTERM)},
		{"stubborn", "", over, 128 + int(syscall.SIGKILL)},
	} {
		t.Run(tt.role, func(t *testing.T) {
			c, script, ended := playing(t, tt.role)
			c.start()
			script.says("up")
			c.stop(tt.at(t))
			if tt.last != "" {
				script.says(tt.last)
			}
			<-ended
			if err := c.result(); codeOf(err) != tt.want {
				t.Errorf("got %v, want the code %d", err, tt.want)
			}
		})
	}
}

// What is still there at the end does not go on without its guard.
func TestChildDoesNotOutliveTheSidecar(t *testing.T) {
	c, script, ended := playing(t, "polite")
	c.start()
	script.says("up")
	if err := c.result(); codeOf(err) != 128+int(syscall.SIGKILL) {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestChildStartsOnce(t *testing.T) {
	c, script, ended := playing(t, "polite")
	c.start()
	script.says("up")
	c.start()
	c.stop(t.Context())
	script.says("terminated")
	<-ended
	c.start()
	select {
	case <-ended:
		t.Error("it ended twice")
	default:
	}
	if err := c.result(); err != nil {
		t.Errorf("got %v", err)
	}
}

// Who is stopped before being started is never started.
func TestChildThatIsNeverStarted(t *testing.T) {
	for name, before := range map[string]func(*child){
		"stopped": func(c *child) { c.stop(t.Context()) },
		"ended":   func(c *child) { _ = c.result() },
	} {
		c, _, ended := playing(t, "exit 3")
		c.signal(syscall.SIGUSR1) // nobody hears it, and a start is not ruled out by it
		before(c)
		c.start()
		if err := c.result(); err != nil || len(ended) > 0 {
			t.Errorf("%s: got %v, %d ended", name, err, len(ended))
		}
	}
}

func TestChildThatCannotStart(t *testing.T) {
	ended := make(chan error, 1)
	c := newChild([]string{t.TempDir() + "/orders"}, func(err error) { ended <- err })
	c.start()
	<-ended
	c.stop(t.Context())
	if err := c.result(); err == nil || !strings.HasPrefix(err.Error(), "the app cannot be started: ") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Its result waits for the failure, however early it is asked.
func TestChildThatCannotStartIsHeardOf(t *testing.T) {
	for range 100 {
		c := newChild([]string{"/nowhere/orders"}, func(error) {})
		c.start()
		if err := c.result(); err == nil {
			t.Fatal("the failure was missed")
		}
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	c, script, _ := playing(t, "polite")
	stop := c.passSignals()
	c.start()
	script.says("up")
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	script.says("user defined signal 1")
	stop()
	c.stop(t.Context())
	script.says("terminated")
}

func TestBehindDash(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		want  []string
		fault string
	}{
		{[]string{}, nil, ""},
		{[]string{"--config", "f"}, nil, ""},
		{[]string{"--", "./orders"}, []string{"./orders"}, ""},
		{[]string{"--config", "f", "--", "./orders", "--config", "--", "x"}, []string{"./orders", "--config", "--", "x"}, ""},
		{[]string{"--"}, nil, "there is no command behind --"},
		{[]string{"now"}, nil, `takes no argument, and got "now"`},
		{[]string{"now", "--", "./orders"}, nil, `takes no argument, and got "now"`},
	} {
		cmd := newRun()
		var got []string
		cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
			got, err = behindDash(cmd, args)
			return err
		}
		cmd.SetArgs(tt.args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(t.Context())
		_, usage := errors.AsType[usageError](err)
		if !slices.Equal(got, tt.want) || (tt.fault == "") != (err == nil) || err != nil && (!usage || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%q: got %q, %v", tt.args, got, err)
		}
	}
}
