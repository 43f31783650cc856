//go:build !linux

package http1

import "time"

// rawWait is for systems whose raw path we know.
type rawWait struct{}

func (s *socket) init() {}

func (s *socket) rawRead(p []byte, until time.Time) (int, error) { return s.plainRead(p, until) }

func (s *socket) rawExchange(out, in []byte, idle bool, until time.Time) (n, sent int, err error) {
	panic("no raw path here")
}

func (s *socket) hold(turn func(fd uintptr) (done bool), until *time.Time) error {
	panic("no raw path here")
}

// still is not known here: a read finds out.
func (s *socket) still() bool { return true }

func (s *socket) poll([]byte) (int, error) { return 0, nil }

func (s *socket) rawWrite(p []byte) (int, error) { return 0, nil }

// gone is not known here: a write finds out.
func (s *socket) gone() bool { return false }
