package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"outrider/internal/explain"
)

// asking is how explain and why ask the admin port.
type asking struct {
	adminPort
	json bool
}

func (f *asking) flags(cmd *cobra.Command) {
	f.adminPort.flags(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, for programs")
}

// print asks, and prints the answer as it was asked for.
func (f *asking) print(cmd *cobra.Command, q question) error {
	q.accept = "text/plain"
	if f.json {
		q.accept = "application/json"
	}
	status, said, err := f.ask(cmd.Context(), q)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return refusal(statusText(status), said)
	}
	_, err = cmd.OutOrStdout().Write(said)
	return err
}

// refusal is what a problem document says.
func refusal(status string, said []byte) error {
	var problem struct {
		Error string `json:"error"`
	}
	switch err := json.Unmarshal(said, &problem); {
	case err == nil && problem.Error != "":
		return errors.New(problem.Error)
	case err != nil && len(said) > 0: // a sentence already
		return errors.New(strings.TrimSpace(string(said)))
	}
	return errors.New(status)
}

func newExplain() *cobra.Command {
	var f asking
	var q explain.Question
	var inbound, outbound bool
	cmd := &cobra.Command{
		Use:   "explain METHOD URL [-H 'Name: value']… [--client ADDRESS] [--inbound|--outbound] [--json]",
		Short: "Say what a request would meet at a running proxy, without sending it",
		Long: "Ask a running proxy's admin port what a request would meet, from its state of this moment: the route\n" +
			"that matches and why others do not, each layer with its settings and the line that set them, what is\n" +
			"left of limits, the timeout that binds, the retries, and each endpoint with why it would be picked or\n" +
			"not. Nothing is sent and nothing is spent. OUTRIDER_ADMIN_LISTEN is the default of --admin.\n\n" +
			"The URL is one, such as http://shop.example/api/users, or a path. At a sidecar both ways in are\n" +
			"explained, unless one is chosen; --outbound takes the service from the URL's host.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("want METHOD and URL, as in %s GET http://shop.example/api (see --help)", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Method, q.URL = args[0], args[1]
			switch {
			case inbound && outbound:
				return usageError{errors.New("--inbound and --outbound exclude each other; without either, both are explained")}
			case inbound:
				q.Direction = "inbound"
			case outbound:
				q.Direction = "outbound"
			}
			body, err := json.Marshal(q)
			if err != nil {
				return usageError{err}
			}
			return f.print(cmd, question{method: http.MethodPost, path: "/explain", body: body})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringArrayVarP(&q.Headers, "header", "H", nil, "a header field, such as 'Authorization: Bearer …'; may be repeated")
	cmd.Flags().StringVar(&q.Client, "client", "", "the address that the request comes from (default 127.0.0.1)")
	cmd.Flags().BoolVar(&inbound, "inbound", false, "only what a caller of the sidecar's app would meet")
	cmd.Flags().BoolVar(&outbound, "outbound", false, "only what a call of the app would meet")
	return cmd
}
