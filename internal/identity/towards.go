package identity

import (
	"crypto/tls"
	"fmt"

	"outrider/internal/mesh"
)

// MetaMTLS is the key of the catalogue's meta by which a sidecar says how it is to
// be met: one of the modes below. Without it, an endpoint is no sidecar of ours, or
// one without an identity.
const MetaMTLS = "outrider-mtls"

// The modes of mutual TLS, as the configuration and MetaMTLS have them.
const (
	Off        = "off"        // plain
	Permissive = "permissive" // mutual TLS with who speaks it, plain with the rest
	Strict     = "strict"     // mutual TLS only, both ways
)

// Towards returns how the endpoints of service are met, by what their meta says:
// with settings for TLS, or without any, which means as their scheme says. Where
// strict is set an endpoint that does not speak mutual TLS is refused with an error,
// and so is, always, one that says what we do not understand.
//
// It is for endpoints from a catalogue; those that a configuration lists are no
// proxies of the mesh.
func (m *Mesh) Towards(service string, strict bool) func(mesh.Endpoint) (*tls.Config, error) {
	settings := m.ClientTLS(service)
	return func(e mesh.Endpoint) (*tls.Config, error) {
		switch mode := e.Meta[MetaMTLS]; {
		case mode == Permissive, mode == Strict:
			return settings, nil
		case mode != "" && mode != Off:
			return nil, fmt.Errorf("endpoint %s of %s: its meta %s is %.50q, not one of off, permissive, strict", e.Address, service, MetaMTLS, mode)
		case strict:
			return nil, fmt.Errorf("endpoint %s of %s does not speak mutual TLS, which identity.mtls: strict demands: its meta has no %s that says so",
				e.Address, service, MetaMTLS)
		}
		return nil, nil //nolint:nilnil // no settings is an answer
	}
}
