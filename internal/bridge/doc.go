// Package bridge is the one place where a stack of layers becomes an
// [http.Handler] for net/http's servers, over HTTP/1.1 and HTTP/2.
//
// It lends each request to the stack under the lifetimes that package mesh
// states, and turns what comes back into bytes: a response is streamed, a
// [mesh.Fault] becomes a problem document, and a failure after the head cuts the
// connection or the stream, so that half an answer never looks whole.
//
// It never routes, never retries, never dials and never reads a body that nobody
// asked for. It knows nothing of metrics: [mesh.Call.OnEnd] tells whoever listens.
//
//	stack := mesh.Stack(origin, bridge.Forward(bridge.ForwardConfig{TrustedProxies: lan}))
//	server := &http.Server{Handler: bridge.New(bridge.Config{Stack: stack, Pseudonym: "edge-3f9a"})}
//
// The pieces stand alone, for servers other than net/http's: [New] serves,
// [Forward] decides whom to believe, [Hops] removes what belongs to one
// connection, [Answer] makes a response of a Fault.
package bridge
