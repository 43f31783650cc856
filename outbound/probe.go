package outbound

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"outrider/internal/mesh"
)

// probeAgent is the User-Agent of health checks.
const probeAgent = "outrider-health"

// probe asks for path at e and returns the answer's status. Each probe has a
// connection of its own: it meets what a new caller would meet. Balancer and
// breakers do not hear of it, and a redirect is an answer like any other.
func (s *Service) probe(ctx context.Context, e mesh.Endpoint, path string) (int, error) {
	target, err := url.ParseRequestURI(path)
	if err != nil {
		return 0, fmt.Errorf("probe: path %q: %w", path, err)
	}
	call := mesh.NewCall(ctx)
	defer call.End(mesh.Result{})
	req := (&http.Request{
		Method:     http.MethodGet,
		URL:        &url.URL{Scheme: wireScheme(e), Host: e.Address, Path: target.Path, RawPath: target.RawPath, RawQuery: target.RawQuery},
		Host:       e.Host,
		Header:     http.Header{"User-Agent": {probeAgent}},
		Body:       http.NoBody,
		ProtoMajor: 1,
		ProtoMinor: 1,
		Close:      true,
	}).WithContext(call.Context())
	t := newTransport(s.dialer(e), HostService)
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, drainLimit)
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

// wireScheme returns the scheme as net/http knows it.
func wireScheme(e mesh.Endpoint) string {
	if e.Scheme == "https" {
		return "https"
	}
	return "http"
}
