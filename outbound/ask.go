package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"

	"outrider/internal/mesh"
)

// ErrStranger is Ask's error for an endpoint that is asked nothing: whoever may listen
// on the way, or in its place, would learn that.
var ErrStranger = errors.New("it is neither on this machine nor met by mutual TLS")

// ErrNotThere is Ask's error for an address that is no endpoint's now.
var ErrNotThere = errors.New("it is no endpoint any more")

// Ask asks the proxy at one of the service's endpoints for target, a path with a query,
// and returns its answer: its status, its content type and at most so many bytes. It
// asks over mutual TLS of the mesh, or on this machine, and nobody else. The question
// bears no header of any request; balancer and breakers do not hear of it.
func (s *Service) Ask(ctx context.Context, address, target string, most int64) (status int, kind string, body []byte, err error) {
	e, ok := s.endpoint(address)
	if !ok {
		return 0, "", nil, ErrNotThere
	}
	if !s.trusts(e) {
		return 0, "", nil, ErrStranger
	}
	resp, done, err := s.get(ctx, e, target, askAgent)
	if err != nil {
		return 0, "", nil, err
	}
	defer done()
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, most+1)); err == nil && int64(len(body)) > most {
		err = fmt.Errorf("its answer is longer than %d bytes", most)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), body, err
}

// askAgent is the User-Agent of questions.
const askAgent = "outrider"

func (s *Service) endpoint(address string) (mesh.Endpoint, bool) {
	for _, st := range s.balancer.Status() {
		if st.Endpoint.Address == address {
			return st.Endpoint, true
		}
	}
	return mesh.Endpoint{}, false
}

// trusts reports whether nobody but e can hear what it is asked, and answer for it.
func (s *Service) trusts(e mesh.Endpoint) bool {
	if at, err := netip.ParseAddrPort(e.Address); err == nil && at.Addr().Unmap().IsLoopback() {
		return true
	}
	if s.cfg.Mesh == nil {
		return false
	}
	settings, err := s.cfg.Mesh(e)
	return err == nil && settings != nil
}

// get asks e for target, on a connection of its own. Done is called after the answer
// has been read.
func (s *Service) get(ctx context.Context, e mesh.Endpoint, target, agent string) (resp *http.Response, done func(), err error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, nil, fmt.Errorf("path %q: %w", target, err)
	}
	call := mesh.NewCall(ctx)
	req := call.Bind(&http.Request{
		Method:     http.MethodGet,
		URL:        &url.URL{Scheme: wireScheme(e), Host: e.Address, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery},
		Host:       e.Host,
		Header:     http.Header{"User-Agent": {agent}},
		Body:       http.NoBody,
		ProtoMajor: 1,
		ProtoMinor: 1,
		Close:      true,
	})
	t := newTransport(s.dialer(e), HostService)
	done = func() {
		t.CloseIdleConnections()
		call.End(mesh.Result{})
	}
	if resp, err = t.RoundTrip(req); err != nil {
		done()
		return nil, nil, err
	}
	return resp, done, nil
}
