// Package consul finds services in Consul's catalogue and makes this one known
// there. It is the only user of github.com/hashicorp/consul/api.
//
//	client, err := consul.New(consul.Config{Address: "127.0.0.1:8500", MaxWatches: 64})
//	orders := client.Resolver(consul.Query{Service: "orders"}, consul.Hear{Failed: count})
//	err = orders.Watch(ctx, "orders", balancer.Update)
//	…
//	self, err := client.Registrar(consul.Registration{Name: "users", ID: "users-1", Port: 15006, Weight: 1}, health)
//	err = self.Run(ctx) // deregisters when ctx ends
//
// A [Client] opens no connection before it is used, so a proxy starts with Consul
// down. A [Resolver] asks by blocking queries, and believes what Consul says of an
// instance's health at once; an error, or an answer that ACLs have filtered, changes
// nothing. However many services are watched, the agent sees no more than
// Config.MaxWatches queries that block and a few that do not: who has no place polls,
// every 3 s or, with n of them, every n/100 s.
//
// What it does not do: it remembers no endpoints beyond a Watch (discovery.Ladder
// does), doubts no loss that Consul confirms, probes nothing, and takes no proxy and
// no address or token from the environment.
package consul
