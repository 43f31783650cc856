package bridge

import (
	"errors"
	"net/http"
	"time"

	"outrider/internal/mesh"
)

// faultOf returns err as the Fault to answer with or to end with, of kind otherwise
// where nothing better is known. That the client or the server has gone, which ended
// says, comes before what failed because of it; but a body that came too slowly may
// look like a client that went.
func faultOf(call *mesh.Call, ended *mesh.Fault, err error, otherwise mesh.Kind) *mesh.Fault {
	var fault *mesh.Fault
	var limit *http.MaxBytesError
	stated := errors.As(err, &fault)
	switch {
	case stated && fault.Kind == mesh.RequestTimeout:
		return fault
	case ended != nil:
		return ended
	case stated:
		return fault
	case errors.As(err, &limit):
		return &mesh.Fault{Kind: mesh.BodyTooLarge, Err: err}
	case errors.As(call.Cause(), &fault): // of a Cancel
		return fault
	}
	if at, late := call.Due(); late != nil && !time.Now().Before(at) {
		return late
	}
	return &mesh.Fault{Kind: otherwise, Err: err}
}

// departed returns the Fault of a call that its server ended, because the client went
// away or the proxy does, nil for any other: a layer's reason says less than the error
// that comes of it.
func departed(call *mesh.Call) *mesh.Fault {
	cause := call.Cause()
	if cause == nil {
		return nil
	}
	if f := mesh.Gone(cause); f.Kind == mesh.ClientGone || f.Kind == mesh.Draining {
		return f
	}
	return nil
}

// late reports whether the call's deadline has passed.
func late(call *mesh.Call) bool {
	at := call.Deadline()
	return !at.IsZero() && !time.Now().Before(at)
}
