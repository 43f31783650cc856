package transform

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"outrider/internal/mesh"
)

// Config says what is changed.
type Config struct {
	Service  mesh.Service     // the envelope's service; empty means the one that the call went to
	Version  string           // the envelope's version; empty is written as ""
	Envelope bool             // wrap successful JSON answers
	MaxBody  int64            // bytes of JSON that may be held for it; zero means 1 MiB, negative is refused
	Request  Edit             // of requests, before they go on
	Response Edit             // of responses, after the envelope; never of Faults
	Now      func() time.Time // the envelope's clock; nil means time.Now
}

// defaultMaxBody is what MaxBody means when it is zero.
const defaultMaxBody = 1 << 20

// New returns the layer, or nil where cfg changes nothing. Its error names every
// header field that cannot be edited, and why.
func New(cfg Config) (mesh.Layer, error) {
	request, requestErr := compile("request", cfg.Request)
	response, responseErr := compile("response", cfg.Response)
	var bodyErr error
	if cfg.MaxBody < 0 {
		bodyErr = fmt.Errorf("max_body: %d is negative", cfg.MaxBody)
	}
	if err := errors.Join(requestErr, responseErr, bodyErr); err != nil {
		return nil, err
	}
	var wrapper *envelope
	if cfg.Envelope {
		wrapper = newEnvelope(cfg)
	}
	if wrapper == nil && request.empty() && response.empty() {
		return nil, nil
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return &transformer{next: next, request: request, response: response, envelope: wrapper}
	}, nil
}

type transformer struct {
	next              http.RoundTripper
	request, response edits
	envelope          *envelope // nil: none
}

// RoundTrip edits req, passes it on, and edits the response.
func (t *transformer) RoundTrip(req *http.Request) (*http.Response, error) {
	call := mesh.From(req)
	t.request.apply(call, req.Header)
	if t.envelope == nil {
		resp, err := t.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		t.response.apply(call, resp.Header)
		return resp, nil
	}
	forbidden := noTransform(req.Header)
	t.envelope.prepare(call, req.Header) // after the edits: the envelope cannot do without
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := t.envelope.wrap(req, resp, forbidden); err != nil {
		_ = resp.Body.Close() // it failed already, and that is what is reported
		return nil, err
	}
	t.response.apply(call, resp.Header) // last: the operator's word is final
	return resp, nil
}
