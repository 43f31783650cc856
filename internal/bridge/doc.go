// Package bridge is the one place where a stack of layers meets a server: an [Edge]
// for the HTTP/1.1 engine, and an [http.Handler] for net/http's HTTP/2.
//
// It lends each request to the stack under the lifetimes that package mesh
// states, and turns what comes back into what can be sent: a response without what
// belonged to the endpoint's connection, a problem document for a [mesh.Fault]. A
// failure after the head cuts the connection or the stream, so that half an answer
// never looks whole.
//
// It never routes, never retries, never dials and never reads a body that nobody
// asked for. It knows nothing of metrics: [mesh.Call.OnEnd] tells whoever listens. An
// Edge knows nothing of sockets either: framing, interim responses on the wire,
// timeouts and the call's end are its server's.
//
//	stack := mesh.Stack(origin, bridge.Forward(bridge.ForwardConfig{TrustedProxies: lan}))
//	edge := bridge.NewEdge(bridge.Config{Stack: stack, Pseudonym: "edge-3f9a"})
//	resp, err := edge.Handle(req) // err is what the call ends with, and resp tells of it
//
//	server := &http.Server{Handler: bridge.New(bridge.Config{Stack: stack, Pseudonym: "edge-3f9a"}), Protocols: http2Alone}
//
// The pieces stand alone: [Edge] asks, [New] serves, [Forward] decides whom to believe,
// [Hops] removes what belongs to one connection, [Answer] makes a response of a Fault.
package bridge
