package route

import "strings"

// control is a character that no part of a request line may hold.
func control(c byte) bool { return c < 0x20 || c == 0x7f }

// unreserved is RFC 3986, section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// pchar is what a path may hold unescaped (RFC 3986, section 3.3), and the slash.
func pchar(c byte) bool {
	return unreserved(c) || strings.IndexByte("!$&'()*+,;=:@/", c) >= 0
}

// qchar is what a query may hold unescaped (RFC 3986, section 3.4), the percent sign
// even where it begins no escape, and the brackets that everybody sends bare.
func qchar(c byte) bool {
	return pchar(c) || c == '?' || c == '%' || c == '[' || c == ']'
}

// unhex reads the two digits at the beginning of s.
func unhex(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	high, low := digit(s[0]), digit(s[1])
	return high<<4 | low, high < 16 && low < 16
}

// escape appends c percent-encoded.
func escape(out []byte, c byte) []byte {
	const hex = "0123456789ABCDEF"
	return append(out, '%', hex[c>>4], hex[c&15])
}

// digit returns the value of a hexadecimal digit, and 0xff for anything else.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
