package bridge

import "io"

// trailerGuard cleans a request's trailers as soon as they have arrived, which is
// when its body ends, before whoever reads the body sees them.
type trailerGuard struct {
	io.ReadCloser
	clean func()
}

// Read reads the body, and cleans the trailers at its end.
func (g *trailerGuard) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if err == io.EOF {
		g.clean()
	}
	return n, err
}
