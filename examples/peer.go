package examples

import (
	"io"
	"net/http"
)

// Peer is another service, and what carries calls to it: a sidecar's outbound port,
// which goes by the name in Host.
type Peer struct {
	Via  string // http://127.0.0.1:15001
	Name string // orders
}

// seenVia is the response field that shows the Via of the request as the last service
// of the way got it: the proxies that it passed.
const seenVia = "X-Seen-Via"

// copied are the fields that go along with a request from one service to the next: who
// asks, and what ties the calls of one request together.
var copied = []string{
	"X-Request-Id", "Via", "X-User-Id", "X-User-Role", "X-Forwarded-For", "X-Forwarded-Proto",
	"Traceparent", "Tracestate", "Baggage", "B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags",
}

// pass asks the peer for path on behalf of r, and answers as it does.
func (p Peer) pass(w http.ResponseWriter, r *http.Request, path string) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, p.Via+path, nil)
	if err != nil {
		reply(w, http.StatusInternalServerError, map[string]any{"error": err.Error()})
		return
	}
	req.Host = p.Name
	for _, name := range copied {
		if values, has := r.Header[name]; has {
			req.Header[name] = values
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		reply(w, http.StatusBadGateway, map[string]any{"error": err.Error()})
		return
	}
	defer resp.Body.Close()
	for _, name := range []string{"Content-Type", "Proxy-Status", "Retry-After", seenVia} {
		if values, has := resp.Header[name]; has {
			w.Header()[name] = values
		}
	}
	w.Header().Set("X-Peer-Instance", resp.Header.Get("X-Instance"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // the client may be gone; there is nobody else to tell
}
