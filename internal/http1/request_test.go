package http1

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"outrider/internal/mesh"
)

// usual are the limits of tests that are not about limits.
var usual = limits{head: 1 << 20, start: 1 << 20, line: 1 << 20, fields: 1 << 10}

// parsed is what a request is parsed into.
type parsed struct {
	method, host, path, query string
	minor                     int
	header, trailer           http.Header
	frame                     framing
}

// parseText parses the request that text begins with, and returns the rest of it.
func parseText(text string) (req *http.Request, frame framing, rest string, f flaw) {
	b := []byte(text)
	n, f := find(b, 0, usual)
	if f != sound || n == 0 {
		return nil, framing{}, text, f
	}
	req = new(http.Request)
	frame, f = new(head).parseRequest(b[:n], req)
	return req, frame, text[n:], f
}

// lines makes a head of lines.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

func TestRequest(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       parsed
	}{
		{"RFC 9112, 3.2.1", lines("GET /where?q=now HTTP/1.1", "Host: www.example.org"),
			parsed{method: "GET", host: "www.example.org", path: "/where", query: "q=now", minor: 1}},
		{"RFC 9110, 3.9", lines("GET /hello.txt HTTP/1.1", "User-Agent: curl/7.64.1", "Host: www.example.com", "Accept-Language: en, mi"),
			parsed{method: "GET", host: "www.example.com", path: "/hello.txt", minor: 1,
				header: http.Header{"User-Agent": {"curl/7.64.1"}, "Accept-Language": {"en, mi"}}}},
		{"absolute form: its authority is the host", lines("GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1", "Host: other"),
			parsed{method: "GET", host: "www.example.org", path: "/pub/WWW/TheProject.html", minor: 1}},
		{"absolute form without a path", lines("OPTIONS http://www.example.org:8001 HTTP/1.1", "Host: www.example.org:8001"),
			parsed{method: "OPTIONS", host: "www.example.org:8001", minor: 1}},
		{"authority form", lines("CONNECT www.example.com:80 HTTP/1.1", "Host: www.example.com"),
			parsed{method: "CONNECT", host: "www.example.com:80", minor: 1}},
		{"asterisk form", lines("OPTIONS * HTTP/1.1", "Host: a"), parsed{method: "OPTIONS", host: "a", path: "*", minor: 1}},
		{"HTTP/1.0 needs no Host", lines("GET / HTTP/1.0"), parsed{method: "GET", path: "/", frame: framing{close: true}}},
		{"HTTP/1.0 keeps alive where it says so", lines("GET / HTTP/1.0", "Connection: Keep-Alive"),
			parsed{method: "GET", path: "/", header: http.Header{"Connection": {"Keep-Alive"}}}},
		{"HTTP/1.0 does not wait", lines("POST / HTTP/1.0", "Expect: 100-continue", "Content-Length: 1"),
			parsed{method: "POST", path: "/", frame: framing{length: 1, close: true},
				header: http.Header{"Expect": {"100-continue"}, "Content-Length": {"1"}}}},
		{"close in a list", lines("GET / HTTP/1.1", "Host: a", "Connection: TE , Close", "Connection: x"),
			parsed{method: "GET", host: "a", path: "/", minor: 1, frame: framing{close: true}, header: http.Header{"Connection": {"TE , Close", "x"}}}},
		{"length", lines("PUT / HTTP/1.1", "Host: a", "Content-Length: 12"),
			parsed{method: "PUT", host: "a", path: "/", minor: 1, frame: framing{length: 12}, header: http.Header{"Content-Length": {"12"}}}},
		{"chunks and trailer", lines("PUT / HTTP/1.1", "Host: a", "transfer-encoding: Chunked", "Trailer: x-sum,, Etag", "trailer: y"),
			parsed{method: "PUT", host: "a", path: "/", minor: 1, frame: framing{length: -1, chunked: true},
				trailer: http.Header{"X-Sum": nil, "Etag": nil, "Y": nil}}},
		{"a trailer is announced for chunks only", lines("PUT / HTTP/1.1", "Host: a", "Trailer: x"),
			parsed{method: "PUT", host: "a", path: "/", minor: 1, header: http.Header{"Trailer": {"x"}}}},
		{"expect", lines("PUT / HTTP/1.1", "Host: a", "Expect: 100-Continue", "Content-Length: 3"),
			parsed{method: "PUT", host: "a", path: "/", minor: 1, frame: framing{length: 3, expect: true},
				header: http.Header{"Expect": {"100-Continue"}, "Content-Length": {"3"}}}},
		{"expect with no body", lines("PUT / HTTP/1.1", "Host: a", "Expect: 100-continue"),
			parsed{method: "PUT", host: "a", path: "/", minor: 1, header: http.Header{"Expect": {"100-continue"}}}},
		{"upgrade", lines("GET / HTTP/1.1", "Host: a", "Connection: keep-alive, Upgrade", "Upgrade: websocket"),
			parsed{method: "GET", host: "a", path: "/", minor: 1, frame: framing{upgrade: true},
				header: http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}}},
		{"upgrade of nothing", lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade"),
			parsed{method: "GET", host: "a", path: "/", minor: 1, header: http.Header{"Connection": {"Upgrade"}}}},
		{"later minor version", lines("GET / HTTP/1.7", "Host: a"), parsed{method: "GET", host: "a", path: "/", minor: 7}},
		{"names repeat", lines("GET / HTTP/1.1", "cookie: a", "X-B: 1", "Host: a", "Cookie: b", "x-b:2", "Via: 1", "COOKIE:", "x-B: 3"),
			parsed{method: "GET", host: "a", path: "/", minor: 1,
				header: http.Header{"Cookie": {"a", "b", ""}, "X-B": {"1", "2", "3"}, "Via": {"1"}}}},
		{"white space around values", lines("GET / HTTP/1.1", "Host: \t a ", "A:\t b\t c \t", "B: \t", "C:"),
			parsed{method: "GET", host: "a", path: "/", minor: 1, header: http.Header{"A": {"b\t c"}, "B": {""}, "C": {""}}}},
		{"obs-text", lines("GET / HTTP/1.1", "Host: a", "A: \xff\x80"),
			parsed{method: "GET", host: "a", path: "/", minor: 1, header: http.Header{"A": {"\xff\x80"}}}},
		{"odd names", lines("M-SEARCH / HTTP/1.1", "Host: [::1]:80", "x!#$%&'*+-.^_`|~-y: 1"),
			parsed{method: "M-SEARCH", host: "[::1]:80", path: "/", minor: 1, header: http.Header{"X!#$%&'*+-.^_`|~-Y": {"1"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, frame, rest, f := parseText(tt.text + "next")
			if f != sound || rest != "next" {
				t.Fatalf("%v, and then %q", f.fault(false), rest)
			}
			got := parsed{req.Method, req.Host, req.URL.Path, req.URL.RawQuery, req.ProtoMinor, req.Header, req.Trailer, frame}
			if tt.want.header == nil {
				tt.want.header = http.Header{}
			}
			if !sameParsed(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			if req.ContentLength != frame.length || req.Close != frame.close || req.TransferEncoding != nil {
				t.Errorf("length %d, close %v, coding %q", req.ContentLength, req.Close, req.TransferEncoding)
			}
		})
	}
}

func sameParsed(a, b parsed) bool {
	same := func(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal) && (a == nil) == (b == nil) }
	return a.method == b.method && a.host == b.host && a.path == b.path && a.query == b.query && a.minor == b.minor &&
		a.frame == b.frame && same(a.header, b.header) && same(a.trailer, b.trailer)
}

