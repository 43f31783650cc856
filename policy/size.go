package policy

import (
	"io"
	"net/http"
	"net/url"

	"outrider/internal/mesh"
)

// MaxBody refuses requests whose body exceeds n bytes with a BodyTooLarge Fault: at
// once where the length is declared, else by the Read that passes n. Never more
// than n bytes go on. The layer is nil for n of zero or less: no limit.
func MaxBody(n int64) mesh.Layer {
	if n <= 0 {
		return nil
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			switch {
			case req.ContentLength > n:
				return nil, &mesh.Fault{Kind: mesh.BodyTooLarge}
			case req.ContentLength > 0, req.Body == nil, req.Body == http.NoBody:
				// The server holds a body to its declared length.
			default:
				req.Body = &boundedBody{body: req.Body, left: n}
			}
			return next.RoundTrip(req)
		})
	}
}

// boundedBody is a body that fails once it proves too long.
type boundedBody struct {
	body io.ReadCloser
	left int64 // bytes that may still come
	err  error // how the body ended; every later Read repeats it
}

// Read returns a BodyTooLarge Fault, beside the last bytes allowed, where more
// follow.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if int64(len(p))-1 > b.left {
		p = p[:b.left+1] // the one byte more shows whether the body is too long
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), &mesh.Fault{Kind: mesh.BodyTooLarge}
	}
	b.left -= int64(n)
	b.err = err
	return n, err
}

// Close closes the body. It touches nothing else: it may come beside a Read.
func (b *boundedBody) Close() error { return b.body.Close() }

// MaxURI refuses requests whose target is longer than n bytes with a URITooLong
// Fault. The layer is nil for n of zero or less: no limit.
func MaxURI(n int) mesh.Layer {
	if n <= 0 {
		return nil
	}
	return refuse(mesh.URITooLong, func(req *http.Request) bool { return longer(req.URL, n) })
}

// longer reports whether u's request target exceeds n bytes. It builds that, which
// allocates, only where its parts leave a doubt.
func longer(u *url.URL, n int) bool {
	// Escaping makes at most three bytes of one. The 2 are the ? of a query, and the
	// / of an empty path or the : of a scheme.
	most := len(u.Scheme) + len(u.Opaque) + 3*len(u.Path) + len(u.RawPath) + len(u.RawQuery) + 2
	return most > n && len(u.RequestURI()) > n
}

// MaxHeaders refuses requests of more than lines header field lines, or more than
// size bytes of them, with a HeaderTooLarge Fault. It judges what came, by
// Call.Fields and Call.FieldBytes: fields of our own count for nobody. Where Start is
// zero, for want of a server that counts, it judges what is there. A bound of
// zero or less is none; the layer is nil where both are.
func MaxHeaders(lines, size int) mesh.Layer {
	if lines <= 0 && size <= 0 {
		return nil
	}
	return refuse(mesh.HeaderTooLarge, func(req *http.Request) bool {
		call := mesh.From(req)
		fields, bytes := call.Fields, call.FieldBytes
		if fields == 0 && call.Start.IsZero() {
			fields, bytes = measure(req.Header)
		}
		return lines > 0 && fields > lines || size > 0 && bytes > size
	})
}

// measure returns what Call.Fields and Call.FieldBytes would be of h.
func measure(h http.Header) (fields, bytes int) {
	for name, values := range h {
		fields += len(values)
		for _, value := range values {
			bytes += len(name) + len(value) + len(": \r\n")
		}
	}
	return fields, bytes
}

// refuse returns a layer that stops the requests that are too much.
func refuse(kind mesh.Kind, tooMuch func(*http.Request) bool) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if tooMuch(req) {
				return nil, &mesh.Fault{Kind: kind}
			}
			return next.RoundTrip(req)
		})
	}
}
