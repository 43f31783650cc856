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
	"sync/atomic"
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
	maxTokenFile = 64 << 10
)

// Client speaks to one agent. It is safe for concurrent use.
type Client struct {
	cfg   Config
	api   *api.Client
	turns *turns
	pool  *http.Transport

	warned atomic.Bool // of answers to nobody
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
	c := &Client{cfg: cfg, turns: newTurns(cfg.MaxWatches)}
	c.pool = &http.Transport{ // Proxy is nil: the environment's is not used
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConnsPerHost: pollsAtOnce,
		IdleConnTimeout:     30 * time.Second,
		TLSHandshakeTimeout: dialTimeout,
	}
	if cfg.Scheme == "https" {
		c.pool.TLSClientConfig = cfg.tls()
	}
	if err := c.speak(c.pool, maxAnswer); err != nil {
		return nil, err
	}
	return c, nil
}

// speak makes c send its requests through next, and read most bytes of an answer.
func (c *Client) speak(next http.RoundTripper, most int64) error {
	var err error
	c.api, err = api.NewClient(&api.Config{
		Address:    c.cfg.Address,
		Scheme:     c.cfg.Scheme,
		Datacenter: c.cfg.Datacenter,
		HttpClient: &http.Client{
			Transport: &authorized{next: next, cfg: &c.cfg, most: most},
			// The agent's API redirects nobody, and authorized would give the token to
			// whoever a redirect names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		// Else the library would read CONSUL_HTTP_TOKEN and its file; authorized sets what
		// is sent.
		Token: "-",
	})
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	return nil
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

// warnAnonymous warns once that an empty answer may be one that ACLs have emptied:
// Consul does not tell whom it does not know. It is no error, since the agent may
// add a token of its own, and the service be truly empty.
func (c *Client) warnAnonymous(service string) {
	if c.cfg.Token == "" && c.cfg.TokenFile == "" && !c.warned.Swap(true) {
		c.cfg.Log.Warn("consul denies by default and has no endpoints for a query without a token: if they exist, set consul.token or consul.token_file", "service", service)
	}
}

// Close closes connections that no request uses.
func (c *Client) Close() { c.pool.CloseIdleConnections() }
