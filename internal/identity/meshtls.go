package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// meshVersion is the oldest TLS between our own proxies, all of which know 1.3: it
// hides the certificates from the network, and has none of what 1.2 can be
// configured wrongly.
const meshVersion = tls.VersionTLS13

// ServerTLS returns the configuration for who calls us, offering HTTP/2 and
// HTTP/1.1. A client must show a certificate that our roots vouch for as a client's,
// with a valid name, and where both sides have a SPIFFE ID, one of our trust domain.
//
// It follows every Reload and must not be changed. There is no resumption: each
// connection is verified by the roots of its moment.
func (m *Mesh) ServerTLS() *tls.Config { return m.base }

func (m *Mesh) serverBase() *tls.Config {
	return &tls.Config{
		MinVersion: meshVersion,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return m.state.Load().server, nil
		},
		// Only http.Server.ServeTLS asks for it, to see that there is one.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return m.state.Load().cert, nil
		},
		SessionTicketsDisabled: true,
	}
}

// serverConfig returns the configuration of connections that begin in state s.
func (m *Mesh) serverConfig(s *meshState) *tls.Config {
	return &tls.Config{
		MinVersion:             meshVersion,
		NextProtos:             m.base.NextProtos,
		Certificates:           []tls.Certificate{*s.cert},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              s.roots,
		Time:                   m.files.Now,
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return s.admit(state.PeerCertificates, "")
		},
	}
}

// ClientTLS returns the configuration for calling service, by the name that its
// certificate has. It shows our certificate. The server's must come from our roots,
// be one for servers, and be the service's: its SPIFFE ID is of our trust domain,
// where we have one, and its path ends in /svc/SERVICE or is SERVICE; or it has
// SERVICE as a DNS name, in any case of letters. No wildcard and no common name
// stands for a service, and without a service every handshake fails.
//
// It follows every Reload. It keeps no sessions.
func (m *Mesh) ClientTLS(service string) *tls.Config {
	return &tls.Config{
		MinVersion: meshVersion,
		ServerName: service,
		Time:       m.files.Now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return m.state.Load().cert, nil
		},
		// crypto/tls would look for a DNS name, and by roots that are fixed for the
		// life of this configuration. VerifyConnection does the whole of it.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			s := m.state.Load()
			chain := state.PeerCertificates
			if err := verify(chain, x509.VerifyOptions{Roots: s.roots, CurrentTime: m.files.Now()}); err != nil {
				return err
			}
			if service == "" {
				return refusal(chain, errors.New("no service to verify the certificate for"))
			}
			return s.admit(chain, service)
		},
	}
}

// admit refuses a peer whose chain holds but which is not whom it should be: service,
// or any service where that is empty.
func (s *meshState) admit(chain []*x509.Certificate, service string) error {
	leaf := chain[0] // verified, so it is there
	if err := noAuthority(leaf); err != nil {
		return refusal(chain, fmt.Errorf("the peer's certificate: %w", err))
	}
	if _, err := nameOf(leaf); err != nil {
		return refusal(chain, fmt.Errorf("the peer's certificate: %w", err))
	}
	id, ok, _ := spiffeOf(leaf) // nameOf has seen its error
	if ok && s.domain != "" && id.domain != s.domain {
		return refusal(chain, fmt.Errorf("the peer is %s, and our trust domain is %s: ca_file vouches for no other", id, s.domain))
	}
	if service == "" || ok && id.serves(service) ||
		slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, service) }) {
		return nil
	}
	return refusal(chain, fmt.Errorf("the peer is not service %q: wanted a SPIFFE ID that ends in /svc/%[1]s or is spiffe://TRUST-DOMAIN/%[1]s, or the DNS name %[1]s; shown: %s",
		service, shown(leaf)))
}

// refusal is the error that handshakes end with, of the type of crypto/tls's own.
func refusal(chain []*x509.Certificate, err error) error {
	return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
}

// shown lists the names of a certificate, for an error.
func shown(leaf *x509.Certificate) string {
	var names []string
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	names = append(names, leaf.DNSNames...)
	if len(names) == 0 {
		return fmt.Sprintf("the common name %.200q", leaf.Subject.CommonName)
	}
	return quoted(names)
}
