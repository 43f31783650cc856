package http1

import (
	"net"
	"syscall"
	"testing"
)

// A client whose end comes in one segment with its request is not waited for: the poller
// tells of both at once, and never again.
func TestSeesAnEndInTheSameSegment(t *testing.T) {
	h := open(t, "raw", ServerConfig{Handler: answers(hello), IdleTimeout: -1, ReadHeaderTimeout: -1})
	for range 20 {
		k := h.dial(t)
		k.send(get)
		k.want(200, "GET /")
		raw, err := k.Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, 1) }); err != nil {
			t.Fatal(err)
		}
		k.send(get)
		if err := k.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		k.want(200, "GET /")
		k.closed()
	}
}
