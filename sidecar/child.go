package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

// child is the app as a process of the sidecar's.
type child struct {
	command []string
	ended   func(error)   // called when the process has ended or could not be started
	done    chan struct{} // closed then

	mu      sync.Mutex // protects all below
	cmd     *exec.Cmd  // nil before the start
	begun   bool
	refused bool // it is too late to start
	err     error
}

func newChild(command []string, ended func(error)) *child {
	return &child{command: command, ended: ended, done: make(chan struct{})}
}

// exitError is a child's exit code, to be ours.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("the app ended with exit code %d", e.code) }

// start starts the process, once.
func (c *child) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun || c.refused {
		return
	}
	c.begun = true
	started := make(chan struct{})
	go c.live(started)
	<-started
}

// live is the process's life. It keeps a thread of its own, with which the process
// would die: an app is not to go on without its guard.
func (c *child) live(started chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(c.command[0], c.command[1:]...) //nolint:noctx // when it ends is the drain's to say
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A group of its own: a terminal's Ctrl-C goes to the sidecar, which passes it on
	// when the last requests have ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	err := cmd.Start()
	if err != nil {
		err = fmt.Errorf("the app cannot be started: %w", err)
	} else {
		c.cmd = cmd // start holds the lock until started
	}
	close(started)
	if err == nil {
		err = exitOf(cmd.Wait(), cmd.ProcessState)
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	close(c.done)
	c.ended(errors.New("the app has ended"))
}

// exitOf returns how the process ended: nil for exit code 0; for a signal, the code is
// that of a shell, 128 and the signal's number.
func exitOf(err error, state *os.ProcessState) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError{128 + int(status.Signal())}
	}
	return exitError{exit.ExitCode()}
}

// stop tells the process to end and waits for it; where ctx ends first, it is killed.
// Where there is none yet there will be none.
func (c *child) stop(ctx context.Context) {
	if !c.forgo() {
		return
	}
	c.signal(syscall.SIGTERM)
	select {
	case <-c.done:
		return
	case <-ctx.Done():
	}
	c.signal(syscall.SIGKILL)
	<-c.done
}

// forgo rules out a start from now on, and reports whether there was one.
func (c *child) forgo() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = true
	return c.begun
}

// signal passes a signal on, where there is a process.
func (c *child) signal(s os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(s) // it may have ended
	}
}

// passed are the signals that the process gets as they come. SIGTERM and SIGINT end
// the sidecar, and reach the process by stop; SIGHUP is for the sidecar.
var passed = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGWINCH, syscall.SIGCONT}

// passSignals passes signals on until the function that it returns is called.
func (c *child) passSignals() (stop func()) {
	in := make(chan os.Signal, 16)
	signal.Notify(in, passed...)
	over := make(chan struct{})
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			select {
			case s := <-in:
				c.signal(s)
			case <-over:
				return
			}
		}
	})
	return func() {
		signal.Stop(in)
		close(over)
		passing.Wait()
	}
}

// result ends a process that is still there, and returns how it ended; nil where there
// never was one.
func (c *child) result() error {
	if !c.forgo() {
		return nil
	}
	c.signal(syscall.SIGKILL)
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
