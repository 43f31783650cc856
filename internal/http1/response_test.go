package http1

import (
	"net/http"
	"testing"

	"outrider/internal/mesh"
)

// answered is what a response is parsed into.
type answered struct {
	status  string
	code    int
	minor   int
	length  int64 // resp.ContentLength
	trailer http.Header
	frame   framing
}

func parseAnswer(method, text string) (*http.Response, framing, string, flaw) {
	b := []byte(text)
	n, f := find(b, 0, usual)
	if f != sound || n == 0 {
		return nil, framing{}, text, f
	}
	var req *http.Request // stands for GET
	if method != "" {
		req = &http.Request{Method: method}
	}
	resp := new(http.Response)
	frame, f := new(head).parseResponse(b[:n], req, resp)
	return resp, frame, text[n:], f
}

func TestResponse(t *testing.T) {
	for _, tt := range []struct {
		name, method, text string
		want               answered
	}{
		{"RFC 9110, 3.9", "GET", lines("HTTP/1.1 200 OK", "Date: Mon, 27 Jul 2009 12:28:53 GMT", "Content-Length: 51"),
			answered{"200 OK", 200, 1, 51, nil, framing{length: 51}}},
		{"no reason", "GET", lines("HTTP/1.1 200 ", "Content-Length: 0"), answered{"200 ", 200, 1, 0, nil, framing{}}},
		{"no space either", "GET", lines("HTTP/1.1 200", "Content-Length: 0"), answered{"200", 200, 1, 0, nil, framing{}}},
		{"a long reason", "", lines("HTTP/1.1 404 not\there, \xe4 ", "Content-Length: 0"), answered{"404 not\there, \xe4 ", 404, 1, 0, nil, framing{}}},
		{"an odd status", "GET", lines("HTTP/1.1 999 x", "Content-Length: 0"), answered{"999 x", 999, 1, 0, nil, framing{}}},
		{"until close", "GET", lines("HTTP/1.1 200 OK"), answered{"200 OK", 200, 1, -1, nil, framing{length: -1, untilClose: true, close: true}}},
		{"until close, HTTP/1.0", "GET", lines("HTTP/1.0 200 OK", "Connection: keep-alive"), answered{"200 OK", 200, 0, -1, nil, framing{length: -1, untilClose: true, close: true}}},
		{"close", "GET", lines("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 1"), answered{"200 OK", 200, 1, 1, nil, framing{length: 1, close: true}}},
		{"HTTP/1.0", "GET", lines("HTTP/1.0 200 OK", "Content-Length: 1"), answered{"200 OK", 200, 0, 1, nil, framing{length: 1, close: true}}},
		{"HTTP/1.0 keeps alive", "GET", lines("HTTP/1.0 200 OK", "Connection: x, keep-alive", "Content-Length: 1"), answered{"200 OK", 200, 0, 1, nil, framing{length: 1}}},
		{"chunks and trailer", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: a"),
			answered{"200 OK", 200, 1, -1, http.Header{"A": nil}, framing{length: -1, chunked: true}}},
		{"HEAD with a length", "HEAD", lines("HTTP/1.1 200 OK", "Content-Length: 5"), answered{"200 OK", 200, 1, 5, nil, framing{}}},
		{"HEAD without", "HEAD", lines("HTTP/1.1 200 OK"), answered{"200 OK", 200, 1, -1, nil, framing{}}},
		{"HEAD with chunks", "HEAD", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), answered{"200 OK", 200, 1, -1, nil, framing{}}},
		{"204", "GET", lines("HTTP/1.1 204 No Content"), answered{"204 No Content", 204, 1, 0, nil, framing{}}},
		{"204 of length 0", "GET", lines("HTTP/1.1 204 No Content", "Content-Length: 0"), answered{"204 No Content", 204, 1, 0, nil, framing{}}},
		{"304 with a length", "GET", lines("HTTP/1.1 304 Not Modified", "Content-Length: 5"), answered{"304 Not Modified", 304, 1, 0, nil, framing{}}},
		{"304 with chunks", "GET", lines("HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked"), answered{"304 Not Modified", 304, 1, 0, nil, framing{}}},
		{"100", "GET", lines("HTTP/1.1 100 Continue"), answered{"100 Continue", 100, 1, 0, nil, framing{}}},
		{"103", "GET", lines("HTTP/1.1 103 Early Hints", "Link: </a>"), answered{"103 Early Hints", 103, 1, 0, nil, framing{}}},
		{"101", "GET", lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: x"), answered{"101 Switching Protocols", 101, 1, 0, nil, framing{upgrade: true}}},
		{"CONNECT", "CONNECT", lines("HTTP/1.1 200 OK"), answered{"200 OK", 200, 1, 0, nil, framing{upgrade: true}}},
		{"CONNECT that failed", "CONNECT", lines("HTTP/1.1 502 x", "Content-Length: 5"), answered{"502 x", 502, 1, 5, nil, framing{length: 5}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, frame, rest, f := parseAnswer(tt.method, tt.text+"next")
			if f != sound || rest != "next" {
				t.Fatalf("%v, and then %q", f.fault(true), rest)
			}
			got := answered{resp.Status, resp.StatusCode, resp.ProtoMinor, resp.ContentLength, nil, frame}
			want := tt.want
			want.trailer = nil
			if !sameParsed(parsed{trailer: resp.Trailer}, parsed{trailer: tt.want.trailer}) ||
				got.status != want.status || got.code != want.code || got.minor != want.minor || got.length != want.length || got.frame != want.frame {
				t.Errorf("got  %+v %v\nwant %+v %v", got, resp.Trailer, want, tt.want.trailer)
			}
			if resp.Close != frame.close || resp.TransferEncoding != nil {
				t.Errorf("close %v, coding %q", resp.Close, resp.TransferEncoding)
			}
		})
	}
}

