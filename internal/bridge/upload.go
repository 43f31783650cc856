package bridge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"outrider/internal/mesh"
)

// upload is the client's body as the stack gets it: Close may be called beside
// Read, stops it and waits for it.
type upload struct {
	body    io.ReadCloser
	trailer http.Header // the request's, filled at EOF
	hops    Hops
	control *http.ResponseController

	reading sync.Mutex // held for as long as a Read lasts; protects err
	err     error      // what the body ended with

	once     sync.Once
	closed   atomic.Bool
	received atomic.Int64
}

// Read reads from the client. Its errors are Faults where they are about the
// client: gone, or too slow.
func (u *upload) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if u.err != nil {
		return 0, u.err // never ask net/http again: nothing may be read once whole
	}
	if u.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := u.body.Read(p)
	u.received.Add(int64(n))
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		u.hops.StripTrailer(u.trailer)
		u.err = io.EOF
	case u.closed.Load():
		u.err = http.ErrBodyReadAfterClose
	default:
		u.err = uploadFault(err)
	}
	return n, u.err
}

// uploadFault says what err is about.
func uploadFault(err error) error {
	var fault *mesh.Fault
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &fault), errors.As(err, &limit):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &mesh.Fault{Kind: mesh.RequestTimeout, Err: err}
	}
	return &mesh.Fault{Kind: mesh.ClientGone, Err: err} // net/http resets a stream that is malformed
}

// Close makes a Read in progress fail, waits for it, and lets no other begin. It
// does not read what is left: net/http resets the stream.
func (u *upload) Close() error {
	u.once.Do(u.stop) // a second Close waits for the first, and is never taken for a reader
	return nil
}

func (u *upload) stop() {
	u.closed.Store(true)
	if !u.reading.TryLock() {
		_ = u.control.SetReadDeadline(past) // a server without deadlines is waited for
		u.reading.Lock()
	}
	u.reading.Unlock()
}

// watch makes the call of a client whose stream ends with parent. It is cancelled with
// a ClientGone fault then or, past its deadline, with that: it may be our own write
// deadline that ends the stream. The call's context does
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
		cancel(mesh.Gone(cause))
	})
	return call, cancel, stop
}
