// Package mesh is the vocabulary that every other package speaks: Service,
// Endpoint, Call, Attempt, Layer, Fault. It imports the standard library only,
// starts no goroutine and does no input or output.
//
// Everything between two sockets is an [http.RoundTripper]: a request goes in, a
// response or an error comes out. A [Layer] wraps one RoundTripper in another,
// and [Stack] puts layers on an origin:
//
//	stack := mesh.Stack(transport, timeout, retry, balance)
//	resp, err := stack.RoundTrip(req)
//
// A layer that stops a request returns a [*Fault] and never writes a response;
// the server at the edge turns it into one.
//
// # Lifetimes
//
// A request's parts are lent, not given:
//
//  1. Request, Header, URL and Call are lent to the goroutine inside RoundTrip
//     until it returns an error or the Response's Body is closed.
//  2. What crosses to another goroutine gets [Detach].
//  3. Above retry, layers edit in place; each attempt below works on a copy.
//  4. RoundTrip's return does not end the upload. A request Body allows Close
//     beside Read: Close stops the reader and waits for it. Only the server
//     closes the client's Body; attempts get a wrapper.
//  5. Who receives a Response returns it or closes its Body. Trailers are valid
//     after EOF. A body error aborts the client's connection or stream.
//  6. For 101 the Body is an io.ReadWriteCloser with CloseWrite. Layers never
//     wrap a body just to see its end: [Call.OnEnd].
//  7. 1xx goes up by [Call.Interim].
//  8. A request ends early by [Call.SetDeadline], [Call.Try] and [Call.Cancel].
//     Whoever waits for an endpoint says so by [Call.Attend] and looks at
//     [Call.Due]; whoever needs a context for a wait asks [Call.Context]. A Call
//     without one serves the connection's next request, too: see [Call.Renew].
//  9. Header strings kept beyond the request are cloned; lists of [Call.List] and
//     of a message's header are gone with it.
package mesh
