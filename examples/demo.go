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

// Instance is one instance of the demo, where it listens, and where its sidecar does.
type Instance struct {
	Service  Service
	Of       string // the service's name in the registry
	Addr     string
	Inbound  string // its sidecar's ports
	Outbound string
	Admin    string
}

// DemoInstances returns the six instances that DemoConfig routes to.
func DemoInstances() []Instance {
	return []Instance{
		instance(3001, "auth-service", func(string) Service { return Auth("auth-1") }),
		instance(3011, "auth-service", func(string) Service { return Auth("auth-2") }),
		instance(3002, "user-service", func(via string) Service { return Users("users-1", Peer{via, "order-service"}) }),
		instance(3012, "user-service", func(via string) Service { return Users("users-2", Peer{via, "order-service"}) }),
		instance(3003, "order-service", func(string) Service { return Orders("orders-1") }),
		instance(3013, "order-service", func(string) Service { return Orders("orders-2") }),
	}
}

// instance is the one at that port; what the service calls by is handed to it.
func instance(port int, of string, service func(via string) Service) Instance {
	at := func(plus int) string { return fmt.Sprintf("127.0.0.1:%d", port+plus) }
	// All below 32768, where the system takes the ports of outgoing connections from.
	i := Instance{Of: of, Addr: at(0), Inbound: at(10000), Outbound: at(20000), Admin: at(25000)}
	i.Service = service("http://" + i.Outbound)
	return i
}

// SidecarConfig returns the configuration of the instance's sidecar, as YAML.
func (i Instance) SidecarConfig() []byte {
	return fmt.Appendf(nil, `# The sidecar of %[1]s.
service:
  name: %[2]s
  id: %[1]s
  app: %[3]s
  health_check: {path: /health, interval: 1s, timeout: 500ms, healthy: 1, unhealthy: 1}
inbound: {listen: "%[4]s"}
outbound: {listen: "%[5]s"}
consul: {}
services:
  order-service: {timeout: 3s}
trusted_proxies: [127.0.0.0/8]   # the others' sidecars and the gateway, which are all on this machine
admin: {listen: "%[6]s"}
logging: {level: warn, access: false}
`, i.Service.Name, i.Of, i.Addr, i.Inbound, i.Outbound, i.Admin)
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
