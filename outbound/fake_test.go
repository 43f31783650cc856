package outbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// outcome is what a scripted endpoint does with one attempt.
type outcome struct {
	status  int
	header  http.Header
	body    string
	fault   *mesh.Fault
	takes   time.Duration // before the head, or the fault
	consume int           // bytes of the request's body that are read; negative is all
}

// script is an origin that plays outcomes, the last one for ever, and keeps what it
// was sent.
type script struct {
	t        *testing.T
	outcomes []outcome
	starts   []time.Time
	bodies   []string
	open     int // response bodies that were not closed
	released int // ends of attempts
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	o := s.outcomes[min(len(s.starts), len(s.outcomes)-1)]
	s.starts = append(s.starts, time.Now())
	mesh.From(req).OnEnd(func(mesh.Result) { s.released++ })
	if o.consume < 0 {
		o.consume = 1 << 30
	}
	b, err := io.ReadAll(io.LimitReader(req.Body, int64(o.consume)))
	s.bodies = append(s.bodies, string(b))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, mesh.Gone(err)
	}
	if wait := sleep(mesh.From(req), o.takes); wait != nil {
		return nil, mesh.EndOf(wait)
	}
	if o.fault != nil {
		return nil, o.fault
	}
	if o.header == nil {
		o.header = http.Header{}
	}
	s.open++
	return &http.Response{
		StatusCode: o.status, Header: o.header, Request: req, ContentLength: int64(len(o.body)),
		Body: &scriptBody{Reader: strings.NewReader(o.body), script: s},
	}, nil
}

type scriptBody struct {
	io.Reader
	script *script
}

func (b *scriptBody) Close() error {
	b.script.open--
	return nil
}

// request returns a request inside a call, with a body where that is not empty.
func request(method, body string) (*http.Request, *mesh.Call) {
	req := httptest.NewRequest(method, "http://shop.test/", nil)
	if body != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	call := mesh.NewCall(context.Background())
	return call.Bind(req), call
}

// recorder is what Events told.
type recorder struct {
	reasons   []string
	exhausted int
}

func (r *recorder) events() Events {
	return Events{
		Retry:           func(_ mesh.Service, _ int, reason string) { r.reasons = append(r.reasons, reason) },
		BudgetExhausted: func(mesh.Service) { r.exhausted++ },
	}
}
