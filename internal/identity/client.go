package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ClientFiles says how we meet a TLS server. The zero ClientFiles trusts the
// system's roots and shows no certificate.
type ClientFiles struct {
	// CAFile holds the roots that the server's certificate must come from. Empty
	// means the system's.
	CAFile string

	// CertFile and KeyFile are our own certificate. Both or neither.
	CertFile, KeyFile string

	// ServerName is the name that the server's certificate must hold. Empty means
	// the one given to TLS.
	ServerName string

	// Warn hears of an expired certificate of our own. Nil listens to nothing.
	Warn func(error)

	// Now is the clock for Warn and for the server's certificate. Nil means
	// time.Now.
	Now func() time.Time
}

// Client is TLS towards servers. Its methods may be called from any goroutine.
type Client struct {
	files  ClientFiles
	state  atomic.Pointer[clientState]
	reload sync.Mutex // one Reload at a time, so that the last one to read wins
}

// clientState is what one reading of the files gave. It is never changed.
type clientState struct {
	roots *x509.CertPool   // nil means the system's
	cert  *tls.Certificate // without a chain where there is none
}

// NewClient reads the files. Its error names the file and what is wrong with it.
func NewClient(f ClientFiles) (*Client, error) {
	if (f.CertFile == "") != (f.KeyFile == "") {
		return nil, fmt.Errorf("certificate %q and key %q: both files are needed, or neither", f.CertFile, f.KeyFile)
	}
	if f.Warn == nil {
		f.Warn = func(error) {}
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	c := &Client{files: f}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Files returns the files to watch; there may be none.
func (c *Client) Files() []string {
	var files []string
	for _, file := range []string{c.files.CAFile, c.files.CertFile, c.files.KeyFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

// Reload reads all files again. On an error the old ones stay in use. Connections
// that are open stay open.
func (c *Client) Reload() error {
	c.reload.Lock()
	defer c.reload.Unlock()
	next := &clientState{cert: &tls.Certificate{}}
	if c.files.CAFile != "" {
		roots, err := readRoots(c.files.CAFile)
		if err != nil {
			return err
		}
		next.roots = roots
	}
	if c.files.CertFile != "" {
		cert, err := CertFiles{c.files.CertFile, c.files.KeyFile}.read(c.files.Now(), c.files.Warn)
		if err != nil {
			return err
		}
		next.cert = cert
	}
	c.state.Store(next)
	return nil
}

// TLS returns a configuration for dialling serverName, a host with or without a
// port; ClientFiles.ServerName comes before it. The certificate must hold that
// name by the roots of the moment. Without any name every handshake fails.
//
// It follows every Reload. It keeps no sessions, so that a changed certificate of
// our own is shown at the next handshake.
func (c *Client) TLS(serverName string) *tls.Config {
	name := c.files.ServerName
	if name == "" {
		name = host(serverName)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: name,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.state.Load().cert, nil
		},
		// crypto/tls would verify by roots that are fixed for the life of this
		// configuration. VerifyConnection does the whole of it, chain and name.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if name == "" {
				return &tls.CertificateVerificationError{
					UnverifiedCertificates: state.PeerCertificates,
					Err:                    errors.New("no server name to verify"),
				}
			}
			return verify(state.PeerCertificates, x509.VerifyOptions{
				Roots: c.state.Load().roots, DNSName: name, CurrentTime: c.files.Now(),
			})
		},
	}
}

// host returns authority without its port and brackets.
func host(authority string) string {
	if h, _, err := net.SplitHostPort(authority); err == nil {
		return h
	}
	return strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")
}
