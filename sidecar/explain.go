package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"outrider/internal/explain"
)

// adminFlags are how a command finds a running proxy.
type adminFlags struct {
	at, tokenFile string
	json          bool
}

func (f *adminFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.at, "admin", "", "the admin port (default "+defaultAdmin+")")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "the file that admin.token_file names, if it names one")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, for programs")
}

// ask sends a request to the admin port and prints what it answers.
func (f *adminFlags) ask(cmd *cobra.Command, method, path string, body []byte) error {
	token, err := adminToken(cmp.Or(f.tokenFile, os.Getenv("OUTRIDER_ADMIN_TOKEN_FILE")))
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
	defer cancel()
	at := cmp.Or(f.at, os.Getenv("OUTRIDER_ADMIN_LISTEN"), defaultAdmin)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+at+path, bytes.NewReader(body))
	if err != nil {
		return usageError{err}
	}
	req.Header.Set("Accept", "text/plain")
	if f.json {
		req.Header.Set("Accept", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy of the environment
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no proxy answers: %w", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		_, err = cmd.OutOrStdout().Write(said)
		return err
	}
	return refusal(resp.Status, said)
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
	var f adminFlags
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
			return f.ask(cmd, http.MethodPost, "/explain", body)
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVarP(&q.Headers, "header", "H", nil, "a header field, such as 'Authorization: Bearer …'; may be repeated")
	cmd.Flags().StringVar(&q.Client, "client", "", "the address that the request comes from (default 127.0.0.1)")
	cmd.Flags().BoolVar(&inbound, "inbound", false, "only what a caller of the sidecar's app would meet")
	cmd.Flags().BoolVar(&outbound, "outbound", false, "only what a call of the app would meet")
	return cmd
}
