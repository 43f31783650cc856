package bridge

import (
	"net/http"
	"strconv"

	"outrider/internal/mesh"
)

// Refusal returns why a request, as it came, would not enter the stack of a Handler of
// that pseudonym; nil where it would.
func Refusal(r *http.Request, pseudonym string) *mesh.Fault {
	return refusal(r, malformed(r), pseudonym)
}

// refusal is Refusal of a request whose form has been looked at; hop-by-hop fields may
// have gone since.
func refusal(r *http.Request, malformed, pseudonym string) *mesh.Fault {
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace: // TRACE would show the client what we add
		return &mesh.Fault{
			Kind: mesh.MethodNotAllowed, Message: r.Method + " is not supported here.",
			Header: http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}},
		}
	case malformed != "":
		return &mesh.Fault{Kind: mesh.Malformed, Message: malformed}
	case !validHost(r.Host):
		return &mesh.Fault{Kind: mesh.Malformed, Message: "The host is not valid."}
	case Passed(r.Header, pseudonym):
		return &mesh.Fault{Kind: mesh.Loop}
	}
	return nil
}

// malformed says what about a request's form is not valid, "" for nothing.
// HTTP/2 carries in fields of their own what the next hop reads from lines, so
// net/http lets through there what could not stand in one.
func malformed(r *http.Request) string {
	switch {
	case !isToken(r.Method):
		return "The method is not valid."
	case !visible(r.URL.RawQuery):
		return "The query is not valid."
	case misframed(r):
		return "The Content-Length is not valid."
	}
	for name := range r.Trailer {
		if !isToken(name) {
			return "The Trailer is not valid."
		}
	}
	return ""
}

// visible reports whether s is free of white space and control characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// misframed reports whether an HTTP/2 request names a length that is not its own:
// net/http takes an invalid one for zero, and the next hop might not.
func misframed(r *http.Request) bool {
	if r.ProtoMajor != 2 {
		return false
	}
	values := r.Header["Content-Length"]
	if len(values) == 0 {
		return false
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	return len(values) > 1 || err != nil || r.ContentLength != int64(n)
}

// Measure notes the size of the header as it came, as a Handler does first. Of its lines net/http has taken
// out Host, Transfer-Encoding and Trailer.
func Measure(call *mesh.Call, header http.Header) {
	for name, values := range header {
		call.Fields += len(values)
		for _, value := range values {
			call.FieldBytes += len(name) + len(value) + len(": \r\n")
		}
	}
}

// lengthOf returns the Content-Length that a header names, false where it names none.
func lengthOf(header http.Header) (int64, bool) {
	values := header["Content-Length"]
	if len(values) != 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	return int64(n), err == nil
}
