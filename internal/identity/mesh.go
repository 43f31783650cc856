package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// MeshFiles says who this proxy is towards other proxies. All three files are
// needed.
type MeshFiles struct {
	// CertFile and KeyFile are our own certificate, shown to whom we call and to
	// who calls us.
	CertFile, KeyFile string

	// CAFile holds the roots that the other proxies' certificates must come from.
	CAFile string

	// Warn hears what is amiss without being a reason to refuse: a certificate of
	// our own that has expired or that CAFile does not vouch for. Nil listens to
	// nothing.
	Warn func(error)

	// Now is the clock for certificates, ours and others'. Nil means time.Now.
	Now func() time.Time
}

// Mesh is who this proxy is towards other proxies, and whom it believes. Its methods
// may be called from any goroutine.
type Mesh struct {
	files  MeshFiles
	base   *tls.Config // what ServerTLS returns
	state  atomic.Pointer[meshState]
	reload sync.Mutex // one Reload at a time, so that the last one to read wins
}

// meshState is what one reading of the files gave. It is never changed.
type meshState struct {
	cert   *tls.Certificate
	roots  *x509.CertPool
	id     mesh.Identity
	domain string // our trust domain; empty where our certificate has no SPIFFE ID
	expiry time.Time
	server *tls.Config
}

// NewMesh reads the files. Its error names the file and what is wrong with it.
func NewMesh(f MeshFiles) (*Mesh, error) {
	var missing []string
	for _, file := range []struct{ key, path string }{{"cert_file", f.CertFile}, {"key_file", f.KeyFile}, {"ca_file", f.CAFile}} {
		if file.path == "" {
			missing = append(missing, file.key)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("mesh identity without %s: all of cert_file, key_file and ca_file are needed", strings.Join(missing, " and "))
	}
	if f.Warn == nil {
		f.Warn = func(error) {}
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	m := &Mesh{files: f}
	m.base = m.serverBase()
	if err := m.Reload(); err != nil {
		return nil, err
	}
	return m, nil
}

// Files returns the files to watch.
func (m *Mesh) Files() []string { return []string{m.files.CertFile, m.files.KeyFile, m.files.CAFile} }

// Reload reads all files again, for handshakes from now on. On an error, such as a
// certificate whose key has not been replaced yet, the old ones stay in use: all of
// them, since new roots may not vouch for an old certificate.
func (m *Mesh) Reload() error {
	m.reload.Lock()
	defer m.reload.Unlock()
	now := m.files.Now()
	cert, err := CertFiles{m.files.CertFile, m.files.KeyFile}.read(now, m.files.Warn)
	if err != nil {
		return err
	}
	roots, err := readRoots(m.files.CAFile)
	if err != nil {
		return err
	}
	next := &meshState{cert: cert, roots: roots}
	if err := next.introduce(); err != nil {
		return fmt.Errorf("certificate %s: %w", m.files.CertFile, err)
	}
	if err := next.vouched(now); err != nil {
		m.files.Warn(fmt.Errorf("certificate %s: other proxies will refuse it if they have the same roots: %s does not vouch for it: %w",
			m.files.CertFile, m.files.CAFile, err))
	}
	next.server = m.serverConfig(next)
	m.state.Store(next)
	return nil
}

// introduce finds out who our certificate says that we are. A certificate that any
// other proxy would refuse is refused here.
func (s *meshState) introduce() error {
	leaf := s.cert.Leaf
	if err := noAuthority(leaf); err != nil {
		return err
	}
	id, err := nameOf(leaf)
	if err != nil {
		return err
	}
	if spiffe, ok, _ := spiffeOf(leaf); ok { // nameOf has seen its error
		s.domain = spiffe.domain
	}
	s.id, s.expiry = id, leaf.NotAfter
	for _, der := range s.cert.Certificate[1:] {
		issuer, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("an issuer's certificate in it: %w", err)
		}
		if issuer.NotAfter.Before(s.expiry) {
			s.expiry = issuer.NotAfter // with it, the chain ends to hold
		}
	}
	return nil
}

// vouched returns why other proxies would not believe our certificate. That it has
// expired has been said already.
func (s *meshState) vouched(now time.Time) error {
	if leaf := s.cert.Leaf; now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return nil
	}
	chain := make([]*x509.Certificate, len(s.cert.Certificate))
	for i, der := range s.cert.Certificate {
		chain[i], _ = x509.ParseCertificate(der) // introduce has parsed them all
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} { // it is shown both ways
		o := x509.VerifyOptions{Roots: s.roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}
		if err := verify(chain, o); err != nil {
			return err
		}
	}
	return nil
}

// noAuthority refuses an authority's certificate as a service's (X509-SVID
// specification, section 5.2): who signs could be whoever it likes.
func noAuthority(leaf *x509.Certificate) error {
	if leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return errors.New("it is an authority's, and cannot be a service's as well")
	}
	return nil
}

// ID returns who we are.
func (m *Mesh) ID() mesh.Identity { return m.state.Load().id }

// Expiry returns when our certificate, or an issuer's that we show with it, expires.
// From then on other proxies refuse new connections with us.
func (m *Mesh) Expiry() time.Time { return m.state.Load().expiry }
