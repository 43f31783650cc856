package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"outrider/internal/mesh"
)

// dialer makes connections to one endpoint. Its errors are Faults, so that how a
// connection failed is known from where it did, not read out of a message.
type dialer struct {
	endpoint mesh.Endpoint
	limit    time.Duration                            // for a connection, TLS handshake included; zero is none
	tls      func(serverName string) *tls.Config      // nil: the defaults
	mesh     func(mesh.Endpoint) (*tls.Config, error) // as Config.Mesh
}

// plain connects without TLS.
func (d *dialer) plain(ctx context.Context) (net.Conn, error) {
	if err := d.plainly(); err != nil {
		return nil, err
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	return d.connect(ctx)
}

// prior connects without TLS to what is believed to speak HTTP/2 (RFC 9113, section
// 3.3).
func (d *dialer) prior(ctx context.Context) (net.Conn, error) {
	if err := d.plainly(); err != nil {
		return nil, err
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	c, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// secure connects by TLS, and offers protocols.
func (d *dialer) secure(ctx context.Context, protocols ...string) (*tls.Conn, error) {
	settings, err := d.settings(protocols)
	if err != nil {
		return nil, d.refused(err)
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	raw, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw}
	session := tls.Client(c, settings)
	if err := session.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, d.fault(handshakeKind(ctx, err), err)
	}
	c.agreed = session.ConnectionState().NegotiatedProtocol == "h2"
	return session, nil
}

func (d *dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d.limit)
}

func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", d.endpoint.Address)
	if err != nil {
		return nil, d.fault(dialKind(err), err)
	}
	return c, nil
}

// settings returns the TLS configuration of the next handshake: asked for each
// time, so that renewed certificates act at once. The mesh's come before the
// service's. The error is the mesh's refusal of the endpoint.
func (d *dialer) settings(protocols []string) (*tls.Config, error) {
	name := hostname(d.endpoint)
	var given *tls.Config
	if d.mesh != nil {
		var err error
		if given, err = d.mesh(d.endpoint); err != nil {
			return nil, err
		}
	}
	if given == nil && d.tls != nil {
		given = d.tls(name)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if given != nil {
		cfg = given.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = name
	}
	cfg.NextProtos = protocols
	return cfg, nil
}

// fault returns a dial's failure. Nothing has been sent, so that any request may be
// sent elsewhere.
func (d *dialer) fault(kind mesh.Kind, err error) *mesh.Fault {
	return &mesh.Fault{Kind: kind, Retryable: true, Endpoint: d.endpoint.Address, Err: err}
}

// hostname returns the endpoint's name for TLS: its configured authority without
// the port, or where there is none, its address.
func hostname(e mesh.Endpoint) string {
	authority := e.Host
	if authority == "" {
		authority = e.Address
	}
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}

func dialKind(err error) mesh.Kind {
	var slow net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return mesh.Refused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return mesh.ConnectTimeout
	}
	return mesh.Unreachable
}

func handshakeKind(ctx context.Context, err error) mesh.Kind {
	var (
		verification *tls.CertificateVerificationError
		host         x509.HostnameError
		authority    x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
	)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return mesh.ConnectTimeout
	case errors.As(err, &verification), errors.As(err, &host), errors.As(err, &authority), errors.As(err, &invalid):
		return mesh.TLSCertificate // VerifyConnection's own errors come without the first
	}
	return mesh.TLSFailed
}

// Of the frame that begins an HTTP/2 server's connection (RFC 9113, sections 4.1 and
// 6.5).
const (
	frameType     = 3 // offset of the byte that holds its type
	frameSettings = 0x4
)

// conn is a connection that remembers how it fared, for HTTP/2. net/http's errors do not
// always tell a connection that broke from an answer that was nonsense; this does.
type conn struct {
	net.Conn
	agreed bool // on HTTP/2, in the TLS handshake

	broken   atomic.Bool  // the other end or the network ended it
	received atomic.Int64 // bytes
	settings atomic.Bool  // the first frame is HTTP/2's SETTINGS; of use without TLS
}

// SyscallConn is for who looks whether the other end is there.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if below, ok := c.Conn.(syscall.Conn); ok {
		return below.SyscallConn()
	}
	return nil, http.ErrNotSupported
}

// Read reads from the endpoint.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	before := c.received.Add(int64(n)) - int64(n)
	if i := frameType - before; i >= 0 && i < int64(n) && p[i] == frameSettings {
		c.settings.Store(true)
	}
	c.note(err)
	return n, err
}

// settled reports whether the other end has shown that it speaks HTTP/2, which it
// does in the TLS handshake or, without TLS, with a SETTINGS frame before all else
// (RFC 9113, section 3.4).
func (c *conn) settled() bool { return c != nil && (c.agreed || c.settings.Load()) }

// Write writes to the endpoint.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.note(err)
	return n, err
}

// note takes an error down as the other end's doing, unless we closed it ourselves.
func (c *conn) note(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.broken.Store(true)
	}
}
