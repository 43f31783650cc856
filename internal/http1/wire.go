package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"outrider/internal/mesh"
)

const (
	firstIn  = 4 << 10  // bytes of a wire's input buffer
	firstOut = 1 << 10  // and of its output buffer
	keptIn   = 16 << 10 // a larger one is not kept for the next exchange
	keptOut  = 8 << 10
	keptMap  = 64 // a response with more fields leaves its map behind
)

// wire is a connection to an endpoint, with the memory of the exchange on it: what a
// response is lent, and the next one after it. It serves one exchange at a time.
type wire struct {
	transport *Transport
	socket    *socket
	born      time.Time
	idle      time.Time // when the last exchange was over
	kept      bool      // it comes from the pool

	head    head
	chunks  chunks
	blanks  []answer // to be used once each
	out, in []byte
	from    int // in[from:to] has come and has not been looked at
	to      int

	exchange
}

// exchange is what a wire knows of one request and its answer.
type exchange struct {
	call   *mesh.Call
	own    bool // the call is the Transport's
	method string
	answer *answer
	feed   *feed         // the upload; nil where it has not begun, or there is none
	expect time.Time     // until when the body is held back; zero where it is not
	heard  bool          // a byte of an answer has come
	frame  framing       // of the answer
	left   int64         // bytes of its body still to come, where it has a length
	whole  bool          // all of it has come
	failed *mesh.Fault   // why it never will
	stated time.Duration // what the endpoint says of its idle timeout; negative is nothing
	late   *mesh.Fault   // what the passing of the deadline that was waited with last means
	unsent bool          // nothing of the request has been sent
}

func newWire(t *Transport, c net.Conn) *wire {
	return &wire{
		transport: t, socket: newSocket(c), born: time.Now(),
		in: make([]byte, firstIn), out: make([]byte, 0, firstOut),
	}
}

// Interrupt ends every wait on the connection, because the call has ended.
func (w *wire) Interrupt() { w.socket.interrupt() }

// run makes the exchange that o asks for, up to the head of its answer, which is
// w.answer then. Where it fails w is done with; again says that o can be sent on another
// connection.
func (w *wire) run(o *order) (again bool, _ *mesh.Fault) {
	w.exchange = exchange{call: o.call, own: o.own, method: o.req.Method, answer: w.blank(), stated: -1}
	w.from, w.to = 0, 0
	if cause := o.call.Attend(w); cause != nil {
		w.release(true)
		return false, w.transport.placed(mesh.EndOf(cause))
	}
	var fault *mesh.Fault
	if w.out, fault = o.append(w.out[:0]); fault != nil {
		w.release(true)
		return false, w.transport.placed(fault)
	}
	n, sent, err := w.send(o)
	if err == nil {
		err = w.listen(o, n)
	}
	if err == nil {
		return false, nil
	}
	return w.fail(o, sent, err)
}

// send writes the request, and returns how much of the answer it has read into w.in.
// Of a body that is not all there it writes nothing, but starts the upload.
func (w *wire) send(o *order) (n, sent int, err error) {
	at, late := w.call.Due()
	w.late = late
	if o.stream == nil {
		return w.socket.exchange(w.out, w.in, w.kept, at)
	}
	if sent, err = w.socket.send(w.out, w.kept, at); err != nil {
		return 0, sent, err
	}
	if wait := w.transport.config.ContinueTimeout; wait > 0 && o.expects() {
		w.expect = time.Now().Add(wait)
	} else {
		w.upload(o)
	}
	return 0, sent, nil
}

// fail ends an exchange that has failed with err before the head of its answer, after
// so many bytes of the request.
func (w *wire) fail(o *order, sent int, err error) (again bool, _ *mesh.Fault) {
	w.unsent = sent == 0
	fault := w.fault(err, w.late)
	dead := w.kept && !w.heard && fault.Kind == mesh.Reset
	touched := w.feed != nil
	w.release(false)
	switch {
	case errors.Is(err, errStale):
		w.transport.pool.stale(w)
		return true, nil
	case dead:
		w.transport.pool.stale(w)
		if !o.again && fault.Retryable && o.repeat(touched) {
			return true, nil
		}
	}
	return false, fault
}

// release ends the exchange: the call is told no more. The connection goes back to the
// pool where it is to be kept and nothing has interrupted it.
func (w *wire) release(keep bool) {
	if w.feed != nil && !w.feed.end() {
		keep = false
	}
	w.call.Dismiss()
	keep = keep && !w.socket.interrupted()
	stated := w.stated
	w.forget()
	if !keep {
		w.socket.close()
		return
	}
	w.kept = true
	w.transport.pool.put(w, stated)
}

// end ends the call where it is ours.
func (w *wire) end() {
	if w.own {
		w.call.End(mesh.Result{Status: w.answer.resp.StatusCode})
	}
}

// forget lets go of all that belongs to the exchange.
func (w *wire) forget() {
	w.exchange = exchange{}
	if len(w.head.header) > keptMap {
		w.head = head{}
	}
	clear(w.head.header)
	if cap(w.in) > keptIn {
		w.in = make([]byte, firstIn)
	}
	if cap(w.out) > keptOut {
		w.out = make([]byte, 0, firstOut)
	}
}

// wait reads what comes next into p, until the call is due, or the body is not to be
// held back any longer: then there is no late.
func (w *wire) wait(p []byte) (int, error) {
	at, late := w.call.Due()
	if !w.expect.IsZero() && (at.IsZero() || w.expect.Before(at)) {
		at, late = w.expect, nil
	}
	w.late = late
	n, err := w.socket.read(p, at)
	if n > 0 {
		w.heard = true
		return n, nil
	}
	return 0, err
}

// fill reads more into w.in, which is made larger where it is full.
func (w *wire) fill() error {
	switch {
	case w.from == w.to:
		w.from, w.to = 0, 0
	case w.to == len(w.in) && w.from > 0:
		w.to = copy(w.in, w.in[w.from:w.to])
		w.from = 0
	case w.to == len(w.in):
		larger := make([]byte, 2*len(w.in)) // scan allows no head that does not fit
		copy(larger, w.in)
		w.in = larger
	}
	n, err := w.wait(w.in[w.to:])
	w.to += n
	return err
}

// fault returns what err, which ended a wait on the connection, means; late is what it
// does where time ran out. What ended the call comes first: what it did to the
// connection is only its consequence. The client's body comes next, for the same
// reason.
func (w *wire) fault(err error, late *mesh.Fault) *mesh.Fault {
	if cause := w.call.Cause(); cause != nil {
		return w.transport.placed(mesh.EndOf(cause))
	}
	if late != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return w.transport.placed(late)
	}
	if failure := w.feed.failure(); failure != nil {
		return mesh.Gone(failure)
	}
	var f *mesh.Fault
	if !errors.As(err, &f) { // else the parser's, which is ours alone
		f = &mesh.Fault{Kind: kindOf(err), Err: err}
	}
	f.Endpoint, f.Retryable = w.transport.config.Address, mesh.Idempotent(w.method) || w.unsent
	return f
}

// kindOf returns the sort of a connection's error.
func kindOf(err error) mesh.Kind {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return mesh.TLSFailed // an alert: with TLS 1.3, a refused client certificate shows only now
	}
	return mesh.Reset
}

// broken is the end of a connection in the midst of something.
func broken(err error) error {
	if err == io.EOF { //nolint:errorlint // io.Reader asks for io.EOF itself
		return io.ErrUnexpectedEOF
	}
	return err
}
