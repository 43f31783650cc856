package telemetry

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// printable reports whether r can stand in a log as it is: what moves a terminal's
// cursor, ends a line or turns the direction of text cannot.
func printable(r rune) bool {
	return r != utf8.RuneError && unicode.IsPrint(r)
}

// escape escapes what stands in b from start on, as JSON would; spaces, too, where
// the value is to be one word.
func (n *line) escape(b []byte, start int, word bool) []byte {
	for _, c := range b[start:] {
		if c <= ' ' && (word || c < ' ') || c >= 0x7f || c == '"' || c == '\\' {
			n.raw = append(n.raw[:0], b[start:]...)
			return appendEscaped(b[:start], n.raw, word)
		}
	}
	return b
}

const hex = "0123456789abcdef"

// appendEscaped appends s as it may stand between double quotes, in JSON as in a
// template.
func appendEscaped[T string | []byte](b []byte, s T, word bool) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if printable(r) {
				b = append(b, s[i:i+size]...)
			} else {
				b = appendUnicode(b, r)
			}
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c == 0x7f || c == ' ' && word:
			b = appendUnicode(b, rune(c))
		default:
			b = append(b, c)
		}
		i++
	}
	return b
}

// appendUnicode appends \uXXXX, twice for what lies beyond 16 bits.
func appendUnicode(b []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		b = appendUnicode(b, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// spaceless writes the spaces of JSON's strings, which are all that JSON of ours has,
// as JSON may.
func spaceless(b []byte, start int) []byte {
	if bytes.IndexByte(b[start:], ' ') < 0 {
		return b
	}
	return append(b[:start], bytes.ReplaceAll(b[start:], []byte(" "), []byte(`\u0020`))...)
}
