package http1

import (
	"bytes"

	"outrider/internal/mesh"
)

// limits bound one head. Zero is none at all: each must be set.
type limits struct {
	head     int  // bytes in all, the empty line included
	start    int  // bytes of the request line or status line
	line     int  // bytes of a field line
	fields   int  // field lines
	response bool // whose head it is: a flaw is the endpoint's, not the client's
}

// scan looks for the end of a head in b, whose first from bytes were in b when it
// last found none. It returns the head's length, with the empty line; 0 while that
// is not complete. It returns a Fault as soon as b can be no head, or none within
// the limits. What scan has found the end of is not yet known to be valid.
func scan(b []byte, from int, l limits) (int, *mesh.Fault) {
	n, f := find(b, from, l)
	if f != sound {
		return 0, f.fault(l.response)
	}
	return n, nil
}

// find is scan, with a flaw.
func find(b []byte, from int, l limits) (int, flaw) {
	begin, lines := 0, 0 // of the line that is looked at; before it
	if from > 0 {
		begin = bytes.LastIndexByte(b[:from], '\n') + 1
		lines = bytes.Count(b[:begin], lf)
	}
	for {
		i := bytes.IndexByte(b[begin:], '\n')
		if i < 0 {
			break
		}
		end := begin + i
		if i == 0 || b[end-1] != '\r' {
			return 0, bareLF
		}
		if i == 1 {
			switch {
			case lines == 0:
				return 0, emptyLine
			case end+1 > l.head:
				return 0, headTooLong
			}
			return end + 1, sound
		}
		if f := l.check(i+1, lines); f != sound {
			return 0, f
		}
		begin, lines = end+1, lines+1
	}
	return 0, l.pending(b, max(from, begin), len(b)-begin, lines)
}

var lf = []byte{'\n'}

// check returns what is wrong with the size of a line, its end included, that
// comes after so many others.
func (l limits) check(size, lines int) flaw {
	switch {
	case lines == 0 && size > l.start:
		return startTooLong
	case lines > 0 && size > l.line:
		return lineTooLong
	case lines > l.fields:
		return tooManyFields
	}
	return sound
}

// pending looks at what has come of a line whose end has not: size bytes, of
// which those of b from fresh on were not looked at before.
func (l limits) pending(b []byte, fresh, size, lines int) flaw {
	if fresh > 0 && len(b) > fresh && b[fresh-1] == '\r' {
		fresh-- // a CR that was the last byte
	}
	for i := fresh; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\r' && i+1 < len(b):
			return bareCR
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			return badByte
		}
	}
	switch {
	case lines == 0 && size >= l.start: // its end would be too much
		return startTooLong
	case len(b) >= l.head:
		return headTooLong
	case size > 0 && b[len(b)-size] != '\r':
		return l.check(size, lines)
	}
	return sound
}
