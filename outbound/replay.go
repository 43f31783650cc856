package outbound

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"outrider/internal/mesh"
)

const (
	replayLimit = 64 << 10 // bytes of a request body that are kept for another attempt
	firstRoom   = 4 << 10  // what a body of unknown length gets to begin with
	chunk       = 32 << 10 // the window on a body that is not kept
)

var (
	errGivenUp = errors.New("the attempt was given up")
	errSpent   = errors.New("the request body has been sent and was not kept")
)

// upload is the client's body, read once and offered to every attempt in turn. It
// keeps the first 64 KiB; a longer one passes through a window and cannot be
// offered again once the window has moved.
//
// The client's body is read on a goroutine of its own per read, which ends with
// that read. So an attempt that is given up never waits for a slow client, and
// what the read brings is there for the next attempt. The call's end waits for it: the
// server has closed the client's body by then, which breaks the read off, and lends it
// to another request afterwards.
type upload struct {
	body      io.Reader   // the client's
	trailer   http.Header // the client's: written until body has ended
	announced []string    // the names in trailer
	limit     int         // how much is kept
	hint      int         // the first buffer's size

	mu      sync.Mutex // protects all below
	changed *sync.Cond // on mu: a read has ended, or a reader was released or closed
	window  []byte     // what has been read, from offset first on
	first   int64      // offset of window[0]; above zero, the beginning is gone
	err     error      // how the body ended, io.EOF when well
	reading bool       // a read of body is in flight
	current *uploadReader
}

// newUpload returns the upload of req, nil when it has no body, or has it whole.
func newUpload(req *http.Request) *upload {
	if !hasBody(req) {
		return nil
	}
	if _, ok := whole(req); ok {
		return nil
	}
	u := &upload{body: req.Body, trailer: req.Trailer, limit: replayLimit, hint: firstRoom}
	for name := range req.Trailer { // now, because reading the body writes to the map
		u.announced = append(u.announced, strings.Clone(name)) // HTTP/2 keeps it, see detach
	}
	if req.ContentLength > replayLimit {
		u.limit = 0 // it cannot be kept whole, so none of it is
	} else if req.ContentLength > 0 {
		u.hint = int(req.ContentLength)
	}
	u.changed = sync.NewCond(&u.mu)
	return u
}

// blank returns the trailer of an attempt, which says what is to come; nil where nothing
// is.
func (u *upload) blank() http.Header {
	if len(u.announced) == 0 {
		return nil
	}
	trailer := make(http.Header, len(u.announced))
	for _, name := range u.announced {
		trailer[name] = nil
	}
	return trailer
}

// open returns a reader from the beginning, which gets a copy of the client's
// trailer into trailer when the body has ended. The reader before it is closed.
// The error is errSpent when the beginning is gone.
func (u *upload) open(trailer http.Header) (*uploadReader, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current != nil {
		u.close(u.current)
	}
	if u.first > 0 {
		return nil, errSpent
	}
	u.current = &uploadReader{upload: u, trailer: trailer}
	return u.current, nil
}

// repeatable reports whether open would succeed.
func (u *upload) repeatable() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.first == 0
}

// failure returns why the client's body ended before its time, nil when it did not.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if isEnd(u.err) {
		return nil
	}
	return u.err
}

// owed reports whether what is missing is the client's to send: the attempt has
// taken all that came, and that was not all.
func (u *upload) owed() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current == nil || !u.current.asked || u.current.offset < u.first+int64(len(u.window)) {
		return false
	}
	return u.reading || u.err != nil && !isEnd(u.err)
}

// latest returns the reader that was opened last; nil when there is none.
func (u *upload) latest() *uploadReader {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.current
}

// close ends r. u.mu is held.
func (u *upload) close(r *uploadReader) {
	r.closed = true
	u.changed.Broadcast()
}

// fetch reads once from the client.
func (u *upload) fetch() {
	u.mu.Lock()
	room := u.room()
	u.mu.Unlock()

	n, err := u.body.Read(room)

	u.mu.Lock()
	defer u.mu.Unlock()
	if n > 0 {
		u.add(room[:n])
	}
	u.err = err
	u.reading = false
	u.changed.Broadcast()
}

// End is the end of the call. A read that is under way is waited for.
func (u *upload) End(mesh.Result) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.reading {
		u.changed.Wait()
	}
}

// kept reports whether the window begins at the beginning and may grow. u.mu is
// held.
func (u *upload) kept() bool { return u.first == 0 && len(u.window) < u.limit }

// room returns where the next read goes. Whoever asks has consumed the window. u.mu
// is held.
func (u *upload) room() []byte {
	n := len(u.window)
	switch {
	case u.first > 0: // nothing to lose
		return u.window[:cap(u.window)]
	case !u.kept(): // not over the window: an end of file must not cost what is kept
		return make([]byte, chunk)
	case n == cap(u.window):
		grown := make([]byte, n, min(max(u.hint, 4*n), u.limit))
		copy(grown, u.window)
		u.window = grown
	}
	return u.window[n:cap(u.window)]
}

// add takes in what was read into room. u.mu is held.
func (u *upload) add(b []byte) {
	n := len(u.window)
	if u.kept() {
		u.window = u.window[:n+len(b)] // b is its next part
		return
	}
	u.first += int64(n)
	u.window = b
}

// uploadReader is one attempt's view of the upload.
type uploadReader struct {
	upload  *upload
	trailer http.Header // the attempt's

	// Protected by upload.mu.
	offset int64
	asked  bool // somebody has begun to read
	held   bool // reads wait
	closed bool
}

// Read returns what the client has sent, waiting for it where it must. After Close
// it returns an error, at once.
func (r *uploadReader) Read(p []byte) (int, error) {
	u := r.upload
	u.mu.Lock()
	defer u.mu.Unlock()
	r.asked = true
	for {
		if r.closed {
			return 0, errGivenUp
		}
		if r.held {
			u.changed.Wait()
			continue
		}
		if rest := u.window[r.offset-u.first:]; len(rest) > 0 {
			n := copy(p, rest)
			r.offset += int64(n)
			if n == len(rest) && isEnd(u.err) {
				return n, r.end()
			}
			return n, nil
		}
		if u.err != nil {
			return 0, r.end()
		}
		if !u.reading {
			u.reading = true
			go u.fetch()
		}
		u.changed.Wait()
	}
}

// hold makes reads wait, and nothing is asked of the client, until release or Close.
func (r *uploadReader) hold() {
	r.upload.mu.Lock()
	defer r.upload.mu.Unlock()
	r.held = true
}

// release lets reads go on. A nil reader, of a request without a body, holds none.
func (r *uploadReader) release() {
	if r == nil {
		return
	}
	r.upload.mu.Lock()
	defer r.upload.mu.Unlock()
	r.held = false
	r.upload.changed.Broadcast()
}

// end returns how the body ended, having handed the trailer on. upload.mu is held.
func (r *uploadReader) end() error {
	if isEnd(r.upload.err) && r.trailer != nil {
		maps.Copy(r.trailer, copied(r.upload.trailer))
	}
	return r.upload.err
}

// Close stops a Read in progress. It never closes the client's body.
func (r *uploadReader) Close() error {
	r.stop()
	return nil
}

// stop is Close. A nil reader, of a request without a body, has nothing to stop.
func (r *uploadReader) stop() {
	if r == nil {
		return
	}
	r.upload.mu.Lock()
	defer r.upload.mu.Unlock()
	r.upload.close(r)
}

// isEnd reports whether a body ended well: io.Reader asks for io.EOF itself, and a
// wrapped one may well be a failure.
func isEnd(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}
