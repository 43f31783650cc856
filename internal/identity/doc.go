// Package identity keeps TLS certificates and roots that are read from files and
// swapped live: a [Server] for listeners, a [Client] for what we call.
//
// Each reads its files whole and publishes them at once; a Reload that fails
// leaves the old ones in use. Handshakes read the current state, so a
// configuration handed to a server stays valid for ever.
//
//	server, err := identity.NewServer(identity.ServerFiles{
//		Certs: []identity.CertFiles{{CertFile: "site.pem", KeyFile: "site-key.pem"}},
//	})
//	listener = tls.NewListener(listener, server.TLS())
//	…
//	err = server.Reload() // when one of server.Files() has changed
//
// It never watches files itself, never skips the verification of a name, and never
// accepts a certificate because of its address.
package identity
