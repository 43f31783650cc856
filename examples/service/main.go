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
	listen := flag.String("listen", "127.0.0.1:0", "host:port; port 0 takes a free one")
	flag.Parse()
	if err := run(*kind, *name, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

func run(kind, name, listen string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if name == "" {
		name = kind
	}
	kinds := map[string]func(string) examples.Service{"auth": examples.Auth, "users": examples.Users, "orders": examples.Orders}
	service, ok := kinds[kind]
	if !ok {
		return fmt.Errorf("-kind %q: there are auth, users and orders", kind)
	}
	srv, err := examples.Start(ctx, service(name), listen)
	if err != nil {
		return err
	}
	fmt.Println("listening on", srv.Addr)
	<-srv.Done()
	return nil
}
