package http1

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
)

// FuzzRequest reads a stream of bytes as net/http does, and compares: what is
// accepted net/http accepts with the same meaning, body and trailer too, and finds
// the next request at the same byte.
func FuzzRequest(f *testing.F) {
	for _, tt := range refusedRequests {
		f.Add([]byte(tt.text))
	}
	for _, text := range seeds {
		f.Add([]byte(text + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours := readRequest(slices.Clone(b))
		src := bytes.NewReader(b)
		buffered := bufio.NewReaderSize(src, len(b)+16)
		req, err := http.ReadRequest(buffered)
		read := b[:len(b)-src.Len()-buffered.Buffered()]
		switch {
		case ours.flaw != sound:
			if err == nil && !explained(inRequests, ours.flaw, read) {
				t.Fatalf("refused: %v", ours.flaw.fault(false))
			}
			return
		case ours.n == 0:
			if err == nil {
				t.Fatal("not seen as a whole head")
			}
			return
		case err != nil:
			t.Fatalf("accepted: %v", err)
		case len(read) != ours.n:
			t.Fatalf("a head of %d bytes, net/http's has %d", ours.n, len(read))
		}
		alike(req.Header, ours.req.Header, b, false)
		got, want := facts(ours.req, ours.frame.chunked), facts(req, len(req.TransferEncoding) > 0)
		if !got.same(want) {
			t.Fatalf("\ngot  %+v\nwant %+v", got, want)
		}
		theirs := theirBody(req.Body, buffered, src)
		theirs.trailer = req.Trailer
		compareBodies(t, ours.message, theirs, b)
		again(t, ours.req, ours.frame)
	})
}

// message is what a stream begins with: a head, and what is said of the body.
type message struct {
	n     int // bytes of the head; 0 where it is not complete
	flaw  flaw
	frame framing
	rest  []byte // what follows the head
}

type request struct {
	message
	req *http.Request
}

func readRequest(b []byte) request {
	n, f := find(b, 0, usual)
	if n == 0 || f != sound {
		return request{message: message{flaw: f}}
	}
	req := new(http.Request)
	frame, f := new(head).parseRequest(b[:n], req)
	return request{message{n, f, frame, b[n:]}, req}
}

// fact is the meaning of a request's head.
type fact struct {
	method, uri, host, proto string
	url                      url.URL
	length                   int64
	chunked, close           bool
	header, trailer          http.Header
}

func facts(req *http.Request, chunked bool) fact {
	return fact{req.Method, req.RequestURI, req.Host, req.Proto, *req.URL, req.ContentLength, chunked, req.Close, maps.Clone(req.Header), maps.Clone(req.Trailer)}
}

func (a fact) same(b fact) bool {
	return a.method == b.method && a.uri == b.uri && a.host == b.host && a.proto == b.proto && a.url == b.url &&
		a.length == b.length && a.chunked == b.chunked && a.close == b.close && sameHeader(a.header, b.header) && sameHeader(a.trailer, b.trailer)
}

func sameHeader(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal) }

// carried is a body as it was read.
type carried struct {
	body    []byte
	rest    []byte // what follows it
	whole   bool
	flaw    flaw
	trailer http.Header
}

// ourBody reads a body as the message's framing says.
func ourBody(m message, trailer http.Header) carried {
	switch {
	case m.frame.chunked:
		return ourChunks(m.rest, trailer)
	case m.frame.untilClose:
		return carried{body: m.rest, whole: true}
	case int64(len(m.rest)) < m.frame.length:
		return carried{body: m.rest}
	}
	return carried{body: m.rest[:m.frame.length], rest: m.rest[m.frame.length:], whole: true, trailer: trailer}
}

// ourChunks reads a chunked body at once, and again in pieces: they must agree.
func ourChunks(b []byte, trailer http.Header) carried {
	var whole carried
	for _, step := range []int{len(b) + 1, 1, 3} {
		var c chunks
		c.reset(usual)
		got := carried{trailer: maps.Clone(trailer)}
		for rest := b; ; {
			size := min(step, len(rest))
			dst := make([]byte, step)
			w, n, done, fault := c.decode(dst, rest[:size])
			got.body, rest = append(got.body, dst[:w]...), rest[n:]
			got.whole, got.rest = done, rest
			if fault != nil {
				got.flaw = flawOf(fault.Message)
			}
			if done || fault != nil || n == 0 && len(rest) == 0 {
				break
			}
		}
		if got.whole {
			c.merge(&got.trailer)
		}
		if step > len(b) {
			whole = got
		} else if got.flaw != whole.flaw || got.whole != whole.whole || !bytes.Equal(got.body, whole.body) || !sameHeader(got.trailer, whole.trailer) {
			panic("a body depends on the pieces that it comes in")
		}
	}
	return whole
}

