package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"outrider/examples"
	"outrider/internal/app"
	"outrider/internal/config"
)

func newDemo() *cobra.Command {
	var printConfig bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run example services and the gateway in one process",
		Long:  "Run two instances each of three example services and the gateway before them, in one\nprocess, until Ctrl-C. Nothing else is needed.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printConfig {
				_, err := cmd.OutOrStdout().Write(examples.DemoConfig)
				return err
			}
			return runDemo(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&printConfig, "print-config", false, "print the gateway's configuration and exit")
	return cmd
}

func runDemo(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "outrider-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder: the system will
	file := filepath.Join(dir, "gateway.yml")
	if err := os.WriteFile(file, examples.DemoConfig, 0o600); err != nil {
		return err
	}
	stop, err := examples.StartDemo(context.WithoutCancel(ctx)) // they outlive the drain
	if err != nil {
		return err
	}
	defer stop()

	load := func() (*config.Config, error) {
		return config.Load(config.Options{File: file, Mode: config.Ingress, Environ: os.Environ()})
	}
	first, err := load()
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	takeStandardLog(logger)
	ingress := app.NewIngress(app.Options{
		Load:    load,
		Version: version,
		Log:     logger,
		Level:   level,
		Access:  out,
		Hangup:  hangups(ctx),
		Started: func(a app.Addresses) { printTour(out, file, a) },
	})
	err = ingress.Run(ctx, first)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err == nil {
		fmt.Fprintln(out, "\nstopped")
	}
	return err
}

func printTour(out io.Writer, file string, a app.Addresses) {
	fmt.Fprintf(out, `
Outrider's demo is running. Ctrl-C stops it.

  gateway   http://%[1]s
  admin     http://%[2]s   (status page, /services, /metrics, /config)
  config    %[3]s   (edit it: changes take effect at once)

`, a.Server, a.Admin, file)
	for _, i := range examples.DemoInstances() {
		fmt.Fprintf(out, "  %-9s http://%s\n", i.Service.Name, i.Addr)
	}
	fmt.Fprintf(out, `
Try, in another terminal:

  1. A call, through auth and balancing:
     curl -i -H 'Authorization: Bearer %[2]s' http://%[1]s/api/users

  2. Refused by auth:
     curl -i http://%[1]s/api/users

  3. Rate limited, at the third:
     for i in 1 2 3; do curl -i -X POST http://%[1]s/api/auth/login; done

  4. Kill an instance, and nobody notices:
     curl -s -X POST http://127.0.0.1:3002/quit; for i in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%%{http_code}\n' -H 'Authorization: Bearer %[2]s' http://%[1]s/api/users; done

  5. Fail until both endpoints' circuit breakers open:
     for i in $(seq 12); do curl -s -o /dev/null -w '%%{http_code} ' -H 'Authorization: Bearer %[2]s' http://%[1]s/api/orders/broken; done; echo

`, a.Server, examples.Token)
}
