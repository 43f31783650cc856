package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"outrider/internal/mesh"
)

// Bounds of a log line's values, in bytes.
const (
	maxMethod = 32
	maxHost   = 255 // a domain name's own limit: RFC 1035, section 2.3.4
	maxPath   = 2048
	maxProto  = 16
	maxAgent  = 256
	maxID     = 128
	maxName   = 256 // of a route, a service, an identity, an address
	maxError  = 512
)

// maxAttempts bounds the attempts that one line lists; the last ones are kept.
const maxAttempts = 8

// accessLog writes one line per exchange.
type accessLog struct {
	*slog.Logger
	query bool
}

// head is what a line shows of the request as it came in.
type head struct{ method, host, path, proto, agent string }

// head keeps what the line needs: layers below edit the request in place, and by
// the time of the line its header is no longer ours to read. It copies, in one
// allocation, so that no string of the request is held.
func (l *accessLog) head(req *http.Request) *head {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	path := req.URL.EscapedPath()
	if l.query && req.URL.RawQuery != "" {
		path += "?" + req.URL.RawQuery
	}
	parts := [...]string{
		clip(req.Method, maxMethod),
		clip(host, maxHost),
		clip(path, maxPath),
		clip(req.Proto, maxProto),
		clip(req.UserAgent(), maxAgent),
	}
	all := strings.Join(parts[:], "")
	for i, part := range parts {
		parts[i], all = all[:len(part)], all[len(part):]
	}
	return &head{parts[0], parts[1], parts[2], parts[3], parts[4]}
}

// write writes the line. The keys are the package's promise: see its comment.
func (l *accessLog) write(call *mesh.Call, e ending) {
	level, code, cause := slog.LevelInfo, "", ""
	if e.fault != nil {
		code, cause = e.fault.Kind.Code(), causeOf(e.fault)
		if e.fault.Kind.Status() >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
	}
	where := placeOf(call)
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("request_id", clip(call.ID, maxID)),
		slog.String("client", client(call)),
		slog.String("peer", peer(call)),
		slog.String("source", clip(string(call.Source), maxName)),
		slog.String("method", e.head.method),
		slog.String("host", e.head.host),
		slog.String("path", e.head.path),
		slog.String("proto", e.head.proto),
		slog.String("route", clip(where.route, maxName)),
		slog.String("service", clip(where.service, maxName)),
		slog.Int("status", e.Status),
		slog.String("code", code),
		slog.String("error", cause),
		slog.String("endpoint", last(call.Attempts)),
		slog.Int("attempt_count", len(call.Attempts)),
	)
	if len(call.Attempts) > 1 || (e.fault != nil && len(call.Attempts) > 0) {
		attrs = append(attrs, slog.Any("attempts", attempts(call.Attempts)))
	}
	attrs = append(attrs,
		slog.Int64("bytes_in", e.Received),
		slog.Int64("bytes_out", e.Sent),
		slog.Float64("duration_ms", milliseconds(e.took)),
		slog.String("user_agent", e.head.agent),
	)
	l.LogAttrs(context.Background(), level, "request", attrs...)
}

// attempt is one try as the line shows it.
type attempt struct {
	Endpoint string  `json:"endpoint"`
	MS       float64 `json:"ms"`
	Status   int     `json:"status"`
	Error    string  `json:"error"`
}

func attempts(all []mesh.Attempt) []attempt {
	if len(all) > maxAttempts {
		all = all[len(all)-maxAttempts:]
	}
	list := make([]attempt, len(all))
	for i, a := range all {
		list[i] = attempt{
			Endpoint: clip(a.Endpoint, maxName),
			MS:       milliseconds(a.Duration),
			Status:   a.Status,
			Error:    causeOf(a.Err),
		}
	}
	return list
}

func last(all []mesh.Attempt) string {
	if len(all) == 0 {
		return ""
	}
	return clip(all[len(all)-1].Endpoint, maxName)
}

func client(call *mesh.Call) string {
	if !call.Client.IsValid() {
		return ""
	}
	return call.Client.String()
}

func peer(call *mesh.Call) string {
	if !call.Peer.IsValid() {
		return ""
	}
	return call.Peer.String()
}

// causeOf returns why err happened, on its own: the code stands beside it. Of a
// [url.Error] only the cause is shown, for its text contains the query.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	var fault *mesh.Fault
	if errors.As(err, &fault) {
		if fault.Err == nil {
			return clip(fault.Text(), maxError)
		}
		err = fault.Err
	}
	var withURL *url.Error
	if errors.As(err, &withURL) && withURL.Err != nil {
		err = withURL.Err
	}
	return clip(err.Error(), maxError)
}

// milliseconds returns d to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// clip cuts s to at most limit bytes, between characters, and marks the cut.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