func flawOf(text string) flaw {
	for f := sound; f < flaws; f++ {
		if flawTable[f].text == text {
			return f
		}
	}
	return flaws
}

func theirBody(body io.Reader, buffered *bufio.Reader, src *bytes.Reader) carried {
	b, err := io.ReadAll(body)
	rest, _ := io.ReadAll(buffered)
	return carried{body: b, rest: rest, whole: err == nil}
}

func compareBodies(t *testing.T, m message, theirs carried, b []byte) {
	t.Helper()
	var announced http.Header
	ours := ourBody(m, announced)
	switch {
	case ours.flaw != sound:
		if theirs.whole && !explained(inChunks, ours.flaw, m.rest) {
			t.Fatalf("body refused: %v", ours.flaw.fault(false))
		}
		return
	case ours.whole != theirs.whole:
		t.Fatalf("whole %v, for net/http %v", ours.whole, theirs.whole)
	case !ours.whole:
		return
	}
	for name, values := range ours.trailer {
		if !slices.Equal(theirs.trailer[name], values) {
			t.Fatalf("trailer %v, net/http's %v", ours.trailer, theirs.trailer)
		}
	}
	for name, values := range theirs.trailer {
		if values != nil && !slices.Equal(ours.trailer[name], values) {
			t.Fatalf("trailer %v, net/http's %v", ours.trailer, theirs.trailer)
		}
	}
	if !bytes.Equal(ours.body, theirs.body) || !bytes.Equal(ours.rest, theirs.rest) {
		t.Fatalf("body %q and then %q, net/http's %q and then %q", ours.body, ours.rest, theirs.body, theirs.rest)
	}
}

// again writes the request and reads it back, by net/http and here.
func again(t *testing.T, req *http.Request, frame framing) {
	t.Helper()
	out, fault := appendRequest(nil, req, outgoing{length: frame.length, chunked: frame.chunked, close: frame.close})
	if req.Host == "" {
		return // HTTP/1.0
	}
	if fault != nil {
		t.Fatalf("cannot be written: %v", fault)
	}
	theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	ours := readRequest(out)
	if err != nil || ours.flaw != sound || ours.n != len(out) {
		t.Fatalf("%q: %v, %v", out, err, ours.flaw.fault(false))
	}
	for _, got := range []*http.Request{theirs, ours.req} {
		path := req.URL.Path
		if path == "" && req.Method != http.MethodConnect {
			path = "/"
			if got.URL.Path == "*" {
				path = "*"
			}
		}
		if got.Method != req.Method || got.URL.Path != path || got.URL.RawQuery != req.URL.RawQuery || got.Host != req.Host && req.Method != http.MethodConnect ||
			got.ContentLength != frame.length || got.Close != frame.close {
			t.Fatalf("%q is read as %+v, not %+v", out, got, req)
		}
		for name, values := range req.Header {
			if !id(intern([]byte(name))).ours() && !slices.Equal(got.Header[name], values) {
				t.Fatalf("%q has %s: %q, not %q", out, name, got.Header[name], values)
			}
		}
	}
}

// FuzzResponse does for answers to GET and HEAD what FuzzRequest does.
func FuzzResponse(f *testing.F) {
	for _, tt := range refusedResponses {
		f.Add([]byte(tt.text), tt.method == http.MethodHead)
	}
	for _, text := range answerSeeds {
		f.Add([]byte(text+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), false)
		f.Add([]byte(text+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, toHead bool) {
		req := &http.Request{Method: http.MethodGet}
		if toHead {
			req.Method = http.MethodHead
		}
		ours := new(http.Response)
		m := message{}
		own := slices.Clone(b)
		if m.n, m.flaw = find(own, 0, usual); m.n > 0 {
			m.rest = own[m.n:]
			m.frame, m.flaw = new(head).parseResponse(own[:m.n], req, ours)
		}
		src := bytes.NewReader(b)
		buffered := bufio.NewReaderSize(src, len(b)+16)
		resp, err := http.ReadResponse(buffered, req)
		read := b[:len(b)-src.Len()-buffered.Buffered()]
		switch {
		case m.flaw != sound:
			if err == nil && !explained(inResponses, m.flaw, read) {
				t.Fatalf("refused: %v", m.flaw.fault(true))
			}
			return
		case m.n == 0:
			if err == nil {
				t.Fatal("not seen as a whole head")
			}
			return
		case err != nil:
			t.Fatalf("accepted: %v", err)
		case len(read) != m.n:
			t.Fatalf("a head of %d bytes, net/http's has %d", m.n, len(read))
		}
		alike(resp.Header, ours.Header, b, true)
		if ours.Status != resp.Status || ours.StatusCode != resp.StatusCode || ours.Proto != resp.Proto || ours.ProtoMinor != resp.ProtoMinor ||
			ours.ContentLength != resp.ContentLength || ours.Close != resp.Close || !sameHeader(ours.Header, resp.Header) || !sameHeader(ours.Trailer, resp.Trailer) {
			t.Fatalf("\ngot  %+v\nwant %+v", ours, resp)
		}
		theirs := theirBody(resp.Body, buffered, src)
		theirs.trailer = resp.Trailer
		compareBodies(t, m, theirs, b)
		out, fault := appendResponse(nil, ours, outgoing{length: ours.ContentLength, chunked: m.frame.chunked, close: m.frame.close})
		if fault != nil {
			t.Fatalf("cannot be written: %v", fault)
		}
		back, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), req)
		if err != nil || back.StatusCode != ours.StatusCode || back.Close != ours.Close {
			t.Fatalf("%q is read as %+v, %v", out, back, err)
		}
	})
}

