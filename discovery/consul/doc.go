// Package consul finds services in Consul's catalogue and makes this one known
// there. It is the only user of github.com/hashicorp/consul/api.
//
//	client, err := consul.New(consul.Config{Address: "127.0.0.1:8500", MaxWatches: 64})
//	orders := client.Resolver(consul.Query{Service: "orders"})
//	err = orders.Watch(ctx, "orders", balancer.Update)
//
// A [Client] opens no connection before it is used, so a proxy starts with Consul
// down. What it does not do: it remembers no endpoints (discovery.Ladder does),
// probes nothing, and takes no proxy and no setting from the environment.
package consul
