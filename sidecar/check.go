package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"outrider/internal/app"
	"outrider/internal/config"
)

func newCheck() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Validate a configuration without binding a port",
		Long: "Validate a configuration without binding a port. Every fault is listed as\n" +
			"file:line: what is wrong, what would be right; then the exit code is 64.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needsFile(cmd, file); err != nil {
				return err
			}
			cfg, err := config.Load(config.Options{File: file, Mode: config.Auto, Environ: os.Environ(), Flags: cmd.Flags()})
			if err != nil {
				return usageError{err}
			}
			if err := app.Check(cfg); err != nil {
				return usageError{err}
			}
			for _, w := range cfg.Warnings() {
				fmt.Fprintln(cmd.ErrOrStderr(), w.String()+" (warning)")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: valid\n", file)
			return nil
		},
	}
	configFlags(cmd, &file, "server.host", "server.port", "service.name", "service.app", "inbound.listen", "outbound.listen")
	return cmd
}
