package integration_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"outrider/integration/meshtest"
)

// frame is what a gateway answers to a stream: a HEADERS frame, or a reset.
type frame struct {
	fields map[string]string
	ends   bool // the stream, with this frame
	reset  bool
}

// stream sends a request over HTTP/2 without TLS, byte by byte as given, which no
// client library would, and returns the final HEADERS frame of the answer. fields are
// names and values; those of a GET / of shop.test are added where they are missing.
func stream(t *testing.T, g *meshtest.Running, body string, fields ...string) frame {
	t.Helper()
	w := g.Dial()
	defer w.Close()
	w.Send(http2.ClientPreface)
	framer := http2.NewFramer(w, w.Reader)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for _, usual := range [][2]string{{":method", http.MethodGet}, {":scheme", "http"}, {":authority", "shop.test"}, {":path", "/"}} {
		if at := slices.Index(fields, usual[0]); at >= 0 {
			usual[1] = fields[at+1]
			fields = slices.Delete(slices.Clone(fields), at, at+2)
		}
		_ = encoder.WriteField(hpack.HeaderField{Name: usual[0], Value: usual[1]}) // to memory
	}
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	err := errors.Join(framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: body == ""}))
	if err == nil && body != "" {
		err = framer.WriteData(1, true, []byte(body))
	}
	if err != nil {
		t.Fatal(err)
	}
	return final(t, framer)
}

func final(t *testing.T, framer *http2.Framer) frame {
	t.Helper()
	for {
		next, err := framer.ReadFrame()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return frame{reset: true}
		case err != nil:
			t.Fatalf("no answer: %v", err)
		}
		switch f := next.(type) {
		case *http2.MetaHeadersFrame:
			answer := frame{fields: map[string]string{}, ends: f.StreamEnded()}
			for _, field := range f.Fields {
				answer.fields[field.Name] = field.Value
			}
			if answer.fields[":status"] >= "200" {
				return answer
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return frame{reset: true}
		}
	}
}

// TestMalformedOverHTTP2 holds that what HTTP/1.1 could not carry is refused on
// HTTP/2 as well, before it is translated: by a 400 or a reset, never by a fault of
// our own, and the endpoint does not see it.
func TestMalformedOverHTTP2(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   string
		fields []string
	}{
		{"method with a space", "", []string{":method", "GE T"}},
		{"request line in the method", "", []string{":method", "GET /admin HTTP/1.1"}},
		{"space in the query", "", []string{":path", "/x?a b"}},
		{"end of a request line in the query", "", []string{":path", "/x?a HTTP/1.1"}},
		{"control character in the query", "", []string{":path", "/x?\x01"}},
		{"space in the authority", "", []string{":authority", "a b"}},
		{"slash in the authority", "", []string{":authority", "a/b"}},
		{"quote in the authority", "", []string{":authority", `a"b`}},
		{"no ASCII in the authority", "", []string{":authority", "\xff"}},
		{"user in the authority", "", []string{":authority", "user@shop.test"}},
		{"line break in a value", "", []string{"x-a", "b\r\nc: d"}},
		{"NUL in a value", "", []string{"x-a", "b\x00"}},
		{"space in a name", "", []string{"x a", "b"}},
		{"colon in a name", "", []string{"x:a", "b"}},
		{"upper case in a name", "", []string{"X-A", "b"}},
		{"space in a trailer's name", "hello", []string{":method", "POST", "trailer", "a b"}},
		{"connection", "", []string{"connection", "x-user-id"}},
		{"transfer-encoding", "hello", []string{":method", "POST", "transfer-encoding", "chunked"}},
		{"upgrade", "", []string{"upgrade", "websocket"}},
		{"length too short", "hello", []string{":method", "POST", "content-length", "3"}},
		{"length too long", "hello", []string{":method", "POST", "content-length", "7"}},
		{"length of nothing", "", []string{"content-length", "5"}},
		{"length that is none", "hello", []string{":method", "POST", "content-length", "+5"}},
		{"empty path", "", []string{":path", ""}},
		{"relative path", "", []string{":path", "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := meshtest.RawOrigin(t, func(c net.Conn) {
				var got strings.Builder
				r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &got)))
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
				}
				if line, _, _ := strings.Cut(got.String(), "\r\n"); line != "" && (err == nil || tt.body == "") {
					t.Errorf("the endpoint got %q", line) // of a body, a beginning may have come
				}
			})
			g := meshtest.Gateway(t, to("http://"+e.Addr, "retries: 0"))
			if got := stream(t, g, tt.body, tt.fields...); !got.reset && got.fields[":status"] != "400" {
				t.Errorf("answered with %v, want 400 or a reset", got.fields)
			}
		})
	}
}
