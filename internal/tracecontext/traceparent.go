package tracecontext

import "encoding/hex"

const (
	flagSampled = 0x01
	flagRandom  = 0x02

	parentSize = 55 // of a traceparent of version 00
)

// ParseTraceparent reads the value of a traceparent. False means that the trace
// starts anew, and that a tracestate beside it is not to be looked at (section 3.2).
//
// Of a version above 00 the fields of 00 are read, and no more; what follows must
// begin with a dash.
func ParseTraceparent(s string) (Context, bool) {
	s = trim(s)
	var version, flags [1]byte
	var c Context
	if len(s) < parentSize || s[2] != '-' || s[35] != '-' || s[52] != '-' ||
		!unhex(version[:], s[:2]) || version[0] == 0xff ||
		!unhex(c.Trace[:], s[3:35]) || !unhex(c.Span[:], s[36:52]) || !unhex(flags[:], s[53:55]) {
		return Context{}, false
	}
	if len(s) > parentSize && (version[0] == 0 || s[parentSize] != '-') {
		return Context{}, false
	}
	if !c.Valid() {
		return Context{}, false
	}
	c.Decided = true
	c.Sampled, c.Random = flags[0]&flagSampled != 0, flags[0]&flagRandom != 0
	return c, true
}

// Traceparent returns c as the value of a traceparent of version 00.
func (c Context) Traceparent() string {
	return string(c.appendTraceparent(make([]byte, 0, parentSize)))
}

func (c Context) appendTraceparent(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, c.Trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, c.Span[:])
	return append(b, '-', '0', c.flags()+'0')
}

// flags has no flag but those that this version knows: all others must be zero
// (section 3.2.2.5.3).
func (c Context) flags() (f byte) {
	if c.Sampled {
		f |= flagSampled
	}
	if c.Random {
		f |= flagRandom
	}
	return f
}

// trim removes optional white space (RFC 9110, section 5.6.3). net/http does so for
// HTTP/1.1, but not for HTTP/2.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return trimRight(s)
}

func trimRight(s string) string {
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
