// Package examples is three small services, auth, users and orders, that the demo
// and the tests put behind the proxy. They keep everything in memory and speak to
// nobody but whom they are told to.
//
//	srv, err := examples.Start(ctx, examples.Users("users-1"), "127.0.0.1:3002")
//	…
//	srv.Stop()
//
// Every service answers /health, names the instance that answered in the
// X-Instance header, and has POST /quit, which stops that instance the hard way: a
// visitor can kill one and watch the proxy go on.
package examples
