package transform_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/internal/mesh"
	"outrider/policy/transform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fixed() time.Time { return time.UnixMilli(1700000000000) }

// wrapped is body in the envelope of the service orders, version 2.
func wrapped(body string) string {
	return `{"data":` + body + `,"meta":{"timestamp":1700000000000,"service":"orders","version":"2"}}`
}

// enveloping is a Config with the envelope on.
func enveloping() transform.Config {
	return transform.Config{Service: "orders", Version: "2", Envelope: true, Now: fixed}
}

// fields are header fields written as "Name: value".
func fields(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// answer is a 200 of known length.
func answer(body string, lines ...string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Header: fields(lines...), ContentLength: int64(len(body)),
		Body: &tracked{Reader: strings.NewReader(body)},
	}
}

// tracked is a body that knows whether it was closed.
type tracked struct {
	io.Reader
	closed int
}

func (b *tracked) Close() error { b.closed++; return nil }

// failing is a reader that ends with err after text.
func failing(text string, err error) io.Reader {
	return io.MultiReader(bytes.NewReader([]byte(text)), errReader{err})
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func newRequest(t *testing.T, method string, lines ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://orders/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = fields(lines...)
	return mesh.NewCall(req.Context()).Bind(req)
}

// stack is the layer of cfg before an origin that gives resp.
func stack(t *testing.T, cfg transform.Config, origin func(*http.Request) (*http.Response, error)) http.RoundTripper {
	t.Helper()
	layer, err := transform.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return mesh.Stack(mesh.RoundTripFunc(origin), layer)
}

// send sends req to the layer of cfg before an origin that answers with resp.
func send(t *testing.T, cfg transform.Config, req *http.Request, resp *http.Response) (*http.Response, string) {
	t.Helper()
	got, err := stack(t, cfg, func(*http.Request) (*http.Response, error) { return resp, nil }).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return got, string(body)
}
