package http1

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// rawWait is what the callback of a socket's RawConn works on. The callback is made
// once: a closure for each wait would be an allocation for each wait.
type rawWait struct {
	step func(fd uintptr) bool
	out  []byte // to be written before anything is waited for
	look bool   // whether the other end is quiet is to be seen before that
	in   []byte // to be read into
	n    int    // bytes read
	err  error
}

func (s *socket) init() {
	s.raw = s.tcp
	s.wait.step = s.step
}

// rawRead is read by way of system calls that the scheduler is not told of: they never
// block, and so need none of its bookkeeping.
func (s *socket) rawRead(p []byte, until time.Time) (int, error) {
	return s.converse(nil, p, until)
}

// rawExchange is exchange. It writes within the wait, after the poller has been armed,
// and goes on to wait without a read that is sure to find nothing.
func (s *socket) rawExchange(out, in []byte, idle bool, until time.Time) (n, sent int, err error) {
	s.wait.look, s.wait.out = idle, out
	n, err = s.converse(out, in, until)
	return n, len(out) - len(s.wait.out), err
}

// hold runs turn whenever something may have come, all within one wait: the poller is
// armed once, and turn must read until it has found less than it had room for. It
// returns when turn does true, or with the error of read: turn arms the deadline that it
// wants to be woken by before it returns false, and writes it to until.
func (s *socket) hold(turn func(fd uintptr) (done bool), until *time.Time) error {
	for {
		err := s.raw.Read(turn)
		s.fd = -1
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := s.expired(*until); err != nil {
			return err
		}
	}
}

func (s *socket) converse(out, in []byte, until time.Time) (int, error) {
	if err := s.arm(until); err != nil {
		return 0, err
	}
	w := &s.wait
	w.out, w.in, w.n, w.err = out, in, 0, nil
	for {
		err := s.raw.Read(w.step)
		switch {
		case err == nil && len(w.out) > 0 && w.err == nil: // the kernel takes no more of it now
			var n int
			n, w.err = s.plainWrite(w.out, until)
			w.out = w.out[n:]
			if w.err != nil {
				return 0, w.err
			}
		case err == nil:
			return w.n, w.err
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		default:
			if err := s.expired(until); err != nil {
				return 0, err
			}
		}
	}
}

// step is one turn of converse, within the callback. It returns false to wait. Where it
// reads a request's body, another goroutine writes the response: fd is not that one's.
func (s *socket) step(fd uintptr) bool {
	w := &s.wait
	if w.look {
		w.look = false
		if !quiet(fd) {
			w.err = errStale
			return true
		}
	}
	if len(w.out) > 0 {
		n, err := writeNow(fd, w.out)
		w.out = w.out[n:]
		w.err = err
		return err != nil || len(w.out) > 0
	}
	w.n, w.err = readNow(fd, w.in)
	return w.n > 0 || w.err != nil
}

// rawWrite is writeNow within a hold.
func (s *socket) rawWrite(p []byte) (int, error) { return writeNow(uintptr(s.fd), p) }

// writeNow writes as much of p as the kernel takes at once.
func writeNow(fd uintptr, p []byte) (int, error) {
	done := 0
	for done < len(p) {
		// Not write: what stands between that and the socket takes longer to pass.
		n, errno := call(syscall.SYS_SENDTO, fd, p[done:], syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
		switch errno {
		case 0:
			done += n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return done, nil
		default:
			return done, os.NewSyscallError("sendto", errno)
		}
	}
	return done, nil
}

// readNow reads what is there. Zero bytes without an error mean that nothing is.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, errno := call(syscall.SYS_RECVFROM, fd, p, syscall.MSG_DONTWAIT)
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return 0, nil
		case errno != 0:
			return 0, os.NewSyscallError("recvfrom", errno)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// still reports whether the other end has neither closed the connection nor spoken
// since the last read.
func (s *socket) still() bool {
	still := true // where nobody can look
	if s.tcp != nil {
		err := s.tcp.Control(func(fd uintptr) { still = quiet(fd) })
		return err == nil && still
	}
	return still
}

func quiet(fd uintptr) bool {
	var b [1]byte
	_, errno := call(syscall.SYS_RECVFROM, fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errno == syscall.EAGAIN
}

// call makes a system call that does not block.
func call(trap, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}

// poll reads what is there, without waiting. Where that is not known it reads nothing.
func (s *socket) poll(p []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	if failed := s.raw.Control(func(fd uintptr) { n, err = readNow(fd, p) }); failed != nil {
		return 0, failed
	}
	return n, err
}

// gone reports whether the other end has closed the connection, or its half. It may be
// asked by any goroutine.
func (s *socket) gone() bool {
	if s.tcp == nil {
		return false
	}
	const rdhup = 0x2000 // POLLRDHUP: the other end has shut its writing half down
	var polled struct {
		fd              int32
		events, revents int16
	}
	err := s.tcp.Control(func(fd uintptr) {
		polled.fd, polled.events = int32(fd), rdhup
		var now syscall.Timespec
		_, _, _ = syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&polled)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	})
	return err != nil || polled.revents != 0
}
