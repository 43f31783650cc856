package outbound

import (
	"context"
	"io"

	"outrider/internal/mesh"
)

// probeAgent is the User-Agent of health checks.
const probeAgent = "outrider-health"

// probe asks for path at e and returns the answer's status. Each probe has a
// connection of its own: it meets what a new caller would meet. Balancer and
// breakers do not hear of it, and a redirect is an answer like any other.
func (s *Service) probe(ctx context.Context, e mesh.Endpoint, path string) (int, error) {
	resp, done, err := s.get(ctx, e, path, probeAgent)
	if err != nil {
		return 0, err
	}
	defer done()
	status := resp.StatusCode
	_, _ = io.CopyN(io.Discard, resp.Body, drainLimit)
	_ = resp.Body.Close()
	return status, nil
}

// wireScheme returns the scheme as net/http knows it.
func wireScheme(e mesh.Endpoint) string {
	if e.Scheme == "https" {
		return "https"
	}
	return "http"
}
