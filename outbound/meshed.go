package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"

	"outrider/discovery"
	"outrider/internal/mesh"
)

// meshed is a resolver whose endpoints say how they are met in the mesh, before
// health checks and balancer see them: one that speaks mesh TLS is https, whatever
// its catalogue calls it, so that a change of that is a change of the endpoint; and
// one that may not be called is unhealthy and says why, so that others are picked.
type meshed struct {
	discovery.Resolver
	mesh func(mesh.Endpoint) (*tls.Config, error) // as Config.Mesh
}

// Watch passes the sets of the inner resolver.
func (m meshed) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	return m.Resolver.Watch(ctx, s, func(set []mesh.Endpoint) {
		set = slices.Clone(set)
		for i := range set {
			m.mark(&set[i])
		}
		update(set)
	})
}

func (m meshed) mark(e *mesh.Endpoint) {
	settings, err := m.mesh(*e)
	switch {
	case err != nil && !e.Unhealthy && !e.Withdrawn: // else the catalogue's reason stands
		e.Unhealthy, e.HealthNote = true, err.Error()
	case err == nil && settings != nil:
		e.Scheme = "https"
	}
}

var errPlain = errors.New("the endpoint is one of the mesh, and is not called without TLS")

// plainly returns why the endpoint may not be called without TLS, if it may not:
// asked for each connection, since panic picks unhealthy endpoints too.
func (d *dialer) plainly() error {
	if d.mesh == nil {
		return nil
	}
	settings, err := d.mesh(d.endpoint)
	if err == nil && settings != nil {
		err = errPlain
	}
	if err != nil {
		return d.refused(err)
	}
	return nil
}

// refused returns the Fault of an endpoint that the mesh's rules do not let us call.
func (d *dialer) refused(err error) *mesh.Fault {
	f := d.fault(mesh.TLSFailed, err)
	f.Message = "The endpoint does not speak mutual TLS, which is required."
	return f
}
