package telemetry

import (
	"strconv"

	"outrider/internal/mesh"
	"outrider/internal/tracecontext"
)

// field is one value of a line.
type field struct {
	key string
	// append appends the value as it is; nothing where there is none.
	append func(b []byte, n *line) []byte
	plain  bool   // JSON takes the value as it is: a number, a list
	maybe  bool   // JSON leaves it out where there is none
	word   bool   // there is nothing to escape in it: it is one printable word of ours
	lead   string // what JSON has before the value
}

// fields are the values of a line, in the order that JSON has them: the package's
// promise, see its comment.
func fields() []field {
	return []field{
		{key: "time", append: func(b []byte, n *line) []byte { return n.clock.append(b, n.time) }, word: true},
		word("level", (*line).level),
		word("msg", func(*line) string { return "request" }),
		word("direction", func(n *line) string { return n.direction }),
		text("request_id", maxID, func(n *line) string { return n.ID }),
		{key: "trace_id", append: appendTraceID, maybe: true, word: true},
		{key: "span_id", append: appendSpanID, maybe: true, word: true},
		{key: "client", append: appendClient},
		{key: "peer", append: appendPeer},
		text("source", maxName, func(n *line) string { return string(n.Source) }),
		text("method", maxMethod, func(n *line) string { return n.head.method }),
		text("host", maxHost, func(n *line) string { return n.head.host }),
		{key: "path", append: appendPath},
		text("proto", maxProto, func(n *line) string { return n.head.proto }),
		text("route", maxName, func(n *line) string { return n.route }),
		text("service", maxName, (*line).to),
		whole("status", func(n *line) int64 { return int64(n.Status) }),
		word("code", (*line).code),
		text("error", maxError, (*line).cause),
		text("endpoint", maxName, (*line).endpoint),
		whole("attempt_count", func(n *line) int64 { return int64(len(n.Attempts)) }),
		{key: "attempts", append: appendAttempts, plain: true, maybe: true},
		whole("bytes_in", func(n *line) int64 { return n.Received }),
		whole("bytes_out", func(n *line) int64 { return n.Sent }),
		{key: "duration_ms", append: func(b []byte, n *line) []byte { return appendMilliseconds(b, n.took) }, plain: true},
		{key: "slow", append: appendSlow, plain: true, maybe: true},
		text("user_agent", maxAgent, func(n *line) string { return n.head.agent }),
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

// text is a field of at most limit bytes.
func text(key string, limit int, of func(*line) string) field {
	return field{key: key, append: func(b []byte, n *line) []byte { return appendClipped(b, of(n), limit) }}
}

// word is a field whose values are words of ours.
func word(key string, of func(*line) string) field {
	return field{key: key, append: func(b []byte, n *line) []byte { return append(b, of(n)...) }, word: true}
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

func appendPath(b []byte, n *line) []byte {
	start := len(b)
	b = append(b, n.head.path...)
	if n.query && n.head.query != "" {
		b = append(b, '?')
		b = append(b, n.head.query...)
	}
	return cut(b, start, maxPath)
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
		return string(n.Service)
	}
	return n.service
}

func (n *line) endpoint() string {
	if len(n.Attempts) == 0 {
		return ""
	}
	return n.Attempts[len(n.Attempts)-1].Endpoint
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

func appendSlow(b []byte, n *line) []byte {
	if !n.slow {
		return b
	}
	return append(b, "true"...)
}
