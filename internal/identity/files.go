package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// CertFiles names a certificate chain, leaf first, and its key, both PEM.
type CertFiles struct{ CertFile, KeyFile string }

// The types of PEM block that we read (RFC 7468).
const (
	certBlock = "CERTIFICATE"
	keyBlock  = "PRIVATE KEY"
)

// maxFile bounds a PEM file, in bytes: a bundle of all public roots has 0.2 MiB.
const maxFile = 4 << 20

// read returns the certificate and key, checked against each other. What is no
// reason to refuse them is passed to warn.
func (c CertFiles) read(now time.Time, warn func(error)) (*tls.Certificate, error) {
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, fmt.Errorf("certificate %q and key %q: both files are needed", c.CertFile, c.KeyFile)
	}
	chain, err := readPEM(c.CertFile, certBlock)
	if err != nil {
		return nil, err
	}
	key, err := readPEM(c.KeyFile, keyBlock)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.CertFile, c.KeyFile, err)
	}
	if leaf := pair.Leaf; now.After(leaf.NotAfter) {
		warn(fmt.Errorf("certificate %s: expired on %s", c.CertFile, leaf.NotAfter.UTC().Format(time.RFC3339)))
	} else if now.Before(leaf.NotBefore) {
		warn(fmt.Errorf("certificate %s: not valid before %s", c.CertFile, leaf.NotBefore.UTC().Format(time.RFC3339)))
	}
	return &pair, nil
}

// readRoots returns the certificates of a PEM file as a pool.
func readRoots(file string) (*x509.CertPool, error) {
	data, err := readPEM(file, certBlock)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return pool, nil // readPEM saw that there is one
		}
		if block.Type != certBlock {
			continue
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: block %d: %w", file, n, err)
		}
		pool.AddCert(root)
	}
}

// readPEM returns a file that has at least one block of this kind. Of keys there
// are several: "EC PRIVATE KEY" is one too.
func readPEM(file, kind string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err // names the file
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", file)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := checkPEM(file, kind, data); err != nil {
		return nil, err
	}
	return data, nil
}

func checkPEM(file, kind string, data []byte) error {
	var (
		first string
		found bool
		read  int
	)
	for rest := data; ; read++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		found = found || block.Type == kind || strings.HasSuffix(block.Type, " "+kind) && kind == keyBlock
		if first == "" {
			first = block.Type
		}
	}
	switch begun := blocks(data); {
	case read < begun: // pem.Decode passes over it: half of a bundle would look like all of it
		return fmt.Errorf("%s: %w", file, errCut)
	case found:
		return nil
	case first != "":
		return fmt.Errorf("%s: holds a %s, and no %s", file, first, kind)
	}
	return fmt.Errorf("%s: %w", file, errNotPEM)
}

// blocks counts the lines that begin a block.
func blocks(data []byte) int {
	begin := []byte("-----BEGIN ")
	n := bytes.Count(data, append([]byte("\n"), begin...))
	if bytes.HasPrefix(data, begin) {
		n++
	}
	return n
}

var (
	errNotPEM = errors.New("not PEM")
	errCut    = errors.New("a PEM block in it is broken or not complete")
)
