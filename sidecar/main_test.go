package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// roleVar has the test binary play an app instead of running tests.
const roleVar = "OUTRIDER_TEST_APP"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(playApp(role))
	}
	goleak.VerifyTestMain(m)
}

// playApp plays "exit CODE", or tells whoever listens at an address that it is up and
// which signals it gets: "polite ADDRESS" ends at SIGTERM, "stubborn ADDRESS" does not,
// and "plain ADDRESS" knows nothing of signals.
func playApp(role string) int {
	var kind, at string
	var code int
	if _, err := fmt.Sscanf(role, "exit %d", &code); err == nil {
		return code
	}
	if _, err := fmt.Sscan(role, &kind, &at); err != nil {
		return 99
	}
	c, err := net.Dial("tcp", at) //nolint:noctx // it lives as long as the process
	if err != nil {
		return 98
	}
	defer c.Close()
	got := make(chan os.Signal, 16)
	if kind != "plain" {
		signal.Notify(got, syscall.SIGTERM, syscall.SIGUSR1)
	}
	fmt.Fprintln(c, "up")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = c.Read(make([]byte, 1)) // until the test has gone
	}()
	for {
		select {
		case s := <-got:
			fmt.Fprintln(c, s)
			if s == syscall.SIGTERM && kind == "polite" {
				return 0
			}
		case <-gone:
			return 97
		}
	}
}

// output is what was written, for several goroutines.
type output struct {
	mu  sync.Mutex // protects buf, seen
	buf bytes.Buffer

	want string        // a text that is waited for
	seen chan struct{} // closed when it is there; nil afterwards
}

func waitFor(text string) (*output, <-chan struct{}) {
	o := &output{want: text, seen: make(chan struct{})}
	return o, o.seen
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.buf.Write(p)
	if o.seen != nil && strings.Contains(o.buf.String(), o.want) {
		close(o.seen)
		o.seen = nil
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
