package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newWhy() *cobra.Command {
	var f asking
	cmd := &cobra.Command{
		Use:   "why REQUEST-ID [--admin HOST:PORT] [--json]",
		Short: "Say what became of a request, and why it failed, at every proxy that it passed",
		Long: "Ask a running proxy's admin port what was decided about a request: its route, what the layers did,\n" +
			"each attempt, and the fault with the setting that is responsible. The proxy asks those that the\n" +
			"request went on to, over mutual TLS or on the same machine, so that the answer is the whole way of\n" +
			"the request, the true cause first. REQUEST-ID is the X-Request-ID of the answer. The latest 4096\n" +
			"requests are kept, and 1024 that failed or were slow for longer. OUTRIDER_ADMIN_LISTEN is the\n" +
			"default of --admin.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("want one REQUEST-ID, as in %s 01a2138b-6749-7911-ac80-0aaaf25d4ccf (see --help)", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.print(cmd, question{method: http.MethodGet, path: "/why?id=" + url.QueryEscape(args[0])})
		},
	}
	f.flags(cmd)
	return cmd
}
