package door

import (
	"net"
	"sync"
)

// feed is a net.Listener whose connections are pushed in.
type feed struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newFeed() *feed { return &feed{conns: make(chan net.Conn), closed: make(chan struct{})} }

// push hands c to Accept, and reports whether somebody took it.
func (f *feed) push(c net.Conn) bool {
	select {
	case f.conns <- c:
		return true
	case <-f.closed:
		return false
	}
}

// Accept returns the next connection pushed in, and net.ErrClosed after Close.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr is nobody's: the door has the address.
func (f *feed) Addr() net.Addr { return &net.TCPAddr{} }
