package cache

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"outrider/internal/mesh"
)

// answer returns kept as the response to req: a 304 where that is what the client
// asked about, and no body to a HEAD.
func (c *Cache) answer(req *http.Request, kept *Entry, now time.Time) *http.Response {
	age := kept.age(now)
	h := kept.answerHeader(
		strconv.FormatInt(int64(age/time.Second), 10),
		hitMember(c.name, kept.Lifetime-age))
	if notModified(req.Header, kept) {
		for _, name := range [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Length"} {
			delete(h, name) // RFC 9110, section 15.4.5: what the client has it knows
		}
		return respond(req, http.StatusNotModified, h, nil)
	}
	resp := respond(req, kept.Status, h, kept.Body)
	resp.ContentLength = int64(len(kept.Body))
	return resp
}

// answerHeader returns a header for one answer: a copy, since the layers above
// edit it in place, with age and this cache's member of Cache-Status. All values
// share one allocation, and none has room to grow into its neighbour.
func (e *Entry) answerHeader(age, member string) http.Header {
	count := 2
	for _, values := range e.Header {
		count += len(values)
	}
	room := make([]string, 0, count)
	take := func(values ...string) []string {
		from := len(room)
		room = append(room, values...)
		return room[from:len(room):len(room)]
	}
	h := make(http.Header, len(e.Header)+2)
	for name, values := range e.Header {
		h[name] = take(values...)
	}
	h["Age"] = take(age)
	h["Cache-Status"] = take(append(h["Cache-Status"], member)...) // behind those of caches nearer the origin
	return h
}

// unsatisfied returns the answer to only-if-cached that could not be (RFC 9111,
// section 5.2.1.7).
func (c *Cache) unsatisfied() *mesh.Fault {
	c.observed(Unsatisfied)
	return &mesh.Fault{
		Kind:   mesh.NotCached,
		Header: http.Header{"Cache-Status": {c.name + `; detail="only-if-cached"`}},
	}
}

func respond(req *http.Request, status int, h http.Header, body []byte) *http.Response {
	resp := &http.Response{
		StatusCode: status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:  h,
		Body:    http.NoBody,
		Request: req,
	}
	if len(body) > 0 && req.Method != http.MethodHead {
		kept := &keptBody{}
		kept.Reset(body)
		resp.Body = kept
	}
	return resp
}

// keptBody reads what is kept.
type keptBody struct{ bytes.Reader }

var _ io.WriterTo = (*keptBody)(nil) // one write, no copy

// Close does nothing: there is nothing to give back.
func (*keptBody) Close() error { return nil }

// notModified reports whether the client, by its conditions, has kept already
// (RFC 9110, section 13.2.2, and RFC 9111, section 4.3.2). Only a 200 is judged:
// other answers are no representation that a client could have.
func notModified(request http.Header, kept *Entry) bool {
	if kept.Status != http.StatusOK {
		return false
	}
	if lines := request["If-None-Match"]; len(lines) > 0 {
		return listsTag(lines, kept.Header.Get("Etag"))
	}
	since, err := http.ParseTime(request.Get("If-Modified-Since"))
	if err != nil {
		return false
	}
	modified, err := http.ParseTime(kept.Header.Get("Last-Modified"))
	if err != nil {
		modified, err = http.ParseTime(kept.Header.Get("Date"))
	}
	return err == nil && !modified.After(since)
}

// listsTag reports whether the lines of If-None-Match name tag, by the weak
// comparison (RFC 9110, sections 8.8.3.2 and 13.1.2). What is malformed names
// nothing from there on.
func listsTag(lines []string, tag string) bool {
	tag = strings.TrimPrefix(tag, "W/")
	for _, line := range lines {
		if strings.TrimSpace(line) == "*" {
			return true
		}
		for {
			line = strings.TrimLeft(line, " \t,")
			line = strings.TrimPrefix(line, "W/")
			if len(line) < 2 || line[0] != '"' {
				break
			}
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				break
			}
			if line[:end+2] == tag {
				return true
			}
			line = line[end+2:]
		}
	}
	return false
}
