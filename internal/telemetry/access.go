package telemetry

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// Lines says which exchanges get a line in the access log, and how it reads.
type Lines struct {
	Format *LineFormat   // nil is JSON
	Query  bool          // paths show their query strings
	Slow   time.Duration // an exchange that takes longer is marked, and always written; zero marks none

	// Sample is the share of exchanges that are written: 1 is all. What ended in a
	// fault or a status of 500 and above is written always.
	//
	// The request id decides, so that all proxies on a request's way write of the
	// same requests.
	Sample float64
}

// accessLog writes one line per exchange of one listener.
type accessLog struct {
	Lines
	to        *AccessLog
	direction string
	pool      sync.Pool // of *line
}

func newAccessLog(cfg RequestConfig) *accessLog {
	l := &accessLog{Lines: cfg.Lines, to: cfg.Log, direction: cfg.Direction}
	if l.Format == nil {
		l.Format = jsonFormat()
	}
	l.pool.New = func() any { return new(line) }
	return l
}

// head is what a line shows of the request as it came in. Its strings are lent by the
// request, and held no longer than that.
type head struct{ method, host, path, query, proto, agent string }

// take keeps what the line needs: layers below edit the request in place, and what its
// header lists hold is another's by the time of the line.
func (h *head) take(req *http.Request) {
	h.method, h.host, h.proto = req.Method, req.Host, req.Proto
	if h.host == "" {
		h.host = req.URL.Host
	}
	h.path, h.query = req.URL.EscapedPath(), req.URL.RawQuery
	if agent := req.Header["User-Agent"]; len(agent) > 0 {
		h.agent = agent[0]
	}
}

// line is all that a line may show. It is reused: nothing keeps a part of it.
type line struct {
	*mesh.Call
	ending
	place
	direction string
	time      time.Time
	slow      bool
	query     bool // paths show their query strings

	clock clock
	text  []byte // of the line
	raw   []byte // of a value before it is escaped
}

// maxKept is how large a line may have been whose room is used again, in bytes.
const maxKept = 16 << 10

// write writes the line, where there is to be one.
func (l *accessLog) write(call *mesh.Call, where place, e ending) {
	slow := l.Slow > 0 && e.took > l.Slow
	if !slow && e.fault == nil && e.Status < http.StatusInternalServerError && !l.sampled(call.ID) {
		return
	}
	n, ok := l.pool.Get().(*line)
	if !ok {
		return // never: the pool holds nothing else
	}
	n.Call, n.ending, n.place = call, e, where
	n.direction, n.time, n.slow, n.query = l.direction, e.start.Add(e.took), slow, l.Query
	n.text = append(l.Format.write(n.text[:0], n), '\n')
	l.to.add(n.text)
	n.Call, n.ending, n.place = nil, ending{}, place{}
	if cap(n.text) <= maxKept && cap(n.raw) <= maxKept {
		l.pool.Put(n)
	}
}

// sampled reports whether the request of that id is one of those that are written.
func (l *accessLog) sampled(id string) bool {
	switch {
	case l.Sample >= 1:
		return true
	case l.Sample <= 0:
		return false
	case id == "":
		return rand.Float64() < l.Sample
	default:
		return chance(id) < l.Sample
	}
}

// chance maps an id to a number from 0 to 1, the same in every proxy: FNV-1a, and
// the last steps of MurmurHash3, without which similar ids have similar numbers.
func chance(id string) float64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(h>>11) / (1 << 53)
}

// level is warn where the proxy itself answered that something is broken.
func (n *line) level() string {
	if n.fault != nil && n.fault.Kind.Status() >= http.StatusInternalServerError {
		return slog.LevelWarn.String()
	}
	return slog.LevelInfo.String()
}
