package app

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/route"
)

// Where a proxy asks the next one what became of a request. What is below the space
// belongs to the proxies and never reaches an app.
const (
	reservedSpace = "/.well-known/outrider/"
	reservedWhy   = reservedSpace + "why"
	whyKind       = "application/vnd.outrider.why+json"
)

// reserved keeps the proxies' own space from the app, and answers there whoever has
// shown an identity of the mesh, or is on this machine. It stands above all rules.
//
// A request that another proxy forwarded is refused, whoever that was: else a client
// could have a proxy ask for it. Each of ours names itself in Via and in other fields
// besides; a proxy that asks us sends none of them. What a browser sends is refused,
// too, since its pages are not its user's.
func (p *Proxy) reserved(g *generation) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if !isReserved(req) {
				return next.RoundTrip(req)
			}
			call := mesh.From(req)
			switch {
			// The last Via is our own, which the server has added.
			case call.Source == "" && !call.Peer.Addr().Unmap().IsLoopback(), len(req.Header["Via"]) > 1, forwarded(req.Header):
				return nil, &mesh.Fault{Kind: mesh.Denied, Message: "Only a proxy of the mesh itself may ask here."}
			case req.Method != http.MethodGet || req.URL.Path != reservedWhy:
				return nil, &mesh.Fault{Kind: mesh.NoRoute}
			}
			return p.answerWhy(g, call, req)
		})
	}
}

// isReserved reports whether a path is in the proxies' space, however it is written.
func isReserved(req *http.Request) bool {
	if !strings.Contains(req.URL.Path, ".well-known") { // as good as always
		return false
	}
	u := *req.URL
	return route.Normalize(&u) == nil && strings.HasPrefix(u.Path, reservedSpace)
}

// forwarded reports whether a request bears what only one has that was passed on, or
// that a browser made.
func forwarded(h http.Header) bool {
	for _, name := range [...]string{
		"X-Request-Id", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-Ip",
		"Origin", "Referer", "Cookie", "Sec-Fetch-Site", "Sec-Fetch-Mode",
	} {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// answerWhy tells what is known here, and further on, of the requests that the asking
// hop has sent us under one ID.
func (p *Proxy) answerWhy(g *generation, call *mesh.Call, req *http.Request) (*http.Response, error) {
	q := req.URL.Query()
	depth, _ := strconv.Atoi(q.Get("depth"))
	within, _ := strconv.Atoi(q.Get("within"))
	j := &joiner{g: g, depth: min(max(depth, 0), maxHops)}
	j.until = time.Now().Add(min(time.Duration(max(within, 0))*time.Millisecond, joinTime))
	records := p.decisions.Find(q.Get("id"))
	from := q.Get("from")
	tops := nested(records, "inbound", from)
	j.join(call.Context(), tops)
	body, err := json.Marshal(hopAnswer{Records: tops})
	if err != nil {
		return nil, &mesh.Fault{Kind: mesh.Internal, Err: err}
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Request: req, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		Header: http.Header{"Content-Type": {whyKind}, "Content-Length": {strconv.Itoa(len(body))}, "Cache-Control": {"no-store"}},
	}, nil
}
