package http1

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"outrider/internal/mesh"
)

// unchunk decodes what comes in pieces into a dst of size bytes at a time. It
// returns the body, how much it took and whether that was all.
func unchunk(c *chunks, size int, pieces ...[]byte) (body string, taken int, done bool, fault *mesh.Fault) {
	dst := make([]byte, size)
	var b strings.Builder
	for _, src := range pieces {
		for {
			w, n, ended, f := c.decode(dst, src)
			b.Write(dst[:w])
			taken, src = taken+n, src[n:]
			if ended || f != nil {
				return b.String(), taken, ended, f
			}
			if w < size && len(src) == 0 {
				break
			}
		}
	}
	return b.String(), taken, false, nil
}

func TestChunksComeInAnyPieces(t *testing.T) {
	for _, tt := range []struct {
		name, text, body string
		trailer          http.Header
	}{
		{"empty", "0\r\n\r\n", "", nil},
		{"one", "5\r\nhello\r\n0\r\n\r\n", "hello", nil},
		{"RFC 9112, 7.1: several", "4\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\n\r\n", "Wikipedia in \r\n\r\nchunks.", nil},
		{"digits", "0000a\r\n0123456789\r\n0A\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789", nil},
		{"many", strings.Repeat("01\r\na\r\n", 20) + "0\r\n\r\n", strings.Repeat("a", 20), nil},
		{"trailer", "1\r\na\r\n0\r\nexpires: now\r\nX-a: b \r\nx-A:\r\n\r\n", "a", http.Header{"Expires": {"now"}, "X-A": {"b", ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(tt.text + "next")
			for first := range len(text) {
				for second := first; second < len(text); second++ {
					var c chunks
					c.reset(usual)
					body, taken, done, fault := unchunk(&c, 1+(first+second)%7, text[:first], text[first:second], text[second:])
					if fault != nil || !done || body != tt.body || taken != len(tt.text) || !maps.EqualFunc(c.trailer, tt.trailer, slices.Equal) {
						t.Fatalf("cut at %d and %d: %q, %d of %d taken, done %v, trailer %v, %v", first, second, body, taken, len(tt.text), done, c.trailer, fault)
					}
				}
			}
			for size := range len(tt.text) {
				var c chunks
				c.reset(usual)
				if _, taken, done, fault := unchunk(&c, 3, text[:size]); done || fault != nil || taken != size {
					t.Fatalf("%d of %d: done %v, %d taken, %v", size, len(tt.text), done, taken, fault)
				}
			}
		})
	}
}

var refusedChunks = []struct {
	name, text string
	want       flaw
}{
	{"no size", "\r\n", badChunkSize},
	{"no size after a chunk", "1\r\na\r\n\r\n", badChunkSize},
	{"no digit", "g\r\n", badChunkSize},
	{"sign", "+1\r\na", badChunkSize},
	{"minus", "-1\r\na", badChunkSize},
	{"prefix", "0x1\r\na", badChunkSize},
	{"space before", " 1\r\na", badChunkSize},
	{"space after", "1 \r\na", badChunkSize},
	{"underscore", "1_0\r\na", badChunkSize},
	{"full-width digit", "\uff11\r\na", badChunkSize},
	{"too many digits", "0000000000000001\r\na\r\n0\r\n\r\n", badChunkSize},
	{"beyond 64 bits", "10000000000000001\r\na", badChunkSize},
	{"extension", "1;a=b\r\na\r\n0\r\n\r\n", chunkExtension},
	{"empty extension", "1;\r\na\r\n0\r\n\r\n", chunkExtension},
	{"extension of the last chunk", "0;a\r\n\r\n", chunkExtension},
	{"extension with LF", "1;\na\r\n", chunkExtension},
	{"space and extension", "1 ;a\r\na\r\n", badChunkSize},
	{"bare LF after the size", "1\na\r\n0\r\n\r\n", bareLF},
	{"bare CR after the size", "1\ra\r\n0\r\n\r\n", bareCR},
	{"LF alone", "\n", bareLF},
	{"chunk too long", "1\r\nab\r\n0\r\n\r\n", badChunkEnd},
	{"chunk too short", "3\r\na\r\n0\r\n\r\n", badChunkEnd},
	{"bare LF after the chunk", "1\r\na\n0\r\n\r\n", badChunkEnd},
	{"bare CR after the chunk", "1\r\na\r0\r\n\r\n", badChunkEnd},
	{"nothing after the chunk", "1\r\na0\r\n\r\n", badChunkEnd},
	{"bare LF at the end", "0\r\n\n", bareLF},
	{"bare LF in the trailer", "0\r\nA: b\nC: d\r\n\r\n", bareLF},
	{"bare CR in the trailer", "0\r\nA: b\rc\r\n\r\n", bareCR},
	{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", folded},
	{"space first in the trailer", "0\r\n A: b\r\n\r\n", folded},
	{"space before colon in the trailer", "0\r\nA : b\r\n\r\n", badName},
	{"a request for a trailer", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", badName},
	{"NUL in the trailer", "0\r\nA: \x00\r\n\r\n", badValue},
	{"length in the trailer", "0\r\nContent-length: 1\r\n\r\n", badTrailer},
	{"coding in the trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n", badTrailer},
	{"trailer in the trailer", "0\r\nTrailer: a\r\n\r\n", badTrailer},
	{"trailer too long", "0\r\nA: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", trailerTooLong},
	{"trailer with too many fields", "0\r\n" + strings.Repeat("A:\r\n", 1<<10+1) + "\r\n", trailerTooLong},
}

func TestChunksAreRefused(t *testing.T) {
	for _, tt := range refusedChunks {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(tt.text)
			for _, cut := range []int{0, 1, len(text) / 2, len(text) - 1} {
				for _, response := range []bool{false, true} {
					l := usual
					l.response = response
					var c chunks
					c.reset(l)
					_, _, done, fault := unchunk(&c, 5, text[:cut], text[cut:])
					want := tt.want.fault(response)
					if done || fault == nil || fault.Kind != want.Kind || fault.Error() != want.Error() {
						t.Fatalf("cut at %d: got %v, want %v", cut, fault, want)
					}
				}
			}
		})
	}
}

// Data may be read past the decoder, as much as it says.
func TestChunksLeaveDataToTheReader(t *testing.T) {
	var c chunks
	c.reset(usual)
	if c.direct() != 0 {
		t.Errorf("%d bytes of data before a size", c.direct())
	}
	if w, n, _, f := c.decode(nil, []byte("8\r\nabc")); f != nil || w != 0 || n != 3 || c.direct() != 8 {
		t.Fatalf("%d written, %d taken, %d left, %v", w, n, c.direct(), f)
	}
	c.took(3)
	if c.direct() != 5 {
		t.Errorf("%d left", c.direct())
	}
	c.took(5)
	if _, n, done, f := c.decode(nil, []byte("\r\n0\r\n\r\nx")); f != nil || !done || n != 7 {
		t.Errorf("%d taken, done %v, %v", n, done, f)
	}
}

func TestTrailerIsMerged(t *testing.T) {
	for _, tt := range []struct {
		name, text      string
		announced, want http.Header
	}{
		{"neither", "0\r\n\r\n", nil, nil},
		{"announced and none", "0\r\n\r\n", http.Header{"A": nil}, http.Header{"A": nil}},
		{"announced and another", "0\r\nA: 1\r\nB: 2\r\n\r\n", http.Header{"A": nil, "C": nil}, http.Header{"A": {"1"}, "B": {"2"}, "C": nil}},
		{"not announced", "0\r\nB: 2\r\n\r\n", nil, http.Header{"B": {"2"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c chunks
			for _, text := range []string{"0\r\nBefore: x\r\n\r\n", tt.text} { // of which nothing stays
				c.reset(usual)
				if _, _, done, f := c.decode(nil, []byte(text)); !done {
					t.Fatal(f)
				}
			}
			got := maps.Clone(tt.announced)
			c.merge(&got)
			if !sameParsed(parsed{trailer: got}, parsed{trailer: tt.want}) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
