package http1

import (
	"errors"
	"net/http"
	"os"

	"outrider/internal/mesh"
)

var (
	errManyInterim = errors.New("too many 1xx responses")
	errUnasked     = errors.New("the endpoint switched protocols unasked")
	errTooEarly    = errors.New("the endpoint switched protocols before it had the request's body")
)

// protocol is how every answer begins.
const protocol = "HTTP/1."

// listen reads up to the head of the answer, of which n bytes are in w.in, and passes
// on the 1xx responses before it.
func (w *wire) listen(o *order, n int) error {
	w.to, w.heard = n, n > 0
	for interim := 0; ; interim++ {
		if err := w.readHead(o); err != nil {
			return err
		}
		status := w.answer.resp.StatusCode
		if status >= http.StatusOK || w.frame.upgrade {
			return w.settle(o)
		}
		if interim >= w.transport.config.MaxInterim {
			return &mesh.Fault{Kind: mesh.BadResponse, Err: errManyInterim}
		}
		switch {
		case status != http.StatusContinue:
			if w.call.Interim != nil {
				w.call.Interim(status, w.answer.resp.Header)
			}
		case !w.expect.IsZero(): // else for nobody: the body is under way
			w.upload(o)
		}
	}
}

// readHead reads one head into w.answer and w.frame.
func (w *wire) readHead(o *order) error {
	for seen := 0; ; {
		if b := w.in[w.from:w.to]; len(b) > seen {
			n, fault := scan(b, seen, w.transport.limits)
			if fault != nil {
				return fault
			}
			if n > 0 {
				w.from += n
				if w.frame, fault = w.head.response(b[:n], o.req, &w.answer.resp); fault != nil {
					return fault
				}
				return nil
			}
			if start := min(len(b), len(protocol)); string(b[:start]) != protocol[:start] {
				return badStartLine.fault(true) // the head of another protocol may never end
			}
			seen = len(b)
		}
		err := w.fill()
		if err != nil && !w.expect.IsZero() && w.late == nil && errors.Is(err, os.ErrDeadlineExceeded) {
			w.upload(o) // it was asked, and has not answered
			continue
		}
		if err != nil {
			return broken(err)
		}
	}
}

// settle makes the answer, whose head has come, ready to be handed out.
func (w *wire) settle(o *order) error {
	if !w.expect.IsZero() {
		w.frame.close = true // the endpoint may yet wait for the body
	}
	if w.frame.upgrade {
		return w.switched(o)
	}
	if v := w.answer.resp.Header["Keep-Alive"]; len(v) > 0 {
		w.stated = keepAlive(v[0])
	}
	w.left = w.frame.length
	switch {
	case w.frame.chunked:
		w.chunks.reset(w.transport.limits)
	case !w.frame.untilClose:
		w.whole = w.left == 0
	}
	w.answer.wire = w
	w.answer.resp.Body = w.answer
	return nil
}

// switched makes the answer the end of a tunnel.
func (w *wire) switched(o *order) error {
	var err error
	switch {
	case w.answer.resp.StatusCode == http.StatusSwitchingProtocols && !o.how.upgrade:
		err = errUnasked
	case w.feed != nil && !w.feed.end():
		err = errTooEarly
	default:
		w.answer.resp.Body = newPassage(w)
		return nil
	}
	return &mesh.Fault{Kind: mesh.UnsupportedUpgrade, Err: err}
}