var refusedResponses = []struct {
	name, method, text string
	want               flaw
}{
	{"length and coding", "GET", lines("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"), lengthAndCoding},
	{"length and coding for HEAD", "HEAD", lines("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"), lengthAndCoding},
	{"two lengths", "GET", lines("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"), manyLengths},
	{"two lengths for HEAD", "HEAD", lines("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 5"), manyLengths},
	{"a list of lengths", "GET", lines("HTTP/1.1 200 OK", "Content-Length: 5, 5"), badLength},
	{"a bad length in a 304", "GET", lines("HTTP/1.1 304 OK", "Content-Length: x"), badLength},
	{"coding in HTTP/1.0", "GET", lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"), codingBefore11},
	{"another coding", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"), badCoding},
	{"two codings", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), badCoding},
	{"204 with a length", "GET", lines("HTTP/1.1 204 No Content", "Content-Length: 1"), bodyNotAllowed},
	{"204 with chunks", "GET", lines("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked"), bodyNotAllowed},
	{"100 with a length", "GET", lines("HTTP/1.1 100 Continue", "Content-Length: 1"), bodyNotAllowed},
	{"101 with chunks", "GET", lines("HTTP/1.1 101 x", "Transfer-Encoding: chunked"), bodyNotAllowed},
	{"CONNECT with a length", "CONNECT", lines("HTTP/1.1 200 OK", "Content-Length: 1"), bodyNotAllowed},
	{"trailer that frames", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: Content-Length"), badTrailer},
	{"folded", "GET", lines("HTTP/1.1 200 OK", "A: b", " c"), folded},
	{"space before colon", "GET", lines("HTTP/1.1 200 OK", "A : b"), badName},
	{"NUL", "GET", lines("HTTP/1.1 200 OK", "A: \x00"), badValue},
	{"bare CR", "GET", lines("HTTP/1.1 200 OK", "A: \rb"), bareCR},
	{"bare LF", "GET", "HTTP/1.1 200 OK\nA: b\n\n", bareLF},
	{"bare LF in the empty line", "GET", "HTTP/1.1 200 OK\r\n\n", bareLF},
	{"empty line first", "GET", "\r\nHTTP/1.1 200 OK\r\n\r\n", emptyLine},
	{"no status", "GET", lines("HTTP/1.1 "), badStartLine},
	{"short status", "GET", lines("HTTP/1.1 20"), badStartLine},
	{"two spaces", "GET", lines("HTTP/1.1  200 OK"), badStatus},
	{"long status", "GET", lines("HTTP/1.1 2000 OK"), badStatus},
	{"status of letters", "GET", lines("HTTP/1.1 2OO OK"), badStatus},
	{"signed status", "GET", lines("HTTP/1.1 +20 OK"), badStatus},
	{"status below 100", "GET", lines("HTTP/1.1 099 OK"), badStatus},
	{"tab after the status", "GET", lines("HTTP/1.1 200\tOK"), badStatus},
	{"bare CR in the reason", "GET", lines("HTTP/1.1 200 O\rK"), badStartLine},
	{"control character in the reason", "GET", lines("HTTP/1.1 200 O\x01K"), badStartLine},
	{"HTTP/2", "GET", lines("HTTP/2.0 200 OK"), badVersion},
	{"no minor version", "GET", lines("HTTP/2 200 OK"), badStartLine},
	{"another protocol", "GET", lines("ICY/1.1 200 OK"), badStartLine},
	{"another protocol, as long", "GET", lines("RTSP/1.1 200 OK"), badVersion},
	{"HTTP/1.10", "GET", lines("HTTP/1.10 200 OK"), badStartLine},
	{"a body", "GET", lines("<html>hello, I am not HTTP"), badStartLine},
}

func TestResponseIsRefused(t *testing.T) {
	for _, tt := range refusedResponses {
		t.Run(tt.name, func(t *testing.T) {
			resp, frame, _, f := parseAnswer(tt.method, tt.text)
			if f != tt.want {
				t.Fatalf("got %v, want %v", f.fault(true), tt.want.fault(true))
			}
			if frame != (framing{}) || resp != nil && !resp.Close {
				t.Errorf("framing %+v, and the connection goes on", frame)
			}
			if got := f.fault(true); got.Kind != mesh.BadResponse || got.Err == nil {
				t.Errorf("fault %+v", got)
			}
		})
	}
}
