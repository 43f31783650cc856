package outbound

import (
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

	mu    sync.Mutex // protects last, timer, over
	last  time.Time
	timer *time.Timer
	over  bool
}

// newIdleWatch returns a watch that does not yet run; response starts it.
func newIdleWatch(call *mesh.Call, limit time.Duration) *idleWatch {
	return &idleWatch{call: call, limit: limit}
}

// request has what the client sends count as movement: a call may well talk in one
// direction only.
func (w *idleWatch) request(req *http.Request) {
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedBody{ReadCloser: req.Body, watch: w}
	}
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
	w.last = time.Now()
	w.timer = time.AfterFunc(w.limit, w.check)
	w.mu.Unlock()
	w.call.OnEnd(func(mesh.Result) { w.stop() })
}

// check runs when the timer goes off.
func (w *idleWatch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	if left := w.limit - time.Since(w.last); left > 0 {
		w.timer.Reset(left)
		return
	}
	w.call.Cancel(&mesh.Fault{Kind: mesh.IdleTimeout})
}

func (w *idleWatch) stop() {
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
