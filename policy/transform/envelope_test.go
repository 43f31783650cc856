package transform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"outrider/internal/mesh"
	"outrider/policy/transform"
)

func TestWhatIsWrapped(t *testing.T) {
	tests := []struct {
		name   string
		status int
		lines  []string
		want   bool
	}{
		{"JSON", 200, []string{"Content-Type: application/json"}, true},
		{"JSON with a charset", 200, []string{"Content-Type: Application/JSON ; charset=utf-8"}, true},
		{"JSON by suffix", 201, []string{"Content-Type: application/vnd.orders+json"}, true},
		{"identity is no coding", 200, []string{"Content-Type: application/json", "Content-Encoding: identity"}, true},
		{"problem", 200, []string{"Content-Type: application/problem+json"}, false},
		{"gRPC", 200, []string{"Content-Type: application/grpc+json"}, false},
		{"text", 200, []string{"Content-Type: text/plain"}, false},
		{"event stream", 200, []string{"Content-Type: text/event-stream"}, false},
		{"no type", 200, nil, false},
		{"JSON lines", 200, []string{"Content-Type: application/json-seq"}, false},
		{"reset content", 205, []string{"Content-Type: application/json"}, false},
		{"partial content", 206, []string{"Content-Type: application/json"}, false},
		{"redirect", 302, []string{"Content-Type: application/json"}, false},
		{"client error", 404, []string{"Content-Type: application/json"}, false},
		{"server error", 500, []string{"Content-Type: application/json"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const body = ` {"a" : 1.0, "b":"ü"} `
			resp := answer(body, tt.lines...)
			resp.StatusCode = tt.status
			original := resp.Body.(*tracked)
			got, text := send(t, enveloping(), newRequest(t, http.MethodGet), resp)
			want := body
			if tt.want {
				want = wrapped(body)
			}
			if text != want || got.ContentLength != int64(len(want)) || got.Header.Get("X-Gateway-Envelope") != "" {
				t.Errorf("got %d bytes %s, %v\nwant %s", got.ContentLength, text, got.Header, want)
			}
			if tt.want && (!json.Valid([]byte(text)) || got.Header.Get("Content-Length") != strconv.Itoa(len(text))) {
				t.Errorf("Content-Length %s of %s", got.Header.Get("Content-Length"), text)
			}
			if original.closed != 1 {
				t.Errorf("the service's body was closed %d times", original.closed)
			}
		})
	}
}

func TestJSONThatCannotBeWrappedPassesWhole(t *testing.T) {
	long := `"` + strings.Repeat("x", 998) + `"`
	tests := []struct {
		name   string
		body   string
		length int64 // declared
		lines  []string
		asked  string
		want   string // X-Gateway-Envelope
	}{
		{"just short enough", long, -1, nil, "X: y", ""},
		{"too large, declared", long + " ", 1001, nil, "X: y", "skipped; reason=too-large"},
		{"too large, not declared", strings.Repeat(long, 50), -1, nil, "X: y", "skipped; reason=too-large"},
		{"not JSON", "<html>", 6, nil, "X: y", "skipped; reason=invalid-json"},
		{"JSON, and more", "{}{}", -1, nil, "X: y", "skipped; reason=invalid-json"},
		{"cut JSON", `{"a":`, -1, nil, "X: y", "skipped; reason=invalid-json"},
		{"encoded all the same", "\x1f\x8b", 2, []string{"Content-Encoding: gzip"}, "X: y", "skipped; reason=encoded"},
		{"the service forbids it, RFC 9110 7.7", "{}", 2, []string{"Cache-Control: max-age=1, No-Transform"}, "X: y", "skipped; reason=no-transform"},
		{"the client forbids it, RFC 9111 5.2.1.6", "{}", 2, nil, "Cache-Control: no-transform", "skipped; reason=no-transform"},
		{"what the service says of it does not count", "<html>", 6, []string{"X-Gateway-Envelope: v9"}, "X: y", "skipped; reason=invalid-json"},
		{"nothing, and said so", "", 0, []string{"X-Gateway-Envelope: v9"}, "X: y", ""},
		{"nothing, of unknown length", "", -1, nil, "X: y", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := enveloping()
			cfg.MaxBody = 1000
			resp := answer(tt.body, append(tt.lines, "Content-Type: application/json", `Etag: "1"`)...)
			resp.ContentLength = tt.length
			original := resp.Body.(*tracked)
			got, text := send(t, cfg, newRequest(t, http.MethodGet, tt.asked), resp)
			if tt.name == "just short enough" {
				if text != wrapped(tt.body) {
					t.Errorf("not wrapped: %v", got.Header)
				}
				return
			}
			if text != tt.body || got.ContentLength != tt.length || got.Header.Get("Etag") != `"1"` {
				t.Errorf("got %d bytes, length %d, tag %s: want the %d that came, as they were", len(text), got.ContentLength, got.Header.Get("Etag"), len(tt.body))
			}
			if said := got.Header.Get("X-Gateway-Envelope"); said != tt.want {
				t.Errorf("X-Gateway-Envelope %q, want %q", said, tt.want)
			}
			if original.closed != 1 {
				t.Errorf("the service's body was closed %d times", original.closed)
			}
		})
	}
}

