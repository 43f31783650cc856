package http1

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"outrider/internal/mesh"
)

const (
	feedRoom = 32 << 10 // bytes of a body that are read at once
	feedHead = 8        // of which the size of a chunk, and the end of its line, have room before them
	feedTail = 2        // and a line's end after them

	// lastBytes is how long the end of an upload is waited for when the whole answer is
	// there: an endpoint that has read all may have answered before our write returns.
	lastBytes = 20 * time.Millisecond
)

// feed is an upload: a goroutine that copies a request's body to the endpoint while
// the answer is read.
type feed struct {
	wire    *wire
	rooms   *sync.Pool
	body    io.ReadCloser
	length  int64       // negative: chunked
	trailer http.Header // written to by body until it ends
	done    chan struct{}

	mu      sync.Mutex // protects all below
	ending  bool       // what is being written is the last
	whole   bool       // all has been written
	stopped bool
	err     error // of body
}

// upload starts the upload of o's body.
func (w *wire) upload(o *order) {
	w.expect = time.Time{}
	f := &feed{wire: w, rooms: &w.transport.rooms, body: o.stream, length: -1, trailer: o.req.Trailer, done: make(chan struct{})}
	if !o.how.chunked {
		f.length = o.how.length
	}
	w.feed = f
	go f.run()
}

// run copies the body. Where that fails nobody waits for an answer any longer; where
// the connection does, whoever reads from it sees for himself.
func (f *feed) run() {
	defer close(f.done)
	room := f.rooms.Get().(*[feedRoom]byte) //nolint:errcheck // nothing else is in there
	defer f.rooms.Put(room)
	if f.length >= 0 {
		f.measured(room[:])
	} else {
		f.chunked(room[:])
	}
}

// measured copies a body whose length is known.
func (f *feed) measured(room []byte) {
	for left := f.length; left > 0; {
		n, err := f.body.Read(room)
		if int64(n) > left || err == io.EOF && int64(n) < left { //nolint:errorlint // io.Reader asks for io.EOF itself
			err = &mesh.Fault{Kind: mesh.Internal, Err: errLength}
		} else if int64(n) == left {
			err = nil
			f.nearlyDone()
		}
		if err != nil && err != io.EOF { //nolint:errorlint // see above
			f.fail(err)
			return
		}
		if n > 0 && !f.write(room[:n]) {
			return
		}
		left -= int64(n)
	}
	f.complete()
}

// chunked copies a body whose length shows at its end.
func (f *feed) chunked(room []byte) {
	for {
		n, err := f.body.Read(room[feedHead : len(room)-feedTail])
		if n > 0 && !f.write(chunkOf(room, n)) {
			return
		}
		if err == io.EOF { //nolint:errorlint // io.Reader asks for io.EOF itself
			break
		}
		if err != nil {
			f.fail(err)
			return
		}
	}
	f.nearlyDone()
	end, fault := appendTrailer(room[:0], f.trailer)
	if fault != nil {
		f.fail(fault)
		return
	}
	if f.write(end) {
		f.complete()
	}
}

// chunkOf makes the n bytes at room[feedHead] a chunk.
func chunkOf(room []byte, n int) []byte {
	var digits [feedHead]byte
	size := strconv.AppendUint(digits[:0], uint64(n), 16)
	from := feedHead - len("\r\n") - len(size)
	copy(room[from:], size)
	copy(room[feedHead-len("\r\n"):], "\r\n")
	copy(room[feedHead+n:], "\r\n")
	return room[from : feedHead+n+len("\r\n")]
}

// write writes to the endpoint, for as long as the exchange lasts: whoever reads the
// answer looks at the deadline.
func (f *feed) write(p []byte) bool {
	_, err := f.wire.socket.plainWrite(p, time.Time{})
	return err == nil
}

func (f *feed) nearlyDone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ending = true
}

func (f *feed) complete() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.whole = true
}

// fail notes that the body has failed, and ends the wait for an answer to it.
func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stopped {
		f.err = err
		f.wire.socket.interrupt()
	}
}

// failure returns why the body ended before its time; nil where it did not. A nil feed
// has none.
func (f *feed) failure() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// end stops the upload, waits for it, and reports whether it was whole.
func (f *feed) end() bool {
	f.mu.Lock()
	ending := f.ending
	f.mu.Unlock()
	if ending && f.await(lastBytes) {
		return f.whole
	}
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	_ = f.body.Close() // it stops a Read in progress
	f.wire.socket.interrupt()
	<-f.done
	return f.whole
}

// await waits for the goroutine's end, and reports whether it came within d.
func (f *feed) await(d time.Duration) bool {
	select {
	case <-f.done:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-f.done:
		return true
	case <-timer.C:
		return false
	}
}
