package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	healthTimeout = 3 * time.Second
	defaultAdmin  = "127.0.0.1:15000"
)

func newHealth() *cobra.Command {
	var at string
	var live bool
	cmd := &cobra.Command{
		Use:   "health [--admin HOST:PORT] [--live]",
		Short: "Ask a running proxy whether it is ready, for container checks",
		Long: "Ask a running proxy whether it is ready: exit 0 when it is, 1 when not or when nobody answers,\n" +
			"with what is missing. The port is the admin or probe port; OUTRIDER_ADMIN_LISTEN is its default.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if at == "" {
				at = os.Getenv("OUTRIDER_ADMIN_LISTEN")
			}
			if at == "" {
				at = defaultAdmin
			}
			path := "/ready"
			if live {
				path = "/live"
			}
			return askHealth(cmd.Context(), cmd.OutOrStdout(), "http://"+at+path)
		},
	}
	cmd.Flags().StringVar(&at, "admin", "", "the admin or probe port (default "+defaultAdmin+")")
	cmd.Flags().BoolVar(&live, "live", false, "ask whether it is alive, and not whether it is ready")
	return cmd
}

// askHealth prints what the proxy answers; its error says that it is not well.
func askHealth(ctx context.Context, out io.Writer, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{err}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy of the environment
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no proxy answers: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	answer := strings.TrimSpace(string(text))
	if resp.StatusCode != http.StatusOK {
		return errors.New(answer)
	}
	fmt.Fprintln(out, answer)
	return nil
}
