package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The oracle of the fuzz tests is net/http: what it refuses is refused here, and
// what both accept means the same. These are all the differences that are
// intended. A refusal that no row explains fails the test, and so does a meaning.

// difference is a flaw for which a message is refused that net/http accepts.
type difference struct {
	flaw   flaw
	shows  *regexp.Regexp // what a head that has the flaw has; independent of the parser
	reason string
}

// inRequests, inResponses and inChunks list the differences.
var (
	inRequests = append([]difference{
		{badTarget, regexp.MustCompile(`^\S+ [^ ]*(#|[^\x00-\x7f])`), "a fragment is not part of a target, and bytes beyond ASCII are written by no client alike: who cuts at # or decodes Latin-1 serves another path"},
		{badTarget, regexp.MustCompile(`^\S+ [A-Za-z][A-Za-z0-9+.-]*:`), "only http and https URLs with an authority, and no user, can be served: the rest net/url takes apart and nobody else alike"},
		{badTarget, regexp.MustCompile(`^CONNECT `), "CONNECT has a host and a port (RFC 9110, section 9.3.6)"},
		{targetForm, regexp.MustCompile(`^\S+ \* `), "the asterisk is for OPTIONS (RFC 9112, section 3.2.4)"},
		{badVersion, regexp.MustCompile(`^\S+ \S+ HTTP/[02-9]\.[0-9]\r?\n`), "this is HTTP/1: net/http's server refuses others a little later"},
		{noHost, regexp.MustCompile(`^\S+ \S+ HTTP/1\.[1-9]\r?\n`), "HTTP/1.1 must have a Host: net/http's server refuses it a little later, but for CONNECT"},
		{badHost, regexp.MustCompile(`(?i)\nHost:`), "a host is a name or an address, and a port: proxies cut other ones at different places"},
		{badExpect, regexp.MustCompile(`(?i)\nExpect:`), "only 100-continue is known: net/http's server answers 417 a little later"},
	}, inBoth...)

	inResponses = append([]difference{
		{badVersion, regexp.MustCompile(`^HTTP/[02-9]\.[0-9] `), "this is HTTP/1"},
		{badStatus, regexp.MustCompile(`^HTTP/[0-9]\.[0-9] ( |[+-]|0)`), "one space stands before the status, which has three digits and is 100 at least"},
		{badStartLine, regexp.MustCompile(`^HTTP/1\.[0-9] [^\n]*[\x00-\x08\x0a-\x1f\x7f]`), "a reason has no control character"},
		{badStartLine, regexp.MustCompile(`^HTTP/1\.[0-9]  *[0-9]{3}`), "one space stands before the status"},
		{bodyNotAllowed, regexp.MustCompile(`^HTTP/1\.[0-9] (1[0-9]{2}|204)[^0-9]`), "1xx and 204 have no body: who announces one may send it (RFC 9112, section 6.3)"},
	}, inBoth...)

	inBoth = []difference{
		{bareLF, regexp.MustCompile(`(^|[^\r])\n`), "only CR LF ends a line: who sees no line end in LF alone sees other fields"},
		{folded, regexp.MustCompile(`\n[ \t]`), "obs-fold: who does not unfold sees other fields (RFC 9112, section 5.2)"},
		{badName, regexp.MustCompile(`\n[^:\n]* [^:\n]*:`), "a name with a space: who trims it sees another field (RFC 9112, section 5.1)"},
		{badLength, regexp.MustCompile(`(?i)\nContent-Length:[ \t]*(0[0-9]|[0-9]{19})`), "a leading zero is octal to some, and 19 digits overflow in some"},
		{manyLengths, regexp.MustCompile(`(?is)\nContent-Length:.*\nContent-Length:`), "one Content-Length, even where they agree"},
		{lengthAndCoding, regexp.MustCompile(`(?is)(\nContent-Length:.*\nTransfer-Encoding:|\nTransfer-Encoding:.*\nContent-Length:)`), "the two contradict each other: CL.TE and TE.CL (RFC 9112, section 6.1)"},
		{codingBefore11, regexp.MustCompile(`(?is)^[^\n]*HTTP/1\.0.*\nTransfer-Encoding:`), "HTTP/1.0 has none, and net/http ignores it: framing is faulty (RFC 9112, section 6.1)"},
		{badTrailer, regexp.MustCompile(`(?i)\nTrailer:`), "an announced name must be one"},
	}

	inChunks = []difference{
		{chunkExtension, regexp.MustCompile(`[0-9A-Fa-f];`), "nobody uses extensions, and parsers find their ends at different places"},
		{badChunkSize, regexp.MustCompile(`[0-9A-Fa-f][ \t]+(;|\r\n)`), "no white space follows a size"},
		{badChunkSize, regexp.MustCompile(`[0-9A-Fa-f]{16}`), "a size has 15 digits at most: some count in 63 bits or fewer"},
		{bareLF, regexp.MustCompile(`(^|[^\r])\n`), "only CR LF ends a line of the trailer section"},
		{folded, regexp.MustCompile(`\n[ \t]`), "obs-fold"},
		{badName, regexp.MustCompile(`\n[^:\n]* [^:\n]*:`), "a name with a space"},
		{badTrailer, regexp.MustCompile(`(?i)\n(Content-Length|Transfer-Encoding|Trailer):`), "what frames a message comes too late in the trailer section: others merge it into the header"},
	}
)

