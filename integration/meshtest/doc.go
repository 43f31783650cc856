// Package meshtest starts whole gateways and the endpoints behind them, for tests.
// Everything binds to loopback addresses, and is stopped when its test ends.
//
//	users := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) { … })
//	g := meshtest.Gateway(t, `
//	services: {users: {url: `+users.URL+`}}
//	routing: [{path: /users/**, service: users}]`)
//	resp := g.Get("/users/42")
package meshtest
