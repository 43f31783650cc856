package http1

import "strings"

// framing is how the body of a message is delimited, and what becomes of the
// connection.
type framing struct {
	length     int64 // bytes of body; -1 where it is chunked or ends with the connection
	chunked    bool  // the body is chunked
	untilClose bool  // the body ends with the connection; responses only
	close      bool  // the connection ends after this message
	expect     bool  // the client waits for 100 (Continue); requests with a body only
	upgrade    bool  // a request offers a switch of protocols; a response makes one: what follows is a tunnel
}

// parseLength returns the number that s is, with no more than digits (RFC 9110,
// section 8.6). A leading zero is refused: some take it for octal.
func parseLength(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 18 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, true
}

// option reports whether the comma-separated list s has the member want,
// disregarding case. want is in lower case.
func option(s, want string) bool {
	if folds(s, want) { // nearly always
		return true
	}
	for more := true; more; {
		var member string
		member, s, more = strings.Cut(s, ",")
		if folds(strings.Trim(member, " \t"), want) {
			return true
		}
	}
	return false
}

// folds reports whether s is lower but for the case of ASCII letters. Unicode has
// others that fold into them, such as the Kelvin sign: strings.EqualFold is not for
// protocols. lower has letters in lower case, digits and hyphens alone.
func folds(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// persist notes what the Connection options, gathered as they were met, mean for
// the connection (RFC 9112, section 9.3).
func persist(minor int, closes, keeps bool) bool {
	return closes || minor == 0 && !keeps
}
