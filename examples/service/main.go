// Command service runs one example service as a process of its own, for compose
// files and for tests that kill processes.
//
//	service -kind users -name users-1 -listen 127.0.0.1:3002
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"outrider/examples"
)

func main() {
	kind := flag.String("kind", "users", "which service: auth, users or orders")
	name := flag.String("name", "", "the instance's name; its kind when empty")
	orders := flag.String("orders", "", "how users ask for orders: the name of that service, by the sidecar at -outbound; empty: not at all")
	outbound := flag.String("outbound", "http://127.0.0.1:15001", "the outbound port of the sidecar")
	listen := flag.String("listen", "127.0.0.1:0", "host:port; port 0 takes a free one")
	flag.Parse()
	if err := run(*kind, *name, *listen, peers(*outbound, *orders)...); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

// peers returns the services that are called.
func peers(via, name string) []examples.Peer {
	if name == "" {
		return nil
	}
	return []examples.Peer{{Via: via, Name: name}}
}

func run(kind, name, listen string, orders ...examples.Peer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if name == "" {
		name = kind
	}
	service, err := serviceOf(kind, name, orders)
	if err != nil {
		return err
	}
	srv, err := examples.Start(ctx, service, listen)
	if err != nil {
		return err
	}
	fmt.Println("listening on", srv.Addr)
	<-srv.Done()
	return nil
}

func serviceOf(kind, name string, orders []examples.Peer) (examples.Service, error) {
	switch kind {
	case "auth":
		return examples.Auth(name), nil
	case "users":
		return examples.Users(name, orders...), nil
	case "orders":
		return examples.Orders(name), nil
	}
	return examples.Service{}, fmt.Errorf("-kind %q: there are auth, users and orders", kind)
}
