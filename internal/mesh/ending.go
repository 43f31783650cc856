package mesh

import (
	"context"
	"errors"
	"net/http"
)

// EndOf returns the Fault of a call's cause. One without a Fault is the end of the
// client's connection or stream, or a deadline from outside.
func EndOf(cause error) *Fault {
	if errors.Is(cause, context.DeadlineExceeded) {
		var f *Fault
		if !errors.As(cause, &f) {
			return &Fault{Kind: ResponseTimeout, Err: cause}
		}
	}
	return Gone(cause)
}

// Gone returns the Fault in err, such as a server's that stops or a body's that is too
// large; what has none ended with the client.
func Gone(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Kind: ClientGone, Err: err}
}

// Idempotent reports whether a request with this method may be sent twice (RFC 9110,
// section 9.2.2). An empty method is GET.
func Idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// HasBody reports whether a response to method with status has a body (RFC 9110,
// section 6.4.1).
func HasBody(method string, status int) bool {
	return method != http.MethodHead && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
