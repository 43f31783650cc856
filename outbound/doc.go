// Package outbound reaches a service. A [Service] follows one service's endpoints
// and hands out its stack, an [http.RoundTripper] whose layers a request meets in
// this order:
//
//	timeout ▸ retry ▸ per-try timeout ▸ balance ▸ transport
//
// Timeout is above retry: one deadline covers all attempts. The per-try timeout is
// below it: each attempt has its own. Retry is above balance: each attempt picks
// anew, and avoids the endpoints that were tried. [Split] stands above all of it:
// what is retried stays with the service that was chosen.
//
//	orders, err := outbound.NewService(outbound.Config{
//		Name:     "orders",
//		Resolver: discovery.Static(endpoints),
//		Timeout:  10 * time.Second,
//		Retry:    outbound.Retry{Attempts: 2, On: []string{"connect", "503"}, Budget: outbound.Budget{Percent: 20, Min: 3}},
//	})
//	go orders.Run(ctx)
//	<-orders.Ready()
//	resp, err := orders.RoundTripper(outbound.Override{}).RoundTrip(req)
//
// Every request must belong to a [mesh.Call], and every error is a [*mesh.Fault].
// A Fault that the client brought about says so ([mesh.Fault.ByClient]), is never
// repeated and counts against no endpoint: the client's own grpc-timeout passed, its
// body was not complete when ours did, or its content type asked an endpoint for an
// HTTP/2 that it does not speak.
//
// The package never writes a response of its own, never closes the client's body,
// never follows a redirect and never looks at a proxy variable of the environment.
package outbound
