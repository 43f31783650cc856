package main

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// The load and the origin share a core, so what they cost must be small beside what
// the proxy costs: one thread each, one epoll, and system calls that never block made
// without telling Go's scheduler.

// sysEpollPwait2 waits with a timeout in nanoseconds. Package syscall does not know it.
const sysEpollPwait2 = 441

// arrivals has a poller tell of bytes as they come, once: an event that is looked at
// again while nothing is left costs as much as a small system call.
const arrivals = syscall.EPOLLIN | 1<<31 // EPOLLET, which package syscall has as a negative number

// read returns 0 and no error at the end, and EAGAIN when nothing has come.
func read(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func write(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// poller is one epoll. An event's Fd is whatever number the caller gave it.
type poller struct {
	fd     int
	events [256]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() { _ = syscall.Close(p.fd) }

func (p *poller) watch(op, fd int, number int32, events uint32) error {
	err := syscall.EpollCtl(p.fd, op, fd, &syscall.EpollEvent{Events: events, Fd: number})
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// wait returns the events that there are, after at most timeout; below zero it waits
// for one.
func (p *poller) wait(timeout time.Duration) ([]syscall.EpollEvent, error) {
	var at *syscall.Timespec
	if timeout >= 0 {
		limit := syscall.NsecToTimespec(int64(timeout))
		at = &limit
	}
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(at)), 0, 0)
	runtime.KeepAlive(at)
	switch errno {
	case 0:
		return p.events[:n], nil
	case syscall.EINTR:
		return nil, nil
	case syscall.ENOSYS:
		return nil, fmt.Errorf("this kernel lacks epoll_pwait2: Linux 5.11 or later is needed")
	}
	return nil, fmt.Errorf("epoll: %w", errno)
}

// fineTimers has the waits of this thread end when they are due, not 50 µs later.
func fineTimers() {
	const prSetTimerslack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerslack, 1, 0) // a late timer only widens the latencies of all
}

// connect returns a connected socket that does not block.
func connect(to *net.TCPAddr) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	at := &syscall.SockaddrInet4{Port: to.Port}
	copy(at.Addr[:], to.IP.To4())
	if err = syscall.Connect(fd, at); err == nil {
		err = noDelay(fd)
	}
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, fmt.Errorf("connect to %s: %w", to, err)
	}
	return fd, nil
}

// listen returns a listening socket of 127.0.0.1 that does not block, and its port.
func listen() (fd, port int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("socket: %w", err)
	}
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = syscall.Listen(fd, 4096)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("listen: %w", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, 0, fmt.Errorf("listen: %w", err)
	}
	return fd, name.(*syscall.SockaddrInet4).Port, nil
}

func noDelay(fd int) error {
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
}
