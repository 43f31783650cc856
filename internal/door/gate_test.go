package door

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// visitors lets n in, one after the other, and counts those who are inside.
func visitors(ctx context.Context, g *gate, n int) *atomic.Int32 {
	inside := new(atomic.Int32)
	go func() {
		for range n {
			if g.wait(ctx) != nil {
				return
			}
			inside.Add(1)
		}
	}()
	return inside
}

func TestGate(t *testing.T) {
	tests := []struct {
		name  string
		limit int
		then  func(*gate)
		want  int32 // of five who want to enter
	}{
		{"bounds", 2, func(*gate) {}, 2},
		{"zero is unlimited", 0, func(*gate) {}, 5},
		{"one leaves", 2, func(g *gate) { g.leave() }, 3},
		{"all leave", 2, func(g *gate) { g.leave(); g.leave() }, 4},
		{"raised", 2, func(g *gate) { g.limit(4) }, 4},
		{"raised beyond need", 2, func(g *gate) { g.limit(9) }, 5},
		{"lifted", 2, func(g *gate) { g.limit(0) }, 5},
		{"lowered: who is inside stays, and leaving makes no room", 3, func(g *gate) { g.limit(1); g.leave(); g.leave() }, 3},
		{"lowered: there is room again", 3, func(g *gate) { g.limit(2); g.leave(); g.leave() }, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				g := newGate(tt.limit)
				inside := visitors(ctx, &g, 5)
				synctest.Wait()
				tt.then(&g)
				synctest.Wait()
				if got := inside.Load(); got != tt.want {
					t.Errorf("%d were let in, want %d", got, tt.want)
				}
			})
		})
	}
}

// A place that was given back while nobody waited is not given out twice.
func TestGateForgetsNothingAndInventsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		g := newGate(1)
		for range 3 {
			if err := g.wait(ctx); err != nil {
				t.Fatal(err)
			}
			g.leave()
		}
		inside := visitors(ctx, &g, 2)
		synctest.Wait()
		if got := inside.Load(); got != 1 {
			t.Errorf("%d were let in, want 1", got)
		}
	})
}

func TestGateWaitEndsWithItsContext(t *testing.T) {
	g := newGate(1)
	if err := g.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait returned %v, want the context's error", err)
	}
	g.leave()
	if g.open != 0 {
		t.Errorf("%d places are taken, want none", g.open)
	}
}

// However often a connection is closed, its place is given back once.
func TestGuestsLeaveOnce(t *testing.T) {
	ln := listen(t)
	plain, piped := dial(t, ln.Addr().String()).(*net.TCPConn), dial(t, ln.Addr().String())
	left := 0
	leave := func() *place { return &place{leave: func() { left++ }} }
	for name, c := range map[string]net.Conn{
		"tcp":   &tcpGuest{TCPConn: plain, place: leave()},
		"other": &guest{Conn: piped, place: leave()},
	} {
		left = 0
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the second close returned %v", name, err)
		}
		if left != 1 {
			t.Errorf("%s: left %d times", name, left)
		}
	}
}
