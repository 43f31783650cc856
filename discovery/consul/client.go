package consul

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// Config says how to reach the agent. The zero Config is the agent on this host,
// without TLS and without a token.
type Config struct {
	Address    string // host:port; empty means 127.0.0.1:8500
	Scheme     string // http or https; empty means http
	Token      string // of the ACL system; empty is the anonymous token
	TokenFile  string // read at each request, so that it can be replaced; it wins over Token. Empty means none
	Datacenter string // empty means the agent's own

	// TLS returns the settings for a handshake with an https agent of that name. It is
	// asked each time. Nil means the system's roots and no certificate of ours.
	TLS func(serverName string) *tls.Config

	// Stale lets any server answer, not the leader alone: Consul's consistency mode
	// "stale".
	Stale bool
	// MaxWatches bounds how many queries may block at the agent at once: it answers
	// 429 to the 201st connection from one address. What is beyond takes turns. Zero or
	// less means 64.
	MaxWatches int

	Log *slog.Logger // nil discards
}

const (
	dialTimeout  = 2 * time.Second
	tokenHeader  = "X-Consul-Token" //nolint:gosec // the field's name
	maxTokenFile = 64 << 10
)

// Client speaks to one agent. It is safe for concurrent use.
type Client struct {
	cfg     Config
	api     *api.Client
	watches chan struct{} // one for each query that blocks
	pool    *http.Transport
}

// New returns a client. It opens no connection and reads no file.
func New(cfg Config) (*Client, error) {
	cfg.Address = cmp.Or(cfg.Address, "127.0.0.1:8500")
	cfg.Scheme = cmp.Or(cfg.Scheme, "http")
	if cfg.MaxWatches <= 0 {
		cfg.MaxWatches = 64
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, watches: make(chan struct{}, cfg.MaxWatches)}
	c.pool = &http.Transport{ // Proxy is nil: the environment's is not used
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
		TLSHandshakeTimeout: dialTimeout,
	}
	if cfg.Scheme == "https" {
		c.pool.TLSClientConfig = cfg.tls()
	}
	var err error
	c.api, err = api.NewClient(&api.Config{
		Address:    cfg.Address,
		Scheme:     cfg.Scheme,
		Datacenter: cfg.Datacenter,
		HttpClient: &http.Client{Transport: &authorized{next: c.pool, cfg: &c.cfg}},
		// Else the library would read CONSUL_HTTP_TOKEN and its file; authorized sets what
		// is sent.
		Token: "-",
	})
	if err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	return c, nil
}

// tls returns the settings for the agent's TLS.
func (c *Config) tls() *tls.Config {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		host = c.Address
	}
	if c.TLS == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	}
	return c.TLS(host)
}

// token returns what authorises a request. Its error names the file.
func (c *Config) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	info, err := os.Stat(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("consul.token_file: %w", err)
	}
	if info.Size() > maxTokenFile {
		return "", fmt.Errorf("consul.token_file: %s: larger than %d bytes", c.TokenFile, maxTokenFile)
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("consul.token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("consul.token_file: %s is empty", c.TokenFile)
	}
	return token, nil
}

// Close closes connections that no request uses.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// authorized puts the token of the moment into each request.
type authorized struct {
	next http.RoundTripper
	cfg  *Config
}

// RoundTrip sends req with the token.
func (a *authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := a.cfg.token()
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Del(tokenHeader)
	if token != "" {
		req.Header.Set(tokenHeader, token)
	}
	return a.next.RoundTrip(req)
}
