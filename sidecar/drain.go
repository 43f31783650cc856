package main

import (
	"cmp"
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

func newDrain() *cobra.Command {
	var at, tokenFile string
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
			at := cmp.Or(at, os.Getenv("OUTRIDER_ADMIN_LISTEN"), defaultAdmin)
			token, err := adminToken(cmp.Or(tokenFile, os.Getenv("OUTRIDER_ADMIN_TOKEN_FILE")))
			if err != nil {
				return usageError{err}
			}
			path := "/drain"
			if leave {
				path = "/leave"
			}
			return askDrain(cmd.Context(), "http://"+at+path, token)
		},
	}
	cmd.Flags().StringVar(&at, "admin", "", "the admin port (default "+defaultAdmin+")")
	cmd.Flags().BoolVar(&leave, "leave", false, "leave the registry, and serve on until SIGTERM")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "the file that admin.token_file names, if it names one")
	return cmd
}

// adminToken reads the admin port's token; no file means that it wants none.
func adminToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the admin port's token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// askDrain asks the admin port for a drain; its error says that none has begun.
func askDrain(ctx context.Context, url, token string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return usageError{err}
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
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return err
	}
	return errors.New(resp.Status + ": " + strings.TrimSpace(string(text)))
}
