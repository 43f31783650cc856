package inbound

import (
	"errors"
	"net/http"

	"outrider/internal/mesh"
	"outrider/internal/route"
)

// Rewrite changes where a request points to, after all rules have seen it as the
// client sent it. The zero Rewrite changes nothing.
type Rewrite struct {
	StripPath bool   // removes the route's literal prefix, up to its first wildcard; excludes Path
	Path      string // replaces the path; a final `**` stands for what the route's own matched
	Host      string // replaces the authority
}

// Layer returns the rewriting for a route of that pattern, nil for the zero Rewrite.
// The error says why it makes no sense there.
func (w Rewrite) Layer(path string) (mesh.Layer, error) {
	if w == (Rewrite{}) {
		return nil, nil
	}
	pattern, err := route.ParsePattern(path)
	switch {
	case err != nil:
		return nil, err
	case w.StripPath && w.Path != "":
		return nil, errors.New("a rewrite says the whole path: it excludes stripping")
	case w.Path != "":
		if err := route.CheckReplacement(pattern, w.Path); err != nil {
			return nil, err
		}
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if w.StripPath {
				route.Strip(req.URL, pattern)
			}
			if w.Path != "" {
				route.Rewrite(req.URL, pattern, w.Path)
			}
			if w.Host != "" {
				req.Host = w.Host
			}
			return next.RoundTrip(req)
		})
	}, nil
}
