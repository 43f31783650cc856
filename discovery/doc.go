// Package discovery finds the endpoints of a service: a [Resolver] passes the full
// set at once and again whenever it changes. [Static] knows them beforehand, [DNS]
// asks for a name's addresses, [Memory] is told of them, [Several] puts sets
// together, [Checked] asks the endpoints of another Resolver how they are, and
// [Ladder] keeps them when the catalogue behind another Resolver fails or forgets,
// with snapshots in a [Store]. It
// never picks an endpoint and never carries a request.
//
//	address, err := discovery.Parse("http://orders:3003")
//	…
//	resolver := &discovery.Checked{
//		Inner: &discovery.DNS{Address: address},
//		Check: discovery.Check{Path: "/health", Interval: 10 * time.Second},
//		Probe: probe,
//	}
//	err = resolver.Watch(ctx, "orders", balancer.Update)
package discovery