// What is too long is not read to its end before the client gets it.
func TestWhatIsTooLongStreams(t *testing.T) {
	reader, writer := io.Pipe()
	go func() { _, _ = writer.Write(bytes.Repeat([]byte("x"), 11)) }()
	cfg := enveloping()
	cfg.MaxBody = 10
	resp := answer("", "Content-Type: application/json")
	resp.ContentLength, resp.Body = -1, reader
	got, err := stack(t, cfg, func(*http.Request) (*http.Response, error) { return resp, nil }).RoundTrip(newRequest(t, http.MethodGet))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(got.Body, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	go func() { _ = writer.CloseWithError(broken) }()
	if _, err := io.ReadAll(got.Body); !errors.Is(err, broken) {
		t.Errorf("the rest ended with %v, want its own error", err)
	}
	_ = got.Body.Close()
}

func TestABodyThatBreaksOffIsAFault(t *testing.T) {
	cause := errors.New("connection reset by peer")
	idle := &mesh.Fault{Kind: mesh.IdleTimeout, Endpoint: "10.0.0.1:80"}
	for _, tt := range []struct {
		err  error
		want mesh.Kind
	}{{cause, mesh.Reset}, {io.ErrUnexpectedEOF, mesh.Reset}, {idle, mesh.IdleTimeout}} {
		resp := answer("", "Content-Type: application/json")
		body := &tracked{Reader: failing(`{"a":1}`, tt.err)}
		resp.ContentLength, resp.Body = -1, body
		got, err := stack(t, enveloping(), func(*http.Request) (*http.Response, error) { return resp, nil }).RoundTrip(newRequest(t, http.MethodGet))
		if got != nil || mesh.AsFault(err).Kind != tt.want || !errors.Is(err, tt.err) || mesh.AsFault(err).Retryable {
			t.Errorf("%v: got %v, %v, want a fault of kind %v around it", tt.err, got, err, tt.want)
		}
		if body.closed != 1 {
			t.Errorf("%v: the body was closed %d times", tt.err, body.closed)
		}
	}
}

func TestWhatTheServiceIsAsked(t *testing.T) {
	req := newRequest(t, http.MethodGet, "Accept-Encoding: gzip, br", "Range: bytes=0-1", `If-Range: "1"`, `If-None-Match: "1"`)
	var sent http.Header
	cfg := enveloping()
	cfg.Request = transform.Edit{Set: map[string]string{"Accept-Encoding": "br", "Range": "bytes=1-"}}
	_, err := stack(t, cfg, func(req *http.Request) (*http.Response, error) {
		sent = req.Header
		return answer(""), nil
	}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := sent["Accept-Encoding"]; len(got) != 1 || got[0] != "identity" {
		t.Errorf("Accept-Encoding %q, want identity", got)
	}
	if sent.Get("Range") != "" || sent.Get("If-Range") != "" || sent.Get("If-None-Match") == "" {
		t.Errorf("sent %v, want no ranges, and the condition", sent)
	}
}

func TestWithoutEnvelopeNothingOfItHappens(t *testing.T) {
	req := newRequest(t, http.MethodGet, "Accept-Encoding: gzip", "Range: bytes=0-1")
	cfg := transform.Config{Response: transform.Edit{Set: map[string]string{"X-A": "1"}}}
	got, text := send(t, cfg, req, answer("{}", "Content-Type: application/json", "Accept-Ranges: bytes", `Etag: "1"`))
	if text != "{}" || got.Header.Get("Accept-Ranges") == "" || got.Header.Get("Etag") != `"1"` || req.Header.Get("Range") == "" || req.Header.Get("Accept-Encoding") != "gzip" {
		t.Errorf("request %v, response %v %s", req.Header, got.Header, text)
	}
}

func TestFieldsThatSpeakOfTheContent(t *testing.T) {
	lines := []string{
		"Content-Type: application/json", `Etag: "1"`, "Accept-Ranges: bytes", "Last-Modified: x", "Content-Length: 2",
		"Content-Md5: x", "Digest: x", "Content-Digest: x", "Repr-Digest: x",
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		resp := answer("{}", lines...)
		if method == http.MethodHead {
			resp.Body = http.NoBody
		}
		got, text := send(t, enveloping(), newRequest(t, method), resp)
		if got.Header.Get("Etag") != `W/"1"` || got.Header.Get("Last-Modified") != "x" {
			t.Errorf("%s: %v, want a weak tag and the date", method, got.Header)
		}
		for _, name := range []string{"Accept-Ranges", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
			if got.Header.Get(name) != "" {
				t.Errorf("%s: %s is still there", method, name)
			}
		}
		length, said := int64(len(wrapped("{}"))), strconv.Itoa(len(wrapped("{}")))
		if method == http.MethodHead {
			length, said = -1, "" // RFC 9110, section 8.6: it must be GET's, or absent
		}
		if got.ContentLength != length || got.Header.Get("Content-Length") != said || int64(len(text)) != max(length, 0) {
			t.Errorf("%s: length %d, %q, body %q", method, got.ContentLength, got.Header.Get("Content-Length"), text)
		}
	}
}

func TestEntityTags(t *testing.T) { // RFC 9110, section 8.8
	for tag, want := range map[string]string{"": "", `"1"`: `W/"1"`, `W/"1"`: `W/"1"`} {
		resp := answer("{}", "Content-Type: application/json")
		confirmed := answer("")
		confirmed.StatusCode = http.StatusNotModified
		if tag != "" {
			resp.Header.Set("Etag", tag)
			confirmed.Header.Set("Etag", tag)
		}
		for _, r := range []*http.Response{resp, confirmed} {
			got, _ := send(t, enveloping(), newRequest(t, http.MethodGet), r)
			if got.Header.Get("Etag") != want {
				t.Errorf("%d: tag %s became %s, want %s", got.StatusCode, tag, got.Header.Get("Etag"), want)
			}
		}
	}
}

func TestTrailersSurvive(t *testing.T) {
	resp := answer("{}", "Content-Type: application/json")
	resp.Trailer = http.Header{"Checksum": nil, "Repr-Digest": nil}
	resp.Body = &tracked{Reader: io.MultiReader(strings.NewReader("{}"), atEnd(func() {
		resp.Trailer.Set("Checksum", "1")
		resp.Trailer.Set("Repr-Digest", "of the bare data")
	}))}
	got, text := send(t, enveloping(), newRequest(t, http.MethodGet), resp)
	if text != wrapped("{}") || got.Trailer.Get("Checksum") != "1" || got.Trailer.Get("Repr-Digest") != "" {
		t.Errorf("got %s, trailers %v", text, got.Trailer)
	}
	if got.ContentLength != -1 || got.Header.Get("Content-Length") != "" {
		t.Errorf("length %d: a message with a length has no room for trailers (RFC 9112, section 7.1.2)", got.ContentLength)
	}
}

// atEnd is a reader of nothing that calls itself.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) { f(); return 0, io.EOF }

func TestAnUpgradedBodyIsNotTouched(t *testing.T) {
	type duplex struct{ io.ReadWriteCloser }
	body := &duplex{}
	resp := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: fields("Content-Type: application/json"), Body: body, ContentLength: -1}
	got, err := stack(t, enveloping(), func(*http.Request) (*http.Response, error) { return resp, nil }).RoundTrip(newRequest(t, http.MethodGet))
	if err != nil || got.Body != io.ReadCloser(body) {
		t.Errorf("the body is a %T, %v", got.Body, err)
	}
}

func TestTheServiceInTheEnvelope(t *testing.T) {
	for _, tt := range []struct {
		configured, reached mesh.Service
		want                string
	}{{"orders", "users", `"orders"`}, {"", "users", `"users"`}, {"", "", `""`}, {`a"b`, "", `"a\"b"`}} {
		cfg := enveloping()
		cfg.Service, cfg.Version = tt.configured, ""
		origin := func(req *http.Request) (*http.Response, error) {
			mesh.From(req).Service = tt.reached // as the split layer below does
			return answer("1", "Content-Type: application/json"), nil
		}
		resp, err := stack(t, cfg, origin).RoundTrip(newRequest(t, http.MethodGet))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		want := `{"data":1,"meta":{"timestamp":1700000000000,"service":` + tt.want + `,"version":""}}`
		if err != nil || string(body) != want {
			t.Errorf("got %s, %v, want %s", body, err, want)
		}
	}
}

func TestAZeroConfigBoundsAndTellsTheTime(t *testing.T) {
	cfg := transform.Config{Envelope: true}
	exact := `"` + strings.Repeat("x", 1<<20-2) + `"`
	_, text := send(t, cfg, newRequest(t, http.MethodGet), answer(exact, "Content-Type: application/json"))
	var got struct {
		Data string
		Meta struct{ Timestamp int64 }
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Data) != 1<<20-2 || got.Meta.Timestamp <= 0 {
		t.Errorf("1 MiB: %v, %d bytes at %d", err, len(got.Data), got.Meta.Timestamp)
	}
	resp, _ := send(t, cfg, newRequest(t, http.MethodGet), answer(exact+" ", "Content-Type: application/json"))
	if resp.Header.Get("X-Gateway-Envelope") != "skipped; reason=too-large" {
		t.Errorf("more than 1 MiB: %v", resp.Header)
	}
}

// The budget of wrapping a small answer: the buffer, its reader, the body, and the
// fields that are set.
func TestAllocationsOfAnEnvelope(t *testing.T) {
	resp := answer("{}", "Content-Type: application/json")
	source := strings.NewReader("")
	body := &tracked{Reader: source}
	origin := stack(t, enveloping(), func(*http.Request) (*http.Response, error) {
		source.Reset(`{"a":1}`)
		resp.Body, resp.ContentLength = body, 7
		return resp, nil
	})
	req := newRequest(t, http.MethodGet)
	got := testing.AllocsPerRun(500, func() {
		resp, err := origin.RoundTrip(req)
		if err != nil || resp.ContentLength < 8 {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
	})
	const budget = 9
	if got > budget {
		t.Errorf("an envelope allocates %v times, budget %d", got, budget)
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{"{}", "[1, 2]", "", "null ", `{"a":`, "{}{}", "\xef\xbb\xbf{}", `"` + "\xff" + `"`} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, declared bool) {
		resp := answer(string(data), "Content-Type: application/json")
		if !declared {
			resp.ContentLength = -1
		}
		cfg := enveloping()
		cfg.MaxBody = 64
		got, text := send(t, cfg, newRequest(t, http.MethodGet), resp)
		want := string(data)
		if json.Valid(data) && len(data) <= 64 {
			want = wrapped(want)
		}
		if text != want {
			t.Errorf("%q became %q, want %q", data, text, want)
		}
		if got.ContentLength >= 0 && got.ContentLength != int64(len(text)) {
			t.Errorf("length %d of %d bytes", got.ContentLength, len(text))
		}
	})
}
