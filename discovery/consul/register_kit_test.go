package consul_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex // protects text
	text bytes.Buffer
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lines returns how many lines have been logged.
func (l *logged) lines() int { return strings.Count(l.String(), "\n") }

// count returns how many lines have text.
func (l *logged) count(text string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// answerOnce answers the first request of a kind with a status.
func answerOnce(what string, status int, text string) func(*http.Request) *http.Response {
	var mu sync.Mutex
	done := false
	return func(req *http.Request) *http.Response {
		mu.Lock()
		defer mu.Unlock()
		if got, _, _ := understand(req); got != what || done {
			return nil
		}
		done = true
		return respond(status, text)
	}
}

// answer answers each request of a kind with a status.
func answer(what string, status int, text string) func(*http.Request) *http.Response {
	return func(req *http.Request) *http.Response {
		if got, _, _ := understand(req); got != what {
			return nil
		}
		return respond(status, text)
	}
}

// contextOf returns a context for a Run.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}
