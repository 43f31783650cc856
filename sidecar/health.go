package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func newHealth() *cobra.Command {
	var port adminPort
	var live bool
	cmd := &cobra.Command{
		Use:   "health [--admin HOST:PORT] [--live]",
		Short: "Ask a running proxy whether it is ready, for container checks",
		Long: "Ask a running proxy whether it is ready: exit 0 when it is, 1 when not or when nobody answers,\n" +
			"with what is missing. The port is the admin or probe port; OUTRIDER_ADMIN_LISTEN is its default.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/ready"
			if live {
				path = "/live"
			}
			status, said, err := port.ask(cmd.Context(), question{method: http.MethodGet, path: path, within: hookTimeout})
			answer := strings.TrimSpace(string(said))
			switch {
			case err != nil:
				return err
			case status != http.StatusOK:
				return errors.New(answer)
			}
			fmt.Fprintln(cmd.OutOrStdout(), answer)
			return nil
		},
	}
	cmd.Flags().StringVar(&port.at, "admin", "", "the admin or probe port (default "+defaultAdmin+")")
	cmd.Flags().BoolVar(&live, "live", false, "ask whether it is alive, and not whether it is ready")
	return cmd
}
