// Package transform changes messages on their way: header fields of requests and
// responses, and the envelope that JSON answers are wrapped in.
//
//	layer, err := transform.New(transform.Config{
//		Service:  "orders",
//		Version:  "2",
//		Envelope: true,
//		Request:  transform.Edit{Set: map[string]string{"X-Channel": "web"}},
//		Response: transform.Edit{Remove: []string{"Server"}},
//	})
//	stack := mesh.Stack(origin, layer)
//
// Position: above retry, because it edits the request in place, and above a cache,
// so that the cache keeps the service's own answer and the envelope's timestamp is
// that of this answer.
//
// # The envelope
//
// A successful JSON answer of
//
//	[1, 2]
//
// becomes
//
//	{"data":[1, 2],"meta":{"timestamp":1700000000000,"service":"orders","version":"2"}}
//
// The service's own bytes stand in it untouched. To see them, the layer asks for
// them whole and uncompressed: on a route with an envelope Range, If-Range and
// Accept-Encoding do not reach the service, for other content than JSON neither.
// The answer is held until its last byte came, or until it exceeds MaxBody: no more
// than that for each request in flight.
//
// Its entity tag becomes a weak one, for two envelopes of the same data differ in
// their timestamps: If-None-Match works as before, but a client's If-Match with
// such a tag never holds (RFC 9110, section 13.1.1).
//
// What is no JSON, no success or has no body passes as it is. JSON that could not
// be wrapped passes as it is too, not a byte lost, and says so in a field of its
// own, so that a client need not guess which shape it holds:
//
//	X-Gateway-Envelope: skipped; reason=too-large
//
// The reasons are too-large, invalid-json, encoded (a Content-Encoding in spite of
// the request) and no-transform (a Cache-Control that forbids it, RFC 9110,
// section 7.7).
//
// # Never
//
// The package never touches a Fault (the proxy's own answers have their own shape),
// a 101, an event stream, gRPC or problem+json. It never changes a Content-Type.
package transform
