package bridge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// past is a deadline that has always gone by.
var past = time.Unix(1, 0)

// upload is the client's body as the stack gets it: Close may be called beside
// Read, stops it and waits for it.
type upload struct {
	body      io.ReadCloser
	request   *http.Request
	trailer   http.Header // the request's, filled at EOF
	hops      Hops
	control   *http.ResponseController
	begin     func() // before the first byte is asked for
	interrupt func() // before a read is broken off

	reading sync.Mutex // held for as long as a Read lasts; protects err, begun
	err     error      // what the body ended with
	begun   bool

	once     sync.Once
	closed   atomic.Bool
	whole    atomic.Bool // read to its end
	broken   atomic.Bool // a read failed or was broken off: the connection cannot be used again
	received atomic.Int64
}

// Read reads from the client. Its errors are Faults where they are about the
// client: gone, too slow, or not speaking HTTP.
func (u *upload) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if u.err != nil {
		return 0, u.err // never ask net/http again: nothing may be read once whole
	}
	if u.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if !u.begun {
		u.begun = true
		u.begin()
	}
	n, err := u.body.Read(p)
	u.received.Add(int64(n))
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		u.hops.StripTrailer(u.trailer)
		u.whole.Store(true)
		u.err = io.EOF
	case u.closed.Load():
		u.err = http.ErrBodyReadAfterClose
	default:
		u.broken.Store(true)
		u.err = u.fault(err)
	}
	return n, u.err
}

// fault says what err is about.
func (u *upload) fault(err error) error {
	var fault *mesh.Fault
	var limit *http.MaxBytesError
	var broken net.Error
	switch {
	case errors.As(err, &fault), errors.As(err, &limit):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &mesh.Fault{Kind: mesh.RequestTimeout, Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken),
		u.request.Context().Err() != nil, u.request.ProtoMajor >= 2: // HTTP/2 resets what is malformed
		return &mesh.Fault{Kind: mesh.ClientGone, Err: err}
	}
	return &mesh.Fault{Kind: mesh.Malformed, Err: err}
}

// Close makes a Read in progress fail, waits for it, and lets no other begin. It
// does not read what is left; net/http deals with that.
func (u *upload) Close() error {
	u.once.Do(u.stop) // a second Close waits for the first, and is never taken for a reader
	return nil
}

func (u *upload) stop() {
	u.closed.Store(true)
	if !u.reading.TryLock() {
		if !u.whole.Load() {
			u.broken.Store(true)
			u.interrupt()
			_ = u.control.SetReadDeadline(past) // a server without deadlines is waited for
		}
		u.reading.Lock()
	}
	u.reading.Unlock()
}

// reusable reports whether the connection can serve another request after this
// body: it ended by itself.
func (u *upload) reusable() bool { return u.whole.Load() && !u.broken.Load() }

// watch makes the call of a client whose connection or stream ends with parent. It
// is cancelled with a ClientGone fault then or, past its deadline, with that: over
// HTTP/2 it is our own write deadline that ends the stream. The call's context does
// not end with parent by itself: its cause would then be parent's, which tells
// nobody why.
func watch(parent context.Context) (_ *mesh.Call, _ context.CancelCauseFunc, stop func() bool) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	call := mesh.NewCall(ctx)
	stop = context.AfterFunc(parent, func() {
		cause := context.Cause(parent)
		if late(call) {
			cancel(&mesh.Fault{Kind: mesh.ResponseTimeout, Err: cause})
			return
		}
		cancel(gone(cause))
	})
	return call, cancel, stop
}
