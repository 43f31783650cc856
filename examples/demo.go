package examples

import (
	"context"
	_ "embed" // for the demo's configuration
	"fmt"
)

// DemoConfig is the gateway configuration that the demo runs, as YAML.
//
//go:embed demo.yml
var DemoConfig []byte

// Instance is one instance of the demo and where it listens: what DemoConfig says.
type Instance struct {
	Addr    string
	Service Service
}

// DemoInstances returns the six instances that DemoConfig routes to.
func DemoInstances() []Instance {
	return []Instance{
		{"127.0.0.1:3001", Auth("auth-1")}, {"127.0.0.1:3011", Auth("auth-2")},
		{"127.0.0.1:3002", Users("users-1")}, {"127.0.0.1:3012", Users("users-2")},
		{"127.0.0.1:3003", Orders("orders-1")}, {"127.0.0.1:3013", Orders("orders-2")},
	}
}

// StartDemo starts every instance of the demo. stop ends them all and waits; where
// one cannot start, those before it are stopped and the error says which it was.
func StartDemo(ctx context.Context) (stop func(), err error) {
	var running []*Server
	stop = func() {
		for _, s := range running {
			s.Stop()
		}
	}
	for _, i := range DemoInstances() {
		s, err := Start(ctx, i.Service, i.Addr)
		if err != nil {
			stop()
			return nil, fmt.Errorf("example service %s: %w", i.Service.Name, err)
		}
		running = append(running, s)
	}
	return stop, nil
}
