package policy

import (
	"net/http"

	"outrider/internal/mesh"
)

// amend returns err as a Fault whose header edit has changed. The Fault is a copy:
// the one below may be shared by several requests.
func amend(err error, edit func(http.Header)) error {
	f := *mesh.AsFault(err)
	if f.Header = f.Header.Clone(); f.Header == nil {
		f.Header = make(http.Header)
	}
	edit(f.Header)
	return &f
}
