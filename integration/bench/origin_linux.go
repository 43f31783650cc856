package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"
)

// origins says where the origin listens: in the clear at two addresses, and with TLS,
// for clients with a certificate.
type origins struct {
	Plain  string `json:"plain"`
	Second string `json:"second"`
	TLS    string `json:"tls"`
}

// runOrigin serves until it is killed, and writes its addresses to w first.
func runOrigin(certs string, w io.Writer) error {
	debug.SetGCPercent(-1) // it allocates nothing after the start but connections
	debug.SetMemoryLimit(256 << 20)
	o := &origin{replies: newReplies(time.Now()), conns: map[int32]*originConn{}}
	var err error
	if o.poller, err = newPoller(); err != nil {
		return err
	}
	var at [2]string
	for i := range o.listeners {
		fd, port, err := listen()
		if err != nil {
			return err
		}
		o.listeners[i], at[i] = fd, fmt.Sprintf("127.0.0.1:%d", port)
		if err := o.poller.watch(syscall.EPOLL_CTL_ADD, fd, int32(fd), syscall.EPOLLIN); err != nil {
			return err
		}
	}
	cfg, err := originTLS(certs)
	if err != nil {
		return err
	}
	secure, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	go serveTLS(secure, o.replies)
	if err := json.NewEncoder(w).Encode(origins{at[0], at[1], secure.Addr().String()}); err != nil {
		return err
	}
	return o.serve()
}

// origin answers each request with what its path stands for.
type origin struct {
	replies   replies
	listeners [2]int
	poller    *poller
	conns     map[int32]*originConn
	buf       [64 << 10]byte
}

type originConn struct {
	question question
	out      []byte // what is left of an answer that the socket had no room for
}

func (o *origin) serve() error {
	for {
		events, err := o.poller.wait(-1)
		if err != nil {
			return err
		}
		for _, e := range events {
			if int(e.Fd) == o.listeners[0] || int(e.Fd) == o.listeners[1] {
				o.accept(int(e.Fd))
				continue
			}
			if err := o.attend(e.Fd, e.Events); err != nil {
				if err != io.EOF { //nolint:errorlint // attend wraps none
					fmt.Fprintln(os.Stderr, "origin:", err)
				}
				delete(o.conns, e.Fd)
				_ = syscall.Close(int(e.Fd))
			}
		}
	}
}

// accept takes one connection; where there are more, the next event says so.
func (o *origin) accept(listener int) {
	fd, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	if err != nil {
		return
	}
	if noDelay(fd) != nil || o.poller.watch(syscall.EPOLL_CTL_ADD, fd, int32(fd), arrivals) != nil {
		_ = syscall.Close(fd)
		return
	}
	o.conns[int32(fd)] = &originConn{question: question{replies: o.replies}}
}

// attend goes on with a connection. Its end is io.EOF.
func (o *origin) attend(number int32, events uint32) error {
	c, fd := o.conns[number], int(number)
	if events&syscall.EPOLLOUT != 0 {
		return o.flush(c, fd)
	}
	for full := true; full; {
		n, err := read(fd, o.buf[:])
		if err == syscall.EAGAIN { //nolint:errorlint // a bare number
			return nil
		}
		if n == 0 || err != nil {
			return io.EOF
		}
		if err := o.take(c, fd, o.buf[:n]); err != nil {
			return err
		}
		full = n == len(o.buf)
	}
	return nil
}

// take answers the requests in b.
func (o *origin) take(c *originConn, fd int, b []byte) error {
	for len(b) > 0 {
		used, reply, err := c.question.take(b)
		if err != nil {
			return err
		}
		b = b[used:]
		if reply == nil {
			continue
		}
		if c.out != nil {
			return fmt.Errorf("a request came before the last one was answered")
		}
		if err := o.send(c, fd, reply); err != nil {
			return err
		}
	}
	return nil
}

// send writes a reply. What the socket has no room for goes out when it has.
func (o *origin) send(c *originConn, fd int, reply []byte) error {
	n, err := write(fd, reply)
	if err != nil && err != syscall.EAGAIN { //nolint:errorlint // a bare number
		return io.EOF
	}
	if n == len(reply) {
		return nil
	}
	c.out = reply[n:]
	return o.poller.watch(syscall.EPOLL_CTL_MOD, fd, int32(fd), syscall.EPOLLOUT)
}

func (o *origin) flush(c *originConn, fd int) error {
	n, err := write(fd, c.out)
	if err != nil && err != syscall.EAGAIN { //nolint:errorlint // a bare number
		return io.EOF
	}
	if c.out = c.out[n:]; len(c.out) > 0 {
		return nil
	}
	c.out = nil
	return o.poller.watch(syscall.EPOLL_CTL_MOD, fd, int32(fd), arrivals)
}

// serveTLS has a goroutine per connection: crypto/tls knows no other way.
func serveTLS(l net.Listener, replies replies) {
	for {
		c, err := l.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "origin:", err)
			return
		}
		go serveConn(c, replies)
	}
}

func serveConn(c net.Conn, replies replies) {
	defer c.Close()
	q := question{replies: replies}
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) > 0; {
			used, reply, err := q.take(b)
			if err != nil {
				fmt.Fprintln(os.Stderr, "origin:", err)
				return
			}
			b = b[used:]
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	}
}
