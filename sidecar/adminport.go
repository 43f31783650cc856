package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultAdmin = "127.0.0.1:15000"
	askTimeout   = 15 * time.Second // why asks other proxies in turn
	hookTimeout  = 3 * time.Second  // a container's hook and check are not to hang
	maxAnswer    = 16 << 20
)

// adminPort is how a command finds a running proxy.
type adminPort struct{ at, tokenFile string }

// flags adds --admin and --token-file.
func (p *adminPort) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.at, "admin", "", "the admin port (default "+defaultAdmin+")")
	cmd.Flags().StringVar(&p.tokenFile, "token-file", "", "the file that admin.token_file names, if it names one")
}

// question is what is asked of the admin port.
type question struct {
	method, path string
	within       time.Duration // zero: askTimeout
	accept       string        // a media type; empty leaves the field out
	body         []byte
}

// ask asks the proxy, and returns the status and what it says. Its error is that
// nobody answers, or a usage error.
func (p *adminPort) ask(ctx context.Context, q question) (status int, said []byte, err error) {
	token, err := adminToken(cmp.Or(p.tokenFile, os.Getenv("OUTRIDER_ADMIN_TOKEN_FILE")))
	if err != nil {
		return 0, nil, usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(q.within, askTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+p.address()+q.path, bytes.NewReader(q.body))
	if err != nil {
		return 0, nil, usageError{err}
	}
	if q.accept != "" {
		req.Header.Set("Accept", q.accept)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy of the environment
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("no proxy answers: %w", err)
	}
	defer resp.Body.Close()
	said, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, said, err
}

// address is where to ask. A port that is listened on at every address is asked at
// loopback: the admin port answers to no other Host.
func (p *adminPort) address() string {
	at := cmp.Or(p.at, os.Getenv("OUTRIDER_ADMIN_LISTEN"), defaultAdmin)
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return at
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return at
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

// statusText returns a status as a status line has it.
func statusText(status int) string { return fmt.Sprintf("%d %s", status, http.StatusText(status)) }
