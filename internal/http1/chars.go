package http1

import "encoding/binary"

// class is what a byte may be part of.
type class uint8

const (
	tokenByte  class = 1 << iota // a method or field name (RFC 9110, section 5.6.2)
	targetByte                   // a request target: printable ASCII without space and #
	pathByte                     // a path, where net/url finds nothing to escape
	hostByte                     // an authority: a name, an address, a port
	hexByte                      // a hexadecimal digit
)

var classes = classify()

// classify makes the table, in which each byte's classes stand.
func classify() (t [256]class) {
	for c := 0x21; c < 0x7f; c++ {
		if c != '#' {
			t[c] |= targetByte
		}
	}
	mark := func(set string, k class) {
		for i := range len(set) {
			t[set[i]] |= k
		}
	}
	const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark(alphanumeric, tokenByte|pathByte|hostByte)
	mark("!#$%&'*+-.^_`|~", tokenByte)
	mark("-_.~$&+,/:;=@", pathByte)
	mark("-._:[]", hostByte)
	mark("0123456789abcdefABCDEF", hexByte)
	return t
}

// all reports whether every byte of s is of class k.
func all[T string | []byte](s T, k class) bool {
	for i := range len(s) {
		if classes[s[i]]&k == 0 {
			return false
		}
	}
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// clean reports whether b has no control character but HTAB: whether it may be a
// field value (RFC 9110, section 5.5). It looks at eight bytes at a time.
func clean(b []byte) bool {
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		del := w ^ 0x7f*ones
		if ((w-0x20*ones)&^w|(del-ones)&^del)&highs != 0 && !cleanBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanBytes(b)
}

func cleanBytes(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// trim cuts white space off both ends of b[from:to], and returns what is left.
func trim(b []byte, from, to int) (int, int) {
	for from < to && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	for from < to && (b[to-1] == ' ' || b[to-1] == '\t') {
		to--
	}
	return from, to
}
