package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair returns the two ends of a TCP connection, ours as a socket.
func pair(t testing.TB) (*socket, net.Conn) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ours, err := new(net.Dialer).DialContext(context.Background(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return newSocket(ours), theirs
}

// both runs a test over the raw path and over net.Conn's.
func both(t *testing.T, test func(t *testing.T, s *socket, peer net.Conn)) {
	for _, name := range []string{"raw", "plain"} {
		t.Run(name, func(t *testing.T) {
			s, peer := pair(t)
			if name == "plain" {
				s.raw = nil
			}
			test(t, s, peer)
		})
	}
}

func TestSocketExchanges(t *testing.T) {
	both(t, func(t *testing.T, s *socket, peer net.Conn) {
		go func() { _, _ = io.CopyN(peer, peer, 8) }() // says what it hears
		in := make([]byte, 16)
		n, sent, err := s.exchange([]byte("question"), in, false, time.Time{})
		if err != nil || sent != 8 || n == 0 || string(in[:n]) != "question"[:n] {
			t.Errorf("got %q, sent %d, %v", in[:n], sent, err)
		}
	})
}

func TestSocketSeesThatAnIdleConnectionIsUnfit(t *testing.T) {
	spoil := map[string]func(net.Conn){
		"closed":    func(c net.Conn) { c.Close() },
		"spoken on": func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n")) },
	}
	for name, do := range spoil {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, s *socket, peer net.Conn) {
				do(peer)
				for s.quiet() { // loopback delivers at once, but not before Write returns by any rule
				}
				if _, sent, err := s.exchange([]byte("q"), make([]byte, 1), true, time.Time{}); !errors.Is(err, errStale) || sent != 0 {
					t.Errorf("sent %d, %v, want it to be stale", sent, err)
				}
			})
		})
	}
}

func TestSocketReadsUntilItsDeadline(t *testing.T) {
	both(t, func(t *testing.T, s *socket, _ net.Conn) {
		at := time.Now().Add(20 * time.Millisecond)
		if _, err := s.read(make([]byte, 1), at); !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(at) {
			t.Errorf("the read ended with %v", err)
		}
	})
}

// A deadline that was set for an earlier wait does not end a later one.
func TestSocketDeadlinesAreLazy(t *testing.T) {
	both(t, func(t *testing.T, s *socket, peer net.Conn) {
		if err := s.arm(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(20 * time.Millisecond)
		if _, err := s.read(make([]byte, 1), at); !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(at) {
			t.Errorf("the read ended with %v, want its own deadline to hold", err)
		}
		_, _ = peer.Write([]byte("x"))
		if n, err := s.read(make([]byte, 1), time.Time{}); n != 1 || err != nil {
			t.Errorf("after a deadline: %d, %v, want the byte", n, err)
		}
	})
}

func TestInterruptEndsEveryWait(t *testing.T) {
	both(t, func(t *testing.T, s *socket, _ net.Conn) {
		done := make(chan error)
		go func() {
			_, err := s.read(make([]byte, 1), time.Now().Add(time.Hour))
			done <- err
		}()
		s.interrupt()
		if err := <-done; !errors.Is(err, errInterrupted) {
			t.Errorf("the read ended with %v", err)
		}
		if _, err := s.read(make([]byte, 1), time.Now().Add(time.Hour)); !errors.Is(err, errInterrupted) {
			t.Errorf("the next read ended with %v", err)
		}
		if _, err := s.write([]byte("x"), time.Now().Add(time.Hour)); !errors.Is(err, errInterrupted) {
			t.Errorf("a write ended with %v", err)
		}
	})
}

func TestSocketWritesWhatTheKernelDoesNotTakeAtOnce(t *testing.T) {
	both(t, func(t *testing.T, s *socket, peer net.Conn) {
		out := make([]byte, 8<<20)
		got := make(chan int64, 1)
		go func() {
			n, _ := io.CopyN(io.Discard, peer, int64(len(out)))
			_, _ = peer.Write([]byte("x"))
			got <- n
		}()
		if n, sent, err := s.exchange(out, make([]byte, 1), true, time.Time{}); n != 1 || sent != len(out) || err != nil {
			t.Errorf("%d, sent %d, %v", n, sent, err)
		}
		if n := <-got; n != int64(len(out)) {
			t.Errorf("%d bytes arrived, want %d", n, len(out))
		}
	})
}

func TestSocketSeesThatTheOtherEndIsGone(t *testing.T) {
	both(t, func(t *testing.T, s *socket, peer net.Conn) {
		if s.gone() {
			t.Error("gone, and it is there")
		}
		_, _ = peer.Write([]byte("more"))
		peer.Close()
		for !s.gone() {
		}
	})
}

// A wait costs nothing.
func TestSocketAllocates(t *testing.T) {
	s, peer := pair(t)
	go func() { _, _ = io.Copy(peer, peer) }()
	in, out := make([]byte, 16), []byte("question")
	at := time.Now().Add(time.Hour)
	if got := testing.AllocsPerRun(100, func() {
		if _, _, err := s.exchange(out, in, true, at); err != nil {
			t.Error(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