// refusedRequests lists heads that are refused, and why. The families of request
// smuggling are among them.
var refusedRequests = []struct {
	name, text string
	want       flaw
}{
	{"CL.TE", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 6", "Transfer-Encoding: chunked") + "0\r\n\r\nG", lengthAndCoding},
	{"TE.CL", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 3") + "1\r\nG\r\n0\r\n\r\n", lengthAndCoding},
	{"CL.TE in HTTP/1.0", lines("POST / HTTP/1.0", "Content-Length: 6", "Transfer-Encoding: chunked"), lengthAndCoding},
	{"TE in HTTP/1.0", lines("POST / HTTP/1.0", "Transfer-Encoding: chunked"), codingBefore11},
	{"TE.TE twice", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-encoding: cow"), badCoding},
	{"TE.TE same", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), badCoding},
	{"TE.TE list", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked, chunked"), badCoding},
	{"TE.TE identity", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: identity"), badCoding},
	{"TE.TE gzip", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"), badCoding},
	{"TE.TE prefix", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked"), badCoding},
	{"TE.TE quoted", lines("POST / HTTP/1.1", "Host: a", `Transfer-Encoding: "chunked"`), badCoding},
	{"TE.TE parameter", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked;q=1"), badCoding},
	{"TE.TE empty", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding:"), badCoding},
	{"TE.TE comma", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked,"), badCoding},
	{"TE.TE vertical tab", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: \vchunked"), badValue},
	{"TE.TE Kelvin sign", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chun\u212aed"), badCoding},
	{"TE.TE space before colon", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding : chunked"), badName},
	{"TE.TE tab before colon", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding\t: chunked"), badName},
	{"TE.TE space before name", lines("POST / HTTP/1.1", "Host: a", " Transfer-Encoding: chunked"), folded},
	{"TE.TE folded", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding:", " chunked"), folded},
	{"TE.TE bare LF", lines("POST / HTTP/1.1", "Host: a", "Foo: bar\nTransfer-Encoding: chunked"), bareLF},
	{"TE.TE bare CR", lines("POST / HTTP/1.1", "Host: a", "Foo: bar\rTransfer-Encoding: chunked"), bareCR},
	{"TE.TE bare CR in a name", lines("POST / HTTP/1.1", "Host: a", "Foo\rTransfer-Encoding: chunked"), bareCR},
	{"TE.TE NUL", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked\x00"), badValue},
	{"TE.TE NUL in the name", lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding\x00: chunked"), badName},
	{"0.CL and CL.0: two lengths", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 0", "Content-Length: 44"), manyLengths},
	{"0.CL and CL.0: the same length twice", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "content-length: 5"), manyLengths},
	{"0.CL and CL.0: a list", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5, 5"), badLength},
	{"0.CL and CL.0: plus", lines("POST / HTTP/1.1", "Host: a", "Content-Length: +5"), badLength},
	{"0.CL and CL.0: minus", lines("POST / HTTP/1.1", "Host: a", "Content-Length: -5"), badLength},
	{"0.CL and CL.0: minus nothing", lines("POST / HTTP/1.1", "Host: a", "Content-Length: -0"), badLength},
	{"0.CL and CL.0: hexadecimal", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 0x5"), badLength},
	{"0.CL and CL.0: octal", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 010"), badLength},
	{"0.CL and CL.0: space within", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1 0"), badLength},
	{"0.CL and CL.0: fraction", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1.0"), badLength},
	{"0.CL and CL.0: underscores", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1_0"), badLength},
	{"0.CL and CL.0: empty", lines("POST / HTTP/1.1", "Host: a", "Content-Length:"), badLength},
	{"0.CL and CL.0: overflow", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 18446744073709551621"), badLength},
	{"0.CL and CL.0: space before colon", lines("POST / HTTP/1.1", "Host: a", "Content-Length : 5"), badName},
	{"0.CL and CL.0: folded", lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "\t6"), folded},
	{"no Host", lines("GET / HTTP/1.1", "Hosts: a"), noHost},
	{"no Host in absolute form", lines("GET http://a/ HTTP/1.1"), noHost},
	{"two Hosts", lines("GET / HTTP/1.1", "Host: a", "Host: b"), manyHosts},
	{"the same Host twice", lines("GET / HTTP/1.0", "Host: a", "host: a"), manyHosts},
	{"empty Host", lines("GET / HTTP/1.1", "Host:"), badHost},
	{"Host with a user", lines("GET / HTTP/1.1", "Host: a@b"), badHost},
	{"Host with a path", lines("GET / HTTP/1.1", "Host: a/b"), badHost},
	{"Host with a query", lines("GET / HTTP/1.1", "Host: a?b"), badHost},
	{"Hosts in a list", lines("GET / HTTP/1.1", "Host: a, b"), badHost},
	{"Host with an escape", lines("GET / HTTP/1.1", "Host: a%2eb"), badHost},
	{"Host with a bad port", lines("GET / HTTP/1.1", "Host: a:b"), badHost},
	{"Host with two ports", lines("GET / HTTP/1.1", "Host: a:1:2"), badHost},
	{"Host with a port alone", lines("GET / HTTP/1.1", "Host: :80"), badHost},
	{"Host without brackets' end", lines("GET / HTTP/1.1", "Host: [::1"), badHost},
	{"Host with more after brackets", lines("GET / HTTP/1.1", "Host: [::1]a"), badHost},
	{"Host with IPv4 in brackets", lines("GET / HTTP/1.1", "Host: [127.0.0.1]"), badHost},
	{"Host that is no ASCII", lines("GET / HTTP/1.1", "Host: \u00e4"), badHost},
	{"Host in two lines", lines("GET / HTTP/1.1", "Host: a", " b"), folded},
	{"folded first field", lines("GET / HTTP/1.1", " Host: a"), folded},
	{"empty name", lines("GET / HTTP/1.1", ": a"), badName},
	{"no colon", lines("GET / HTTP/1.1", "Host"), badName},
	{"name that is no ASCII", lines("GET / HTTP/1.1", "H\u00f6st: a"), badName},
	{"name in parentheses", lines("GET / HTTP/1.1", "(a): a"), badName},
	{"control character", lines("GET / HTTP/1.1", "Host: a", "A: b\x7fc"), badValue},
	{"escape character, late in a value", lines("GET / HTTP/1.1", "Host: a", "A: 0123456789\x1b"), badValue},
	{"bare CR at the end of a line", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", bareCR},
	{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", bareLF},
	{"bare LF for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", bareLF},
	{"LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bareLF},
	{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", emptyLine},
	{"HTTP/0.9", lines("GET /"), badStartLine},
	{"one word", lines("GET"), badStartLine},
	{"no method", lines(" / HTTP/1.1", "Host: a"), badMethod},
	{"method with a colon", lines("GET: / HTTP/1.1", "Host: a"), badMethod},
	{"method in quotes", lines(`"GET" / HTTP/1.1`, "Host: a"), badMethod},
	{"method with NUL", lines("GE\x00T / HTTP/1.1", "Host: a"), badMethod},
	{"no target", lines("GET  HTTP/1.1", "Host: a"), badTarget},
	{"two spaces", lines("GET  / HTTP/1.1", "Host: a"), badTarget},
	{"tab for space", lines("GET\t/ HTTP/1.1", "Host: a"), badStartLine},
	{"space in the target", lines("GET /a b HTTP/1.1", "Host: a"), badTarget},
	{"tab in the target", lines("GET /a\tb HTTP/1.1", "Host: a"), badTarget},
	{"bare CR in the target", lines("GET /a\rb HTTP/1.1", "Host: a"), badTarget},
	{"NUL in the target", lines("GET /a\x00b HTTP/1.1", "Host: a"), badTarget},
	{"fragment", lines("GET /a#b HTTP/1.1", "Host: a"), badTarget},
	{"target that is no ASCII", lines("GET /\u00e4 HTTP/1.1", "Host: a"), badTarget},
	{"bad escape", lines("GET /%zz HTTP/1.1", "Host: a"), badTarget},
	{"cut escape", lines("GET /%2 HTTP/1.1", "Host: a"), badTarget},
	{"relative target", lines("GET a/b HTTP/1.1", "Host: a"), badTarget},
	{"query alone", lines("GET ?a HTTP/1.1", "Host: a"), badTarget},
	{"another scheme", lines("GET ftp://a/b HTTP/1.1", "Host: a"), badTarget},
	{"opaque", lines("GET http:a HTTP/1.1", "Host: a"), badTarget},
	{"no authority", lines("GET http:///b HTTP/1.1", "Host: a"), badTarget},
	{"scheme and path", lines("GET http:/b HTTP/1.1", "Host: a"), badTarget},
	{"user", lines("GET http://u@a/b HTTP/1.1", "Host: a"), badTarget},
	{"bad authority", lines("GET http://a,b/ HTTP/1.1", "Host: a"), badTarget},
	{"asterisk for GET", lines("GET * HTTP/1.1", "Host: a"), targetForm},
	{"asterisk and more", lines("OPTIONS *a HTTP/1.1", "Host: a"), badTarget},
	{"CONNECT without a port", lines("CONNECT a HTTP/1.1", "Host: a"), badTarget},
	{"CONNECT with an empty port", lines("CONNECT a: HTTP/1.1", "Host: a"), badTarget},
	{"CONNECT with an address and no port", lines("CONNECT [::1] HTTP/1.1", "Host: a"), badTarget},
	{"CONNECT to a path", lines("CONNECT /a HTTP/1.1", "Host: a"), badTarget},
	{"CONNECT to a URL", lines("CONNECT http://a:80/ HTTP/1.1", "Host: a"), badTarget},
	{"no version", lines("GET / ", "Host: a"), badVersion},
	{"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", badVersion},
	{"HTTP/0.9 by name", lines("GET / HTTP/0.9"), badVersion},
	{"lower case", lines("GET / http/1.1", "Host: a"), badVersion},
	{"leading zero in the version", lines("GET / HTTP/01.1", "Host: a"), badVersion},
	{"HTTP/1.10", lines("GET / HTTP/1.10", "Host: a"), badVersion},
	{"HTTP/1.x", lines("GET / HTTP/1.x", "Host: a"), badVersion},
	{"bare CR after the version", lines("GET / HTTP/1.1\r", "Host: a"), badVersion},
	{"space after the version", lines("GET / HTTP/1.1 ", "Host: a"), badVersion},
	{"expects something else", lines("PUT / HTTP/1.1", "Host: a", "Expect: 200-ok"), badExpect},
	{"expects twice", lines("PUT / HTTP/1.1", "Host: a", "Expect: 100-continue", "Expect: 100-continue"), badExpect},
	{"expects nothing", lines("PUT / HTTP/1.1", "Host: a", "Expect:"), badExpect},
	{"length in the trailer", lines("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: a, content-length"), badTrailer},
	{"coding in the trailer", lines("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: Transfer-Encoding"), badTrailer},
	{"trailer in the trailer", lines("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: TRAILER"), badTrailer},
	{"trailer that is no name", lines("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: a b"), badTrailer},
}

func TestRequestIsRefused(t *testing.T) {
	for _, tt := range refusedRequests {
		t.Run(tt.name, func(t *testing.T) {
			req, frame, _, f := parseText(tt.text)
			if f != tt.want {
				t.Fatalf("got %v, want %v", f.fault(false), tt.want.fault(false))
			}
			if frame != (framing{}) {
				t.Errorf("framing %+v", frame)
			}
			if req != nil && !req.Close {
				t.Error("the connection goes on")
			}
			if got := f.fault(false); got.Kind != mesh.Malformed || got.Message == "" {
				t.Errorf("fault %+v", got)
			}
		})
	}
}

// What was in the head before shows nowhere in the one that follows.
func TestHeadIsReused(t *testing.T) {
	var h head
	req := new(http.Request)
	first := lines("PUT /a?b HTTP/1.0", "Host: a", "A: 1", "A: 2", "Connection: keep-alive, upgrade", "Upgrade: x", "Content-Length: 3", "Expect: 100-continue")
	second := lines("PUT /a%2fb HTTP/1.1", "Host: b", "Transfer-Encoding: chunked", "Trailer: B, C")
	third := lines("GET /c HTTP/1.1", "Host: c", "Trailer: D")
	for _, text := range []string{first, second, third, "GET / HTTP/1.1\r\nHost : c\r\n\r\n"} {
		_, _ = h.request([]byte(text), req)
	}
	if req.Method != http.MethodGet || req.RequestURI != "/" || req.Host != "" || len(req.Header) != 0 || req.Trailer != nil || h.fields != 0 {
		t.Errorf("after a refusal: %+v", req)
	}
	fourth := lines("PUT /d HTTP/1.1", "Host: d", "Transfer-Encoding: chunked", "Trailer: E")
	for _, text := range []string{first, second, third, fourth} {
		if _, f := h.request([]byte(text), req); f != nil {
			t.Fatal(f)
		}
		fresh, _, _, _ := parseText(text)
		got := parsed{req.Method, req.Host, req.URL.String(), req.Proto, req.ProtoMinor, req.Header, req.Trailer, framing{length: req.ContentLength}}
		want := parsed{fresh.Method, fresh.Host, fresh.URL.String(), fresh.Proto, fresh.ProtoMinor, fresh.Header, fresh.Trailer, framing{length: fresh.ContentLength}}
		if !sameParsed(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// A value that a layer adds under a name stands in nobody else's place.
func TestValuesDoNotShareRoom(t *testing.T) {
	for _, tt := range []struct {
		fields []string
		want   http.Header
	}{
		{[]string{"A: 1", "B: 2", "C: 4"}, http.Header{"A": {"1", "x"}, "B": {"2", "x"}, "C": {"4", "x"}}},
		{[]string{"A: 1", "B: 2", "B: 3", "C: 4"}, http.Header{"A": {"1", "x"}, "B": {"2", "3", "x"}, "C": {"4", "x"}}},
	} {
		req, _, _, _ := parseText(lines(append([]string{"GET / HTTP/1.1", "Host: a"}, tt.fields...)...))
		for _, name := range []string{"A", "B", "C"} {
			req.Header.Add(name, "x")
		}
		if !maps.EqualFunc(req.Header, tt.want, slices.Equal) {
			t.Errorf("%q: got %v", tt.fields, req.Header)
		}
	}
}

// Whatever byte a target has, it means what net/url says, if it is not refused.
func TestTargetsMeanWhatNetURLSays(t *testing.T) {
	targets := []string{"/", "//", "/?", "/??", "/?a?", "//a/b?c", "/a;b,c=d&e$f+g:h@i~j", "/%41%2f%zz?%zz", "/%41%2f?%zz", "http://a", "http://A?b", "HTTPS://a/b%2fc?"}
	for c := range 256 {
		targets = append(targets, "/a"+string([]byte{byte(c)})+"b?c"+string([]byte{byte(c)}))
	}
	for _, target := range targets {
		req, _, _, f := parseText(lines("GET "+target+" HTTP/1.1", "Host: a"))
		want, err := url.ParseRequestURI(target)
		refused := strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) || err != nil
		switch {
		case refused != (f != sound):
			t.Errorf("%q: %v, net/url says %v", target, f.fault(false), err)
		case !refused && *req.URL != *want:
			t.Errorf("%q: got %+v, want %+v", target, req.URL, want)
		}
	}
}

func TestHeaderIsMeasured(t *testing.T) {
	var h head
	text := lines("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: A, B", "A: 12", "b: 345", "A:")
	if _, f := h.request([]byte(text), new(http.Request)); f != nil {
		t.Fatal(f)
	}
	if h.fields != 3 || h.fieldBytes != len("A: 12\r\nB: 345\r\nA: \r\n") {
		t.Errorf("%d fields of %d bytes", h.fields, h.fieldBytes)
	}
}
