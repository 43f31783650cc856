package bridge

import (
	"net/http"
	"strconv"
	"strings"

	"outrider/internal/mesh"
)

// AddVia notes in header that a message of HTTP version major.minor passed
// pseudonym (RFC 9110, section 7.6.3).
func AddVia(header http.Header, major, minor int, pseudonym string) {
	header["Via"] = append(header["Via"], via(major, minor, pseudonym))
}

// vias are the values of Via that an Edge adds most often, made once.
type vias struct {
	pseudonym             string
	http10, http11, http2 string
}

func newVias(pseudonym string) vias {
	return vias{pseudonym, via(1, 0, pseudonym), via(1, 1, pseudonym), via(2, 0, pseudonym)}
}

// add is AddVia for a message of call.
func (v *vias) add(call *mesh.Call, header http.Header, major, minor int) {
	var value string
	switch {
	case major == 1 && minor == 1:
		value = v.http11
	case major == 1 && minor == 0:
		value = v.http10
	case major == 2 && minor == 0:
		value = v.http2
	default:
		value = via(major, minor, v.pseudonym)
	}
	if before := header["Via"]; len(before) > 0 {
		header["Via"] = append(before, value)
		return
	}
	header["Via"] = call.List(value)
}

func via(major, minor int, pseudonym string) string {
	switch {
	case major == 1 && minor == 1:
		return "1.1 " + pseudonym
	case major == 2 && minor == 0:
		return "2.0 " + pseudonym
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor) + " " + pseudonym
}

// Passed reports whether a message with this header has passed pseudonym before.
func Passed(header http.Header, pseudonym string) bool {
	for hop := range tokens(header["Via"]) {
		_, by := word(hop) // after the protocol; a comment may follow
		by, _ = word(by)
		if folds(by, pseudonym) {
			return true
		}
	}
	return false
}

// word cuts s at its first white space.
func word(s string) (first, rest string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}
