// Package http1 is the HTTP/1.1 engine: a Server for clients and a Transport to one
// endpoint, over pooled buffers (RFC 9110, RFC 9112).
//
// One goroutine serves a connection: it reads a request's head, asks a Handler for the
// response, and writes that. The Transport writes a request and reads its response in
// the goroutine of RoundTrip. A request that meets no wait but these makes no context,
// timer or closure. What two parsers could read differently is refused; what is passed
// on is written anew from what was parsed.
//
// It never speaks HTTP/2, and knows nothing of routes, services or faults' answers.
package http1
