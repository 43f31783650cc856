package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"outrider/internal/mesh"
)

// opening stands before the service's bytes.
const opening = `{"data":`

// envelope wraps JSON answers.
type envelope struct {
	maxBody int64
	now     func() time.Time
	service []byte // as JSON; nil: the call says
	version []byte // as JSON
}

func newEnvelope(cfg Config) *envelope {
	e := &envelope{maxBody: cfg.MaxBody, now: cfg.Now, version: quote(cfg.Version)}
	if e.maxBody == 0 {
		e.maxBody = defaultMaxBody
	}
	if e.now == nil {
		e.now = time.Now
	}
	if cfg.Service != "" {
		e.service = quote(string(cfg.Service))
	}
	return e
}

// prepare has the service send the whole representation, unencoded.
func (e *envelope) prepare(call *mesh.Call, h http.Header) {
	call.Set(h, "Accept-Encoding", "identity") // said rather than removed: absent means any (RFC 9110, section 12.5.3)
	h.Del("Range")
	h.Del("If-Range")
}

// wrap puts the body of resp in the envelope where it can; forbidden says that the
// client wants it as it is. A body that breaks off while it is held is a Fault:
// nothing has been sent yet, so the client gets an honest failure.
func (e *envelope) wrap(req *http.Request, resp *http.Response, forbidden bool) error {
	delete(resp.Header, "X-Gateway-Envelope") // only we vouch for it
	delete(resp.Header, "Accept-Ranges")      // prepare takes ranges away
	if resp.StatusCode == http.StatusNotModified {
		weaken(resp.Header) // as on the answer that it confirms
		return nil
	}
	if !enveloped(resp) {
		return nil
	}
	switch {
	case forbidden || noTransform(resp.Header):
		skip(resp, "no-transform")
	case encoded(resp.Header):
		skip(resp, "encoded")
	case req.Method == http.MethodHead:
		e.relabel(resp, -1) // how long the envelope would be, only its body tells
	case resp.ContentLength > e.maxBody:
		skip(resp, "too-large")
	case resp.Body != http.NoBody:
		return e.hold(req, resp)
	}
	return nil
}

// hold reads the body and replaces it.
func (e *envelope) hold(req *http.Request, resp *http.Response) error {
	room := len(opening) + int(max(resp.ContentLength, 0)) + bytes.MinRead
	buf := bytes.NewBuffer(make([]byte, 0, room))
	buf.WriteString(opening)
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, e.maxBody+1))
	if err != nil {
		return broken(err)
	}
	data := buf.Bytes()[len(opening):]
	body := resp.Body
	switch {
	case n == 0: // nothing to wrap
	case n > e.maxBody:
		resp.Body = readCloser{io.MultiReader(bytes.NewReader(data), body), body}
		skip(resp, "too-large")
	case !json.Valid(data):
		resp.Body = readCloser{bytes.NewReader(data), body}
		skip(resp, "invalid-json")
	default:
		e.finish(buf, mesh.From(req))
		resp.Body = readCloser{bytes.NewReader(buf.Bytes()), body}
		e.relabel(resp, int64(buf.Len()))
	}
	return nil
}

// finish writes what stands behind the service's bytes.
func (e *envelope) finish(buf *bytes.Buffer, call *mesh.Call) {
	service := e.service
	if service == nil {
		service = []byte(`""`)
		if call != nil {
			service = quote(string(call.Service))
		}
	}
	buf.WriteString(`,"meta":{"timestamp":`)
	buf.Write(strconv.AppendInt(buf.AvailableBuffer(), e.now().UnixMilli(), 10))
	buf.WriteString(`,"service":`)
	buf.Write(service)
	buf.WriteString(`,"version":`)
	buf.Write(e.version)
	buf.WriteString(`}}`)
}

// relabel makes the fields that speak of the content true of the envelope, which
// is length bytes long; negative is unknown.
func (e *envelope) relabel(resp *http.Response, length int64) {
	weaken(resp.Header)
	for _, h := range [...]http.Header{resp.Header, resp.Trailer} {
		for _, name := range [...]string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
			delete(h, name)
		}
	}
	if len(resp.Trailer) > 0 {
		length = -1 // a message with Content-Length has no room for trailers (RFC 9112, section 7.1.2)
	}
	resp.ContentLength = max(length, -1)
	delete(resp.Header, "Content-Length")
	if length >= 0 {
		resp.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	}
}

// weaken makes the entity tag a weak one: two envelopes of the same data differ in
// their timestamps, and mean the same (RFC 9110, section 8.8.1).
func weaken(h http.Header) {
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("Etag", "W/"+tag)
	}
}

// skip says that, and why, JSON passes unwrapped.
func skip(resp *http.Response, reason string) {
	resp.Header.Set("X-Gateway-Envelope", "skipped; reason="+reason)
}

// broken is the Fault of a body that failed with err.
func broken(err error) error {
	var f *mesh.Fault
	if errors.As(err, &f) {
		return err
	}
	return &mesh.Fault{Kind: mesh.Reset, Err: err}
}

// quote returns s as a JSON string.
func quote(s string) []byte {
	quoted, _ := json.Marshal(s) // a string always has a JSON form
	return quoted
}

// readCloser reads from one thing and closes another.
type readCloser struct {
	io.Reader
	io.Closer
}
