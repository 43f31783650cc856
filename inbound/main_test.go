package inbound_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"outrider/inbound"
	"outrider/internal/mesh"
	"outrider/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request returns a request as a server hands it to a stack. Fields are name, value.
func request(t testing.TB, method, target string, fields ...string) *http.Request {
	t.Helper()
	req := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	call := mesh.NewCall(context.Background())
	call.Fields = len(fields) / 2
	return call.Bind(req)
}

// seen is what came by.
type seen []string

// layer notes its name, and passes the request on.
func (s *seen) layer(name string) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			*s = append(*s, name)
			return next.RoundTrip(req)
		})
	}
}

// origin notes its name, and answers.
func (s *seen) origin(name string) http.RoundTripper {
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		*s = append(*s, name)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	})
}

func (s *seen) want(t *testing.T, names ...string) {
	t.Helper()
	if !slices.Equal(*s, names) {
		t.Errorf("the request met %q, want %q", *s, names)
	}
}

// to is a route of that path to an origin that notes the path as its name.
func (s *seen) to(path string, edit ...func(*inbound.Route)) inbound.Route {
	r := inbound.Route{Match: route.Match{Path: path}, Is: &mesh.Route{Name: path}, Origin: s.origin(path)}
	for _, f := range edit {
		f(&r)
	}
	return r
}

func methods(names ...string) func(*inbound.Route) {
	return func(r *inbound.Route) { r.Match.Methods = names }
}

func guard(t testing.TB, c inbound.Config) http.RoundTripper {
	t.Helper()
	g, err := inbound.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// pass sends a request that must be answered.
func pass(t *testing.T, g http.RoundTripper, req *http.Request) {
	t.Helper()
	resp, err := g.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	_ = resp.Body.Close()
}

// refuse sends a request that must end in a Fault of that kind.
func refuse(t *testing.T, g http.RoundTripper, req *http.Request, want mesh.Kind) {
	t.Helper()
	_, err := g.RoundTrip(req)
	f, ok := errors.AsType[*mesh.Fault](err)
	if !ok || f.Kind != want {
		t.Errorf("%s %s: got %v, want a Fault %v", req.Method, req.URL, err, want)
	}
}
