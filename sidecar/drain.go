package main

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newDrain() *cobra.Command {
	var port adminPort
	var leave bool
	cmd := &cobra.Command{
		Use:   "drain [--leave] [--admin HOST:PORT]",
		Short: "Have a running proxy drain, or only leave, for the hooks of containers",
		Long: "Have a running proxy begin its drain, as SIGTERM does, and return at once: exit 0 when it has\n" +
			"begun, 1 when nobody answers. With --leave it only says that it is going: it is no longer ready\n" +
			"nor in the registry, sends callers away, and serves on until SIGTERM. OUTRIDER_ADMIN_LISTEN is the default of --admin, and\n" +
			"OUTRIDER_ADMIN_TOKEN_FILE of --token-file.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/drain"
			if leave {
				path = "/leave"
			}
			status, said, err := port.ask(cmd.Context(), question{method: http.MethodPost, path: path, within: hookTimeout})
			switch {
			case err != nil:
				return err
			case status < 200 || status > 299:
				return fmt.Errorf("%s: %s", statusText(status), bytes.TrimSpace(said))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&leave, "leave", false, "leave the registry, and serve on until SIGTERM")
	port.flags(cmd)
	return cmd
}
