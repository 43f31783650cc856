package door

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a listener that fails as told, and is then closed.
type failing struct{ errs []error }

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		return nil, net.ErrClosed
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}
func (f *failing) Close() error   { return nil }
func (f *failing) Addr() net.Addr { return &net.TCPAddr{} }

func TestAcceptOutlivesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log output
		full := errors.New("too many open files")
		ln := &failing{[]error{full, full, full}}
		d := New(t.Context(), ln, Config{Limit: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
		began := time.Now()
		d.Accept(t.Context())
		if len(ln.errs) != 0 || time.Since(began) != 30*time.Millisecond {
			t.Errorf("%d failures are left after %v, want none after a wait each", len(ln.errs), time.Since(began))
		}
		if got := log.count("too many open files"); got != 1 {
			t.Errorf("%d lines tell of it, want one:\n%s", got, log.String())
		}
		if d.gate.open != 0 {
			t.Errorf("%d places are taken, want none", d.gate.open)
		}
	})
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	tests := []struct {
		name string
		door func(life context.Context) *Door
	}{
		{"while it is full", func(life context.Context) *Door {
			d := New(life, &failing{}, Config{Limit: 1})
			_ = d.gate.wait(life)
			return d
		}},
		{"between failures", func(life context.Context) *Door {
			many := make([]error, 1<<20)
			for i := range many {
				many[i] = errors.New("too many open files")
			}
			return New(life, &failing{many}, Config{Limit: 1})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				d := tt.door(ctx)
				ended := make(chan struct{})
				go func() { d.Accept(ctx); close(ended) }()
				synctest.Wait()
				cancel()
				synctest.Wait()
				select {
				case <-ended:
				default:
					t.Error("accept goes on")
				}
			})
		})
	}
}
