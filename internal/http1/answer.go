package http1

import (
	"io"
	"net/http"
)

const (
	answersAtOnce = 16      // answers that are made together
	smallRead     = 1 << 10 // a smaller read goes by way of the buffer
)

// answer is a response and its body. The wire behind it serves one exchange after
// another, but an answer serves one alone: whoever reads or closes it late meets nobody
// else's.
type answer struct {
	wire *wire // nil once closed
	resp http.Response
}

// blank returns a new answer. They are made by the dozen.
func (w *wire) blank() *answer {
	if len(w.blanks) == 0 {
		w.blanks = make([]answer, answersAtOnce)
	}
	a := &w.blanks[0]
	w.blanks = w.blanks[1:]
	return a
}

// Read reads from the endpoint. Its errors but io.EOF are Faults.
func (a *answer) Read(p []byte) (int, error) {
	if a.wire == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return a.wire.read(p)
}

// Close ends the exchange, an upload in progress included. The connection is kept for
// the next where both have come to their end, or the rest of the answer is there.
func (a *answer) Close() error {
	w := a.wire
	if w == nil {
		return nil
	}
	a.wire = nil
	w.end()
	a.resp.Header, a.resp.Trailer, a.resp.Request = nil, nil, nil // they are lent anew
	keep := !w.frame.close && (w.whole || w.drain())
	w.release(keep && w.from == w.to) // else the endpoint has said more than it was asked
	return nil
}

// Ready reports whether a Read would return at once: the server writes what is there
// together.
func (a *answer) Ready() bool { return a.wire != nil && a.wire.ready() }

func (w *wire) ready() bool {
	if w.frame.chunked && w.failed == nil && !w.whole {
		if _, err := w.decode(nil); err != nil { // passes over what delimits the data
			w.failed = w.fault(err, nil)
		}
	}
	return w.failed != nil || w.whole || w.from < w.to
}

func (w *wire) read(p []byte) (int, error) {
	switch {
	case w.failed != nil:
		return 0, w.failed
	case w.whole:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := w.next(p)
	if err != nil {
		w.failed = w.fault(broken(err), w.late)
		return n, w.failed
	}
	if w.whole {
		return n, io.EOF
	}
	return n, nil
}

// next reads the next bytes of the body. At its end it sets whole; none and no error
// are possible then.
func (w *wire) next(p []byte) (int, error) {
	if w.frame.chunked {
		return w.nextChunked(p)
	}
	if !w.frame.untilClose {
		p = p[:min(int64(len(p)), w.left)]
	}
	n, err := w.take(p)
	w.left -= int64(n)
	switch {
	case !w.frame.untilClose:
		w.whole = w.left == 0
	case err == io.EOF: //nolint:errorlint // io.Reader asks for io.EOF itself
		w.whole, err = true, nil
	}
	return n, err
}

// take reads what comes next, as it is: from the buffer, or past it.
func (w *wire) take(p []byte) (int, error) {
	if w.from == w.to {
		if len(p) >= smallRead {
			return w.wait(p)
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.in[w.from:w.to])
	w.from += n
	return n, nil
}

func (w *wire) nextChunked(p []byte) (int, error) {
	for {
		n, err := w.decode(p)
		if n > 0 || err != nil || w.whole {
			return n, err
		}
		if len(p) >= smallRead && w.from == w.to {
			n, err = w.decodeWithin(p)
		} else {
			err = w.fill()
		}
		if n > 0 || err != nil || w.whole {
			return n, err
		}
	}
}

// decodeWithin reads into p and decodes that in place: data never gets longer by it. So
// many small chunks cost one read. What comes behind the body goes to the buffer.
func (w *wire) decodeWithin(p []byte) (int, error) {
	got, err := w.wait(p)
	if err != nil {
		return 0, err
	}
	n, taken, done, fault := w.chunks.decode(p, p[:got])
	if fault != nil {
		return n, fault
	}
	if w.whole = done; done {
		w.chunks.merge(&w.answer.resp.Trailer)
		w.from, w.to = 0, copy(w.in, p[taken:got])
	}
	return n, nil
}

// decode decodes what is in the buffer, as far as p has room for it, and what
// delimits it behind that.
func (w *wire) decode(p []byte) (int, error) {
	n := 0
	for _, room := range [2][]byte{p, nil} {
		written, taken, done, fault := w.chunks.decode(room, w.in[w.from:w.to])
		n += written
		w.from += taken
		if fault != nil {
			return n, fault
		}
		if w.whole = done; done {
			w.chunks.merge(&w.answer.resp.Trailer)
			return n, nil
		}
	}
	return n, nil
}

// drain reads what is left of the body, and reports whether that is all there already:
// waiting for it would cost more than another connection.
func (w *wire) drain() bool {
	if w.failed != nil || w.frame.untilClose || w.left > int64(len(w.in)) {
		return false
	}
	w.discard()
	if !w.whole && w.failed == nil && w.from == w.to {
		n, _ := w.socket.poll(w.in)
		w.from, w.to = 0, n
		w.discard()
	}
	return w.whole
}

// discard passes over what is in the buffer.
func (w *wire) discard() {
	var room [512]byte
	for !w.whole && w.failed == nil && w.from < w.to {
		if !w.frame.chunked {
			n := int(min(int64(w.to-w.from), w.left))
			w.from, w.left = w.from+n, w.left-int64(n)
			w.whole = w.left == 0
			continue
		}
		if _, err := w.decode(room[:]); err != nil {
			w.failed = w.fault(err, nil)
		}
	}
}
