package http1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// slowest is how many bytes a second a body whose length is known must have, beyond the
// first BodyTimeout that it is waited for.
const slowest = 128

// upload is a request's body as the stack gets it: Close may be called beside Read,
// stops it and waits for it.
type upload struct {
	c      *client
	w      *work // whose buffer may have some of it
	loan   *loan
	left   int64 // bytes to come, of a body whose length is known
	chunks chunks

	reading sync.Mutex // held for as long as a Read lasts; protects all above, and err, begun, waited
	err     error      // what it ended with
	begun   bool
	waited  time.Duration // for the client

	closed   atomic.Bool
	ended    atomic.Bool // read to its end
	broken   atomic.Bool // a read failed or was broken off: where the next request begins is not known
	lent     atomic.Bool // by Buffered
	received atomic.Int64
}

// begin readies the upload for the request that l holds.
func (u *upload) begin(c *client, l *loan) {
	frame := l.frame
	l.req.Body = http.NoBody
	if frame.length == 0 {
		u.ended.Store(true)
		return
	}
	u.c, u.w, u.loan, u.left = c, c.work, l, frame.length
	u.err, u.begun, u.waited = nil, false, 0
	u.closed.Store(false)
	u.ended.Store(false)
	u.broken.Store(false)
	u.lent.Store(false)
	u.received.Store(0)
	if frame.chunked {
		u.chunks.reset(c.srv.limits)
	}
	if frame.expect {
		l.interim.expect()
	}
	l.req.Body = u
}

// whole reports whether the request can be served without reading on, and without
// anything that outlasts it.
func (l *loan) whole() bool {
	f := &l.frame
	return !f.chunked && f.length <= int64(len(l.upload.pending(f))) && !f.upgrade && l.req.Method != http.MethodConnect
}

func (u *upload) pending(f *framing) []byte {
	if f.length == 0 {
		return nil
	}
	return u.w.pending()
}

// Buffered returns what is left of the body where all of it is there already, for as
// long as the body is not closed, and leaves it to be read.
func (u *upload) Buffered() ([]byte, bool) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if u.closed.Load() || u.err != nil || u.loan.frame.chunked || u.left > int64(len(u.w.pending())) {
		return nil, false
	}
	u.lent.Store(true)
	return u.w.pending()[:u.left:u.left], true
}

// Read reads from the client. Its errors are Faults where they are about the client:
// gone, too slow, or not speaking HTTP.
func (u *upload) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	switch {
	case u.err != nil:
		return 0, u.err
	case u.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case len(p) == 0:
		return 0, nil
	}
	if !u.begun {
		u.begun = true
		if u.loan.frame.expect && len(u.w.pending()) == 0 {
			u.loan.interim.proceed()
		}
	}
	n, err := u.next(p)
	u.received.Add(int64(n))
	if err == nil {
		return n, nil
	}
	if err == io.EOF { //nolint:errorlint // next returns io.EOF itself
		u.ended.Store(true)
	} else {
		u.broken.Store(true)
		if u.closed.Load() {
			err = http.ErrBodyReadAfterClose
		}
	}
	u.err = err
	return n, err
}

// next reads what is there of the body, or comes next. It is io.EOF at the end, with
// the last bytes or after them.
func (u *upload) next(p []byte) (n int, err error) {
	if u.loan.frame.chunked {
		return u.nextChunked(p)
	}
	if int64(len(p)) > u.left {
		p = p[:u.left]
	}
	if have := u.w.pending(); len(have) > 0 {
		n = copy(p, have)
		u.w.start += n
	} else if n, err = u.receive(p); err != nil {
		return n, err
	}
	if u.left -= int64(n); u.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (u *upload) nextChunked(p []byte) (int, error) {
	for {
		n, taken, done, fault := u.chunks.decode(p, u.w.pending())
		u.w.start += taken
		switch {
		case fault != nil:
			return n, fault
		case done:
			if u.loan.req.Trailer != nil { // what was not announced nobody waits for, and others may be looking at req
				u.chunks.merge(&u.loan.req.Trailer)
			}
			return n, io.EOF
		case n > 0:
			return n, nil
		}
		if data := u.chunks.direct(); data > 0 {
			n, err := u.receive(p[:min(int64(len(p)), data)])
			u.chunks.took(int64(n))
			return n, err
		}
		n, err := u.receive(u.w.room(inBytes))
		if err != nil {
			return 0, err
		}
		u.w.end += n
	}
}

// receive reads from the socket, with patience.
func (u *upload) receive(p []byte) (int, error) {
	var until, now time.Time
	if patience := u.c.srv.cfg.BodyTimeout; patience > 0 {
		now = time.Now()
		until = now.Add(patience)
		if !u.loan.frame.chunked {
			earned := time.Duration(u.received.Load()/slowest) * time.Second
			if left := patience + earned - u.waited; left < patience {
				until = now.Add(left)
			}
		}
	}
	n, err := u.c.sock.read(p, until)
	if !now.IsZero() {
		u.waited += time.Since(now)
	}
	switch {
	case n > 0 || err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, &mesh.Fault{Kind: mesh.RequestTimeout, Err: err}
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return 0, &mesh.Fault{Kind: mesh.ClientGone, Err: err}
}

// Close makes a Read in progress fail, waits for it, and lets no other begin.
func (u *upload) Close() error {
	u.closed.Store(true)
	if !u.reading.TryLock() { // a second Close waits for the first at worst
		if !u.ended.Load() {
			u.broken.Store(true)
			u.c.sock.deafen()
		}
		u.reading.Lock()
	}
	u.reading.Unlock()
	return nil
}
