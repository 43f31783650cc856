// Command sidecar is Outrider: a proxy in front of services. Each command stands in
// a file of its own.
//
//	sidecar run     --config sidecar.yml -- ./orders
//	sidecar ingress --config gateway.yml
//	sidecar check   --config gateway.yml
//	sidecar health
//	sidecar drain
//	sidecar explain GET http://shop.example/api/users
//	sidecar why 01a2138b-6749-7911-ac80-0aaaf25d4ccf
//	sidecar inject  deployment.yaml
//	sidecar demo
//
// Exit codes: 0 when all is well, 1 when running failed, 64 when the command line or
// the configuration is wrong; after `run -- COMMAND`, the command's own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// exitUsage is EX_USAGE of sysexits.h.
const exitUsage = 64

// usageError is a mistake of the caller's, in the command line or the configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	keepHeapFloor()
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills: nobody has to wait for a drain

	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "sidecar",
		Short:         "Outrider: a service-mesh sidecar and API gateway",
		Version:       version,
		SilenceErrors: true, // run prints them, once
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q (see sidecar --help)", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	})
	root.AddCommand(newRun(), newIngress(), newCheck(), newHealth(), newDrain(), newExplain(), newWhy(), newInject(), newDemo())
	return root
}

// noArgs refuses stray words, as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, and got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}