// explained reports whether one of list explains that b is refused for f.
func explained(list []difference, f flaw, b []byte) bool {
	for _, d := range list {
		if d.flaw == f && d.shows.Match(b) {
			return true
		}
	}
	return false
}

// alike takes out of net/http's header what is not meant to be the same.
func alike(theirs, ours http.Header, b []byte, removedConnection bool) {
	// net/http makes a Cache-Control of "Pragma: no-cache". What is passed on is
	// what came; the cache knows Pragma.
	if _, sent := ours["Cache-Control"]; !sent && theirs.Get("Pragma") == "no-cache" {
		delete(theirs, "Cache-Control")
	}
	// net/http takes the whole Connection out of a response that says close, and
	// so what else it names, which is not to be passed on.
	if _, left := theirs["Connection"]; removedConnection && !left && bytes.Contains(bytes.ToLower(b), []byte("close")) {
		delete(ours, "Connection")
	}
}

// A difference that no message shows any more is taken out of the list.
func TestEveryDifferenceIsMet(t *testing.T) {
	met := map[string]bool{}
	note := func(list []difference, f flaw, b []byte) {
		for _, d := range list {
			if d.flaw == f && d.shows.Match(b) {
				met[d.reason] = true
			}
		}
	}
	requests := slices.Clone(seeds)
	for _, tt := range refusedRequests {
		requests = append(requests, tt.text)
	}
	for _, text := range requests {
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			continue
		}
		ours := readRequest([]byte(text))
		note(inRequests, ours.flaw, []byte(text))
		if _, err := io.ReadAll(req.Body); err == nil && ours.flaw == sound {
			note(inChunks, ourBody(ours.message, nil).flaw, ours.rest)
		}
	}
	for _, tt := range refusedResponses {
		if _, err := http.ReadResponse(bufio.NewReader(strings.NewReader(tt.text)), nil); err == nil {
			_, _, _, f := parseAnswer("", tt.text)
			note(inResponses, f, []byte(tt.text))
		}
	}
	for _, tt := range refusedChunks {
		text := lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + tt.text
		if req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text))); err == nil {
			if _, err := io.ReadAll(req.Body); err == nil {
				note(inChunks, tt.want, []byte(tt.text))
			}
		}
	}
	for _, list := range [][]difference{inRequests, inResponses, inChunks} {
		for _, d := range list {
			if !met[d.reason] {
				t.Errorf("no test shows that net/http accepts what %s is refused for: %s", d.shows, d.reason)
			}
		}
	}
}