// FuzzChunks compares the decoder with net/http's, which is that of httputil.
func FuzzChunks(f *testing.F) {
	for _, tt := range refusedChunks {
		f.Add([]byte(tt.text[:min(len(tt.text), 100)]))
	}
	for _, text := range chunkSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours := ourChunks(b, nil)
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)))
		switch {
		case ours.flaw != sound:
			return // FuzzRequest asks why: this reader does not know trailers
		case ours.whole && err != nil:
			t.Fatalf("accepted: %v", err)
		case !bytes.HasPrefix(theirs, ours.body) || ours.whole && len(theirs) != len(ours.body):
			t.Fatalf("body %q, net/http's %q", ours.body, theirs)
		case !ours.whole:
			return
		}
		out := appendChunk(nil, len(ours.body))
		out = append(append(out, ours.body...), "\r\n"...)
		if len(ours.body) == 0 {
			out = nil
		}
		out, fault := appendTrailer(out, ours.trailer)
		if fault != nil {
			for name := range ours.trailer {
				if id(intern([]byte(name))).ours() {
					return
				}
			}
			t.Fatal(fault)
		}
		if again := ourChunks(out, nil); !again.whole || len(again.rest) != 0 || !bytes.Equal(again.body, ours.body) {
			t.Fatalf("%q is read as %q, %v", out, again.body, again.flaw.fault(false))
		}
	})
}

// FuzzAppend writes what a layer may have made of a message: what is written is
// one message, with no field that the layer did not name.
func FuzzAppend(f *testing.F) {
	f.Add("GET", "a", "/b", "", "c=d", "A", "b")
	f.Add("GET", "a", "/b ?#", "/b%20%3f%23", "c=d#e", "Content-Length", "5")
	f.Add("OPTIONS", "a\r\nB: c", "*", "", "a b", "Transfer-Encoding", "chunked")
	f.Add("GET / HTTP/1.1\r\n", "[::1]", "//x", "/%zz", "\r\n", "A\r\nB", "c\r\n\r\nGET / HTTP/1.1")
	f.Fuzz(func(t *testing.T, method, host, path, raw, query, name, value string) {
		req := &http.Request{Method: method, Host: host, URL: &url.URL{Path: path, RawPath: raw, RawQuery: query}, Header: http.Header{name: {value}}}
		out, fault := appendRequest(nil, req, outgoing{length: 0})
		if fault != nil {
			if len(out) != 0 {
				t.Fatalf("%v, and yet %q", fault, out)
			}
			return
		}
		got := readRequest(slices.Clone(out))
		if got.flaw == badHost && !validAuthority(host) || method == http.MethodConnect {
			return // the edge's matter, and the owner's of CONNECT
		}
		if got.flaw == badExpect || got.flaw == badTrailer {
			return // a layer's own mistake, which frames nothing
		}
		if got.flaw != sound || got.n != len(out) || len(got.req.Header) > 2 || got.req.ContentLength != 0 || got.frame.chunked {
			t.Fatalf("%q is read as %+v, %v", out, got.req, got.flaw.fault(false))
		}
		for other := range got.req.Header {
			if other != "Content-Length" && other != http.CanonicalHeaderKey(name) && other != "Connection" {
				t.Fatalf("%q has %s", out, other)
			}
		}
	})
}
