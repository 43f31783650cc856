// Package identitytest makes certificates for tests: an authority in memory, the
// certificates that it issues, and their files. Its keys are worth nothing and it
// must never be linked into the product.
//
//	ca := identitytest.NewCA(t)
//	pair := ca.Issue(t, identitytest.Leaf{DNS: []string{"orders.example"}})
//	certFile, keyFile := pair.Write(t, t.TempDir(), "orders")
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority.
type CA struct {
	PEM    []byte // its certificate
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	issuer []byte // PEM of an intermediate's certificate, which its pairs carry
}

// Leaf says what a certificate is for. The zero Leaf names nobody.
type Leaf struct {
	CommonName string
	DNS        []string
	IPs        []net.IP
	URIs       []string  // such as SPIFFE IDs
	NotBefore  time.Time // zero means an hour ago
	NotAfter   time.Time // zero means an hour from now

	Usage []x509.ExtKeyUsage // nil means servers and clients; empty says nothing of it
	IsCA  bool               // it may sign, and is wrong as a service's
}

// Pair is a certificate with its key, PEM.
type Pair struct{ Cert, Key []byte }

// NewCA returns a new authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatalf("creating the authority: %v", err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatalf("parsing the authority: %v", err)
	}
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
}

// Intermediate returns an authority that ca vouches for until notAfter. What it
// issues carries its certificate along, so that who trusts ca needs no other.
func (ca *CA) Intermediate(t testing.TB, notAfter time.Time) *CA {
	t.Helper()
	pair := ca.Issue(t, Leaf{CommonName: "test intermediate", NotAfter: notAfter, Usage: []x509.ExtKeyUsage{}, IsCA: true}).TLS(t)
	cert, key := pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey) //nolint:forcetypeassert // as Issue makes them
	issuer := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return &CA{PEM: issuer, cert: cert, key: key, issuer: issuer}
}

// Pool returns the authority as roots.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Write writes the authority's certificate to dir and returns the file.
func (ca *CA) Write(t testing.TB, dir, name string) string {
	t.Helper()
	return write(t, filepath.Join(dir, name+".pem"), ca.PEM)
}

// WriteAll writes the certificates of several authorities to one file of dir, as
// while one of them takes over from another, and returns the file.
func WriteAll(t testing.TB, dir, name string, authorities ...*CA) string {
	t.Helper()
	var all []byte
	for _, ca := range authorities {
		all = append(all, ca.PEM...)
	}
	return write(t, filepath.Join(dir, name+".pem"), all)
}

// Issue returns a certificate that holds for servers and for clients, unless leaf
// says otherwise.
func (ca *CA) Issue(t testing.TB, leaf Leaf) Pair {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatalf("making a serial number: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: leaf.CommonName},
		DNSNames: leaf.DNS, IPAddresses: leaf.IPs,
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: leaf.Usage,
	}
	if leaf.Usage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if leaf.IsCA {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	for _, uri := range leaf.URIs {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatalf("parsing URI: %v", err)
		}
		template.URIs = append(template.URIs, u)
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatalf("issuing a certificate: %v", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("marshalling a key: %v", err)
	}
	return Pair{
		Cert: append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), ca.issuer...),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

// Write writes the pair to dir as name.pem and name-key.pem, over what is there.
func (p Pair) Write(t testing.TB, dir, name string) (certFile, keyFile string) {
	t.Helper()
	return write(t, filepath.Join(dir, name+".pem"), p.Cert), write(t, filepath.Join(dir, name+"-key.pem"), p.Key)
}

// TLS returns the pair for a tls.Config.
func (p Pair) TLS(t testing.TB) tls.Certificate {
	t.Helper()
	cert, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatalf("reading a pair: %v", err)
	}
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return key
}

func write(t testing.TB, file string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatalf("writing a file: %v", err)
	}
	return file
}
