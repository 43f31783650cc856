package telemetry

import (
	"strconv"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/tracecontext"
)

// field is one value of a line.
type field struct {
	key string
	// append appends the value as it is; nothing where there is none.
	append func(b []byte, n *line) []byte
	plain  bool // JSON takes the value as it is: a number, a list
	maybe  bool // JSON leaves it out where there is none
}

// fields are the values of a line, in the order that JSON has them: the package's
// promise, see its comment.
func fields() []field {
	return []field{
		{key: "time", append: func(b []byte, n *line) []byte { return n.time.AppendFormat(b, time.RFC3339Nano) }},
		text("level", (*line).level),
		text("msg", func(*line) string { return "request" }),
		text("direction", func(n *line) string { return n.direction }),
		text("request_id", func(n *line) string { return clip(n.ID, maxID) }),
		{key: "trace_id", append: appendTraceID, maybe: true},
		{key: "span_id", append: appendSpanID, maybe: true},
		{key: "client", append: appendClient},
		{key: "peer", append: appendPeer},
		text("source", func(n *line) string { return clip(string(n.Source), maxName) }),
		text("method", func(n *line) string { return n.head.method }),
		text("host", func(n *line) string { return n.head.host }),
		text("path", func(n *line) string { return n.head.path }),
		text("proto", func(n *line) string { return n.head.proto }),
		text("route", func(n *line) string { return clip(n.route, maxName) }),
		text("service", (*line).to),
		whole("status", func(n *line) int64 { return int64(n.Status) }),
		text("code", (*line).code),
		text("error", (*line).cause),
		text("endpoint", (*line).endpoint),
		whole("attempt_count", func(n *line) int64 { return int64(len(n.Attempts)) }),
		{key: "attempts", append: appendAttempts, plain: true, maybe: true},
		whole("bytes_in", func(n *line) int64 { return n.Received }),
		whole("bytes_out", func(n *line) int64 { return n.Sent }),
		{key: "duration_ms", append: func(b []byte, n *line) []byte { return appendMilliseconds(b, n.took) }, plain: true},
		{key: "slow", append: appendSlow, plain: true, maybe: true},
		text("user_agent", func(n *line) string { return n.head.agent }),
	}
}

// commonFields are what the formats of web servers have and JSON has not; no template
// can name them.
func commonFields() []field {
	return []field{
		{key: "*host", append: func(b []byte, n *line) []byte {
			if n.Client.IsValid() {
				return appendClient(b, n)
			}
			return n.Peer.Addr().AppendTo(b)
		}},
		{key: "*time", append: func(b []byte, n *line) []byte { return n.time.AppendFormat(b, "02/Jan/2006:15:04:05 -0700") }, plain: true},
		{key: "*status", append: func(b []byte, n *line) []byte {
			if n.Status == 0 {
				return append(b, "000"...)
			}
			return strconv.AppendInt(b, int64(n.Status), 10)
		}, plain: true},
		{key: "*bytes", append: func(b []byte, n *line) []byte {
			if n.Sent == 0 {
				return b
			}
			return strconv.AppendInt(b, n.Sent, 10)
		}, plain: true},
	}
}

func text(key string, of func(*line) string) field {
	return field{key: key, append: func(b []byte, n *line) []byte { return append(b, of(n)...) }}
}

func whole(key string, of func(*line) int64) field {
	return field{key: key, append: func(b []byte, n *line) []byte { return strconv.AppendInt(b, of(n), 10) }, plain: true}
}

func appendTraceID(b []byte, n *line) []byte {
	if n.Trace == nil {
		return b
	}
	id, _ := n.Trace.IDs()
	return tracecontext.TraceID(id).AppendTo(b)
}

func appendSpanID(b []byte, n *line) []byte {
	if n.Trace == nil {
		return b
	}
	_, id := n.Trace.IDs()
	return tracecontext.SpanID(id).AppendTo(b)
}

func appendClient(b []byte, n *line) []byte {
	if !n.Client.IsValid() {
		return b
	}
	if zone := n.Client.Zone(); len(zone) > maxName { // whatever a trusted proxy said
		return append(b, clip(n.Client.String(), maxName)...)
	}
	return n.Client.AppendTo(b)
}

func appendPeer(b []byte, n *line) []byte {
	if !n.Peer.IsValid() {
		return b
	}
	return n.Peer.AppendTo(b)
}

func (n *line) code() string {
	if n.fault == nil {
		return ""
	}
	return n.fault.Kind.Code()
}

func (n *line) cause() string {
	if n.fault == nil {
		return ""
	}
	return causeOf(n.fault)
}

// to is where the request went: by name, also where metrics have one name for several.
func (n *line) to() string {
	if n.Service != "" {
		return clip(string(n.Service), maxName)
	}
	return clip(n.service, maxName)
}

func (n *line) endpoint() string {
	if len(n.Attempts) == 0 {
		return ""
	}
	return clip(n.Attempts[len(n.Attempts)-1].Endpoint, maxName)
}

// appendAttempts lists them where one of them failed, as JSON.
func appendAttempts(b []byte, n *line) []byte {
	all := n.Attempts
	if len(all) == 0 || len(all) == 1 && n.fault == nil {
		return b
	}
	for i, a := range all[max(0, len(all)-maxAttempts):] {
		b = append(b, opening(i)...)
		b = appendAttempt(b, a)
	}
	return append(b, ']')
}

func opening(i int) string {
	if i == 0 {
		return "["
	}
	return ","
}

func appendAttempt(b []byte, a mesh.Attempt) []byte {
	b = append(b, `{"endpoint":"`...)
	b = appendEscaped(b, clip(a.Endpoint, maxName), false)
	b = append(b, `","ms":`...)
	b = appendMilliseconds(b, a.Duration)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, `,"error":"`...)
	b = appendEscaped(b, causeOf(a.Err), false)
	return append(b, `"}`...)
}

func appendMilliseconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, milliseconds(d), 'f', -1, 64)
}

func appendSlow(b []byte, n *line) []byte {
	if !n.slow {
		return b
	}
	return append(b, "true"...)
}
