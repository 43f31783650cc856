package outbound

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// idleWatch ends a call in which nothing has moved, either way, for as long as
// limit. A byte costs it a clock reading; the timer is set again only when it goes
// off too early.
type idleWatch struct {
	call  *mesh.Call
	limit time.Duration
	talk  bool // the request is gRPC's: an open stream owes nothing, but somebody has to say something

	mu      sync.Mutex // protects all below
	last    time.Time
	timer   *time.Timer // nil: it does not run yet
	over    bool
	headed  bool // the response's head has come
	reading int  // reads of the client's body that are under way
}

// newIdleWatch returns a watch that does not yet run; response starts it, and upload
// may do so before.
func newIdleWatch(call *mesh.Call, limit time.Duration) *idleWatch {
	return &idleWatch{call: call, limit: limit}
}

// upload starts the watch before there is a response: up to its head, a client must
// not keep its body back for as long as limit. How long the endpoint takes is not
// watched then, neither to read what has come nor to answer.
func (w *idleWatch) upload(req *http.Request) {
	if !awaited(req) {
		return
	}
	w.talk = isGRPC(req.Header)
	w.request(req)
	w.start()
}

// request has what the client sends count as movement: a call may well talk in one
// direction only.
func (w *idleWatch) request(req *http.Request) {
	if awaited(req) {
		req.Body = &watchedUpload{watchedBody{ReadCloser: req.Body, watch: w}}
	}
}

// awaited reports whether a part of the client's body may be yet to come.
func awaited(req *http.Request) bool {
	_, all := whole(req)
	return hasBody(req) && !all
}

// response has what the endpoint sends count as movement, and starts the watch,
// which runs until the call ends.
func (w *idleWatch) response(resp *http.Response) {
	if tunnel, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = &watchedTunnel{watchedBody{ReadCloser: tunnel, watch: w}, tunnel}
	} else {
		resp.Body = &watchedBody{ReadCloser: resp.Body, watch: w}
	}
	w.mu.Lock()
	w.headed, w.last = true, time.Now()
	w.mu.Unlock()
	w.start()
}

// start has the watch run until the call ends.
func (w *idleWatch) start() {
	w.mu.Lock()
	runs := w.timer != nil // since the upload
	if !runs {
		w.last = time.Now()
		w.timer = time.AfterFunc(w.limit, w.check)
	}
	w.mu.Unlock()
	if !runs {
		w.call.AtEnd(w)
	}
}

// check runs when the timer goes off.
func (w *idleWatch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	left := w.limit - time.Since(w.last)
	switch {
	case left > 0:
		w.timer.Reset(left)
	case w.headed:
		w.call.Cancel(&mesh.Fault{Kind: mesh.IdleTimeout})
	case w.reading > 0 && w.talk:
		w.call.Cancel(&mesh.Fault{Kind: mesh.IdleTimeout, ByClient: true})
	case w.reading > 0:
		w.call.Cancel(&mesh.Fault{Kind: mesh.RequestTimeout, ByClient: true, Err: errKeptBack})
	default: // it is for the endpoint to move
		w.timer.Reset(w.limit)
	}
}

var errKeptBack = errors.New("the client keeps its body back")

// End stops the watch. A check that is under way is waited for: the call may be another
// request's after that.
func (w *idleWatch) End(mesh.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

// moved notes that something has.
func (w *idleWatch) moved(n int) {
	if n > 0 {
		w.mu.Lock()
		w.last = time.Now()
		w.mu.Unlock()
	}
}

// watchedBody is a body whose bytes the watch sees.
type watchedBody struct {
	io.ReadCloser
	watch *idleWatch
}

// Read reads, and tells the watch.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watch.moved(n)
	return n, err
}

// Ready reports whether a Read would return at once, where the body knows.
func (b *watchedBody) Ready() bool { return ready(b.ReadCloser) }

// watchedUpload is the client's body. Who begins to wait for it has moved.
type watchedUpload struct{ watchedBody }

// Read reads, and tells the watch before and after.
func (u *watchedUpload) Read(p []byte) (int, error) {
	u.watch.waits(1)
	defer u.watch.waits(-1)
	return u.watchedBody.Read(p)
}

// waits notes that a read of the client's body begins, or with -1 ends.
func (w *idleWatch) waits(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading += n; n > 0 && !w.headed {
		w.last = time.Now()
	}
}

// watchedTunnel is the body of a 101, which is written to as well.
type watchedTunnel struct {
	watchedBody
	tunnel io.ReadWriteCloser
}

// Write writes, and tells the watch.
func (t *watchedTunnel) Write(p []byte) (int, error) {
	n, err := t.tunnel.Write(p)
	t.watch.moved(n)
	return n, err
}

// CloseWrite passes the end of the client's half on.
func (t *watchedTunnel) CloseWrite() error {
	if half, ok := t.tunnel.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return http.ErrNotSupported
}
