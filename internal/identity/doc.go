// Package identity keeps TLS certificates and roots that are read from files and
// swapped live: a [Server] for listeners, a [Client] for what we call, and a [Mesh]
// for both ways between our own proxies.
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
// In the mesh both sides show a certificate, and each is verified to be whom it
// should be: who calls us by [Mesh.ServerTLS] and [Peer], whom we call by
// [Mesh.Towards]. Where one port serves those who speak TLS and those who do not,
// [Split] tells them apart:
//
//	c, err := listener.Accept()
//	…
//	go func() { // as many as there are connections, which the listener bounds
//		secure, c, err := identity.Split(ctx, c, readHeaderTimeout)
//		…
//		rooms[secure].take(c)
//	}()
//
// It never watches files itself, never skips the verification of a name, and never
// accepts a certificate because of its address.
package identity
