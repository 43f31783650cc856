package identity

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ServerFiles says which certificates a listener shows.
type ServerFiles struct {
	// Certs are the certificates, at least one. A client that names a server gets
	// the one with exactly that name, else one with a wildcard for it, else the
	// first.
	Certs []CertFiles

	// ClientCAFile holds the roots of client certificates. Where it is set, a
	// client must show a certificate that they vouch for; empty asks for none.
	ClientCAFile string

	// MinVersion is "1.2" or "1.3". Empty means "1.2".
	MinVersion string

	// Warn hears what is amiss without being a reason to refuse: an expired
	// certificate, one without names. Nil listens to nothing.
	Warn func(error)

	// Now is the clock for Warn. Nil means time.Now.
	Now func() time.Time
}

// Server is a listener's TLS. Its methods may be called from any goroutine.
type Server struct {
	files   ServerFiles
	version uint16
	base    *tls.Config // what TLS returns, and what owns the session ticket keys
	state   atomic.Pointer[serverState]
	reload  sync.Mutex // one Reload at a time, so that the last one to read wins
}

// serverState is what one reading of the files gave. It is never changed.
type serverState struct {
	config   *tls.Config
	exact    map[string]*tls.Certificate
	wildcard map[string]*tls.Certificate // by what follows "*."
	first    *tls.Certificate
}

// NewServer reads the files. Its error names the file and what is wrong with it.
func NewServer(f ServerFiles) (*Server, error) {
	if f.Warn == nil {
		f.Warn = func(error) {}
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	s := &Server{files: f}
	switch f.MinVersion {
	case "", "1.2":
		s.version = tls.VersionTLS12
	case "1.3":
		s.version = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("min_version %q: must be 1.2 or 1.3", f.MinVersion)
	}
	if len(f.Certs) == 0 {
		return nil, errors.New("no certificate")
	}
	s.base = &tls.Config{
		MinVersion: s.version,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.state.Load().config, nil
		},
		// Only http.Server.ServeTLS asks for it, to see that there is one.
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.state.Load().choose(hello)
		},
	}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// TLS returns the listener's configuration, offering HTTP/2 and HTTP/1.1. It
// follows every Reload and must not be changed.
func (s *Server) TLS() *tls.Config { return s.base }

// Files returns the files to watch.
func (s *Server) Files() []string {
	var files []string
	for _, c := range s.files.Certs {
		files = append(files, c.CertFile, c.KeyFile)
	}
	if s.files.ClientCAFile != "" {
		files = append(files, s.files.ClientCAFile)
	}
	return files
}

// Reload reads all files again. On an error the old certificates stay in use.
//
// Sessions from before are resumed still, since crypto/tls takes the ticket keys
// from the configuration that TLS returned; it also sees to it that the current
// roots vouch for the client of a resumed session.
func (s *Server) Reload() error {
	s.reload.Lock()
	defer s.reload.Unlock()
	next := &serverState{exact: map[string]*tls.Certificate{}, wildcard: map[string]*tls.Certificate{}}
	for _, files := range s.files.Certs {
		cert, err := files.read(s.files.Now(), s.files.Warn)
		if err != nil {
			return err
		}
		next.add(cert, files.CertFile, s.files.Warn)
	}
	next.config = &tls.Config{
		MinVersion:     s.version,
		NextProtos:     s.base.NextProtos,
		GetCertificate: next.choose,
	}
	if s.files.ClientCAFile != "" {
		roots, err := readRoots(s.files.ClientCAFile)
		if err != nil {
			return err
		}
		next.config.ClientAuth = tls.RequireAndVerifyClientCert
		next.config.ClientCAs = roots
	}
	s.state.Store(next)
	return nil
}

// add makes cert known under its names. Of two certificates with one name the
// earlier wins.
func (s *serverState) add(cert *tls.Certificate, file string, warn func(error)) {
	if s.first == nil {
		s.first = cert
	}
	if names := cert.Leaf; len(names.DNSNames)+len(names.IPAddresses)+len(names.URIs) == 0 {
		warn(fmt.Errorf("certificate %s: has no subject alternative name, so no client will accept it", file))
	}
	put := func(names map[string]*tls.Certificate, name string) {
		if _, ok := names[name]; !ok {
			names[name] = cert
		}
	}
	for _, name := range cert.Leaf.DNSNames {
		name = strings.ToLower(name)
		if domain, ok := strings.CutPrefix(name, "*."); ok {
			put(s.wildcard, domain)
			continue
		}
		put(s.exact, name)
	}
	for _, ip := range cert.Leaf.IPAddresses {
		put(s.exact, ip.String())
	}
}

// choose returns the certificate for the name that the client asked for. A client
// that named none because it dialled an address gets the one for that address.
func (s *serverState) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	if name == "" && hello.Conn != nil {
		name, _, _ = net.SplitHostPort(hello.Conn.LocalAddr().String())
	}
	if cert, ok := s.exact[name]; ok {
		return cert, nil
	}
	if _, domain, ok := strings.Cut(name, "."); ok { // a wildcard stands for one label
		if cert, ok := s.wildcard[domain]; ok {
			return cert, nil
		}
	}
	return s.first, nil
}
