package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// verify checks a chain as the peer sent it, leaf first. Its error is a
// [*tls.CertificateVerificationError], as crypto/tls's own would be.
func verify(chain []*x509.Certificate, o x509.VerifyOptions) error {
	if len(chain) == 0 {
		return &tls.CertificateVerificationError{Err: errors.New("the peer showed no certificate")}
	}
	o.Intermediates = x509.NewCertPool()
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}
